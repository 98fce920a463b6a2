"""The JSON schema of a spec."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from sfddm.methods import all_methods
from sfddm.spec.experiment import Spec


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a spec, with the options of every registered method."""
    schema = Spec.model_json_schema(schema_generator=GenerateJsonSchema)
    rows = []
    for name, method in all_methods().items():
        options = method.Options.model_json_schema(ref_template="#/$defs/{model}")
        schema["$defs"].update(options.pop("$defs", {}))
        options["properties"]["method"] = {"const": name}
        options["title"] = name
        options["required"] = [key for key in options.get("required", []) if key != "method"]
        rows.append(options)
    by_name = {method["title"]: method for method in rows}
    schema["$defs"].update({f"method-{name}": options for name, options in by_name.items()})
    schema["properties"]["methods"] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [{"$ref": f"#/$defs/method-{name}"} for name in by_name]},
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema

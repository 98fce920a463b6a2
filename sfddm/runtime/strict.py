"""The base of every typed part of a spec, parts whose type a registry knows, and what is wrong in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from sfddm.runtime.registry import entries


class Strict(BaseModel):
    """A frozen model in which an unknown key is an error, and neither ``yes`` nor infinity is a number."""

    # A command uses few of the models that it imports: each one's validator is built when it is needed.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_yes(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a truth value, which would count as 1 or 0, where a field has no place for one."""
        if isinstance(value, bool) or (isinstance(value, list | tuple) and any(isinstance(one, bool) for one in value)):
            field = cls.model_fields[str(info.field_name)]
            if not _takes(field.annotation, bool):
                raise ValueError(f"must not be yes, no, true or false; got {value!r}")
        return value


@dataclass(frozen=True)
class Registered:
    """Annotates a field whose value is an entry of a registry, chosen by the value of one of its keys.

    The registry is asked when a spec is read or the JSON schema is made, so entries of plug-ins count.

    Attributes:
        package: the registry's folder.
        base: what its entries are derived from: a ``Strict`` with ``key`` among its fields.
        key: the key that names the entry.
        default: the entry that is meant where the key is absent; None: the key is needed.
    """

    package: str
    base: type[Strict]
    key: str
    default: str | None = None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let the named entry check the value; pydantic calls this."""
        return core_schema.no_info_before_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return a choice of all entries, each with its own value of ``key``; pydantic calls this."""
        choices = []
        for name, entry in entries(self.package, self.base).items():
            choices.append(handler(entry.__pydantic_core_schema__))
            handler.resolve_ref_schema(choices[-1])["properties"][self.key] = {"const": name}
        return {"oneOf": choices}

    def _checked(self, value: object) -> object:
        if not isinstance(value, Mapping):
            return value  # an entry already, or what the field's own type refuses
        known, name = entries(self.package, self.base), value.get(self.key, self.default)
        if isinstance(name, str) and name in known:
            return known[name].model_validate(value)
        facts = {"given": repr(name) if self.key in value else "none", "known": ", ".join(known)}
        problem = PydanticCustomError("unknown_entry", "must be one of {known}; got {given}", facts)
        details = InitErrorDetails(type=problem, loc=(self.key,), input=name)
        raise ValidationError.from_exception_data(self.base.__name__, [details])


def _takes(annotation: object, kind: type) -> bool:
    """Whether a value of a kind may stand in an annotated place, at any depth."""
    return annotation in (kind, Any) or any(_takes(part, kind) for part in get_args(annotation))


def describe(error: ValidationError) -> str:
    """Turn a validation error into one sentence that names each key and what is allowed."""
    parts = []
    for item in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = "unknown key"
        elif item["type"] == "missing":
            message = "this key is missing"
        else:
            message = message[0].lower() + message[1:]
        parts.append(f"{key}: {message}" if key else message)
    return "; ".join(dict.fromkeys(parts))

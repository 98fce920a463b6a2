"""The base of every typed part of a spec, and what is wrong with a file, in one sentence."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """A frozen model in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def describe(error: ValidationError) -> str:
    """Turn a validation error into one sentence that names each key and what is allowed."""
    parts = []
    for item in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key"
        elif item["type"] == "missing":
            message = "this key is missing"
        else:
            message = message[0].lower() + message[1:]
        parts.append(f"{key}: {message}" if key else message)
    return "; ".join(dict.fromkeys(parts))

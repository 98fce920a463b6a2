"""One reader and one writer for the JSON files of ``results``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from sfddm.runtime.arrays import read_archive
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import read_json, write_json
from sfddm.runtime.strict import describe

Content = TypeVar("Content")


def read_result(path: Path, kind: type[Content], written_by: str) -> Content:
    """Read a JSON file into the dataclass ``kind``.

    Args:
        path: the file.
        kind: its type.
        written_by: the verb that writes the file, named when it is missing.

    Raises:
        SfddmError: the file is missing, is not JSON, was changed, lacks a key, or holds a figure that is not finite.
    """
    if not path.is_file():
        raise SfddmError(f"{path}: no such file; `sfddm {written_by}` writes it")
    return checked(read_json(path), kind, path)


def read_arrays(path: Path, written_by: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of an archive; ``written_by`` is the verb that writes it.

    Raises:
        SfddmError: the file is missing, is no such archive, or was changed.
    """
    try:
        return read_archive(path)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm {written_by}` writes it") from None


def write_result(path: Path, value: Any) -> None:
    """Write a dataclass as JSON, atomically."""
    write_json(path, to_json(value))


def checked(content: Any, kind: type[Content], path: Path) -> Content:
    """Return JSON as the dataclass ``kind``; ``path`` names it in errors.

    Raises:
        SfddmError: it is something else; the sentence names each key.
    """
    try:
        # As JSON, for there a list may be a tuple's however strict the rest is.
        result: Content = _adapter(kind).validate_json(json.dumps(content))  # type: ignore[arg-type]
        return result
    except ValidationError as error:
        raise SfddmError(f"{path}: {describe(error)}") from None
    except RecursionError:
        raise SfddmError(f"{path}: is nested too deep") from None


def to_json(value: Any) -> dict[str, Any]:
    """Return a dataclass as plain JSON with the names of the file."""
    plain: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json", by_alias=True)  # type: ignore[arg-type]
    return plain


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)

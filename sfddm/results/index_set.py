"""The file of the stage ``index-set``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import read_json, write_json


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class FoundIndexSet:
    """An index set that was found on the teacher's path.

    Attributes:
        index_set: (T',) the teacher's indices to visit, increasing.
        cost: of the path along them, as the search weighs it.
        chosen_from: the indices of the dense path.
        samples: paths whose mean the costs are.
        coefficient: weight of the rest of a path.
        model: digest of what the teacher depends on.
    """

    schema: int = 1
    index_set: tuple[int, ...]
    cost: float
    chosen_from: tuple[int, ...]
    samples: int
    coefficient: float
    model: str


def write_index_set(path: Path, found: FoundIndexSet) -> None:
    """Write it as JSON, whole or not at all."""
    write_json(path, asdict(found))


def read_index_set(path: Path) -> FoundIndexSet:
    """Read what :func:`write_index_set` wrote.

    Raises:
        SfddmError: the file is missing, or a key of it is missing, unknown or of another type.
    """
    try:
        return TypeAdapter(FoundIndexSet).validate_python(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise SfddmError(f"{path}: not written by `sfddm index-set`: {key}: {first['msg']}") from None

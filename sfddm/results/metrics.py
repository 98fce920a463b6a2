"""``metrics.json`` read back: of one experiment, as ``collect`` writes it, or of several, as ``report`` does."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from sfddm.results.files import checked, to_json
from sfddm.results.properties import NAME, Properties, read_properties
from sfddm.results.rows import Collected
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import MOST_BYTES, parse_json, read_bytes
from sfddm.runtime.unchanged import check_unchanged

NAMES = ("metrics.json", "metrics.json.gz")
#: What each experiment of a file has its own part of.
_LISTS = ("rows", "floor", "audits", "freedoms", "interpolations", "classes", "trainings")


def find_metrics(path: Path) -> Path:
    """Return the file itself, or the metrics.json (.gz in large records) of a folder.

    Raises:
        SfddmError: there is none.
    """
    candidates = [path / name for name in NAMES] + [path / "collected" / NAMES[0]] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise SfddmError(f"{candidates[0]}: no such file; `sfddm collect` and `sfddm report` write it")


def read_metrics(path: Path) -> tuple[Collected, ...]:
    """Return one part for each experiment of a metrics.json; ``path`` is the file or its folder.

    Raises:
        SfddmError: the file is missing, was changed, is not JSON, lacks a key, or holds a figure that is not finite.
    """
    file = find_metrics(path)
    content = _json(file)
    try:
        provenance = content["provenance"]
        parts = {provenance["experiment"]: provenance} if "experiment" in provenance else dict(provenance)
        lists = {key: content[key] if key in ("rows", "floor") else content.get(key, ()) for key in _LISTS}
        split = [
            {key: [one for one in items if one["experiment"] == name] for key, items in lists.items()}
            | {"schema": content["schema"], "provenance": part}
            for name, part in parts.items()
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise SfddmError(f"{file}: not a metrics.json; rows, floor and provenance are needed ({error})") from None
    return tuple(checked(part, Collected, file) for part in split)


def read_properties_of(path: Path) -> Properties | None:
    """Return what came of the tests of the code: from the properties.json beside a metrics.json, else from within it.

    Args:
        path: the metrics.json or its folder.

    Raises:
        SfddmError: a file is not JSON or lacks a key.
    """
    beside = (path if path.is_dir() else path.parent) / NAME
    if beside.is_file():
        return read_properties(beside)
    if not path.exists():
        return None
    file = find_metrics(path)
    content = _json(file)
    inside = content.get("properties") if isinstance(content, dict) else None
    return None if inside is None else checked(inside, Properties, file)


def merged(parts: Sequence[Collected], properties: Properties | None = None) -> dict[str, Any]:
    """Return several experiments as one metrics.json, with what came of the tests of the code."""
    plain = [to_json(part) for part in parts]
    provenance = {part["provenance"]["experiment"]: part["provenance"] for part in plain}
    lists = {key: [one for part in plain for one in part[key]] for key in _LISTS}
    tested = {} if properties is None else {"properties": to_json(properties)}
    return {"schema": 1, "provenance": provenance} | lists | tested


def _json(file: Path) -> Any:
    data = read_bytes(file)
    check_unchanged(file, data)
    if file.suffix != ".gz":
        return parse_json(data, file)
    try:
        with gzip.open(BytesIO(data)) as unpacked:
            text = unpacked.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SfddmError(f"{file}: not a whole gzip file ({error})") from None
    if len(text) > MOST_BYTES:
        raise SfddmError(f"{file}: holds more than {MOST_BYTES:,} bytes, the most that is allowed")
    return parse_json(text, file)

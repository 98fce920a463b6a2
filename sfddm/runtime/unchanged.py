"""Whether an output is as it was written, and how it is made again where it is not.

The digests are those of the hidden list in each folder of outputs (``outputs.py``): one format, whatever the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import LEDGER, file_sha256, listed, real_path

State = Literal["whole", "changed", "gone", "no digest"]
#: What a run writes that no stage reads.
_UNREAD = ("logs", "benchmarks")
_VERBS = {
    "classifier": "classifier",
    "pairs": "pairs",
    "partition": "partition",
    "reference": "reference",
    "data": "fetch",
    "teacher": "train",
    "student": "distill",
    "samples": "sample",
    "index_set": "index-set",
    "score": "evaluate",
    "measurement": "measure",
}


def check_unchanged(path: Path, content: bytes | None = None, *, again: str | None = None) -> Path:
    """Return ``path`` where its content is one that was listed under its name, or no list holds it.

    Args:
        path: a file of sfddm's; outputs of earlier editions may be in no list.
        content: its bytes where they were read already, so that what is compared is what is used.
        again: how it is made again; None: as its place says.

    Raises:
        SfddmError: it has another content, or is no file that could be read to its end.
        FileNotFoundError: there is none.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise SfddmError(f"{path}: is not a file")
    digests = _digests_of(path)
    if not digests:
        return path
    found = file_sha256(path) if content is None else hashlib.sha256(content).hexdigest()
    if found not in digests:
        raise SfddmError(f"{path}: was changed since it was written, its sha256 is {found}; {again or remake(path)}")
    return path


def states_below(root: Path) -> Iterator[tuple[Path, State]]:
    """Yield each output below a folder, or the file itself, with its state, by name.

    Hidden files count where a list holds them. Left out are logs and benchmarks, which no stage reads.

    Raises:
        SfddmError: a list is none.
    """
    if not root.is_dir():
        yield root, _state(root) if root.is_file() else "gone"
        return
    found = set[Path]()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        place = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if name not in _UNREAD and not _leads_back(place / name))
        found.update(place / name for name in names if not name.startswith("."))
        if LEDGER in names:
            found.update(place / name for name in listed(place))
    for path in sorted(found):
        yield path, _state(path)


def remake(path: Path) -> str:
    """Say which command makes an output again, or brings it back."""
    place = path.absolute()
    parts, inside = place.parts, place
    if "reports" in parts:
        start = len(parts) - 1 - parts[::-1].index("reports")
        inside = Path(*parts[start:])
    if len(inside.parts) > 2 and inside.parts[1] == "records":
        return f"`git checkout -- {shlex.quote(str(inside))}` brings it back"
    if inside is not place:
        target = _target(place)
        return f"make it again with `snakemake --cores 1 --force {shlex.quote(str(Path(*target.parts[start:])))}`"
    verb = _verb(place)
    return f"remove it and make it again{f' with `sfddm {verb}`' if verb else ''}"


def _digests_of(path: Path) -> set[str]:
    """Return the digests of a file in the nearest list around it; none where that does not name it."""
    place = real_path(path.absolute())
    for folder in place.parents:
        if os.path.lexists(folder / LEDGER):
            return listed(folder).get(place.relative_to(folder).as_posix(), set())
    return set()


def _state(path: Path) -> State:
    digests = _digests_of(path)
    if not path.is_file():
        return "gone"
    if not digests:
        return "no digest"
    return "whole" if file_sha256(path) in digests else "changed"


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and Path(os.path.realpath(folder.parent)).is_relative_to(os.path.realpath(folder))


def _output_of(path: Path) -> Path:
    """Return the output that a hidden file of origin belongs to; any other file is its own."""
    name = path.name
    hidden = name.startswith(".") and name.endswith(".origin.json") and name != ".origin.json"
    return path.with_name(name[1 : -len(".origin.json")]) if hidden else path


def _target(path: Path) -> Path:
    """Return what Snakemake makes of a file's place: the folder that it made as a whole, or the file."""
    output = _output_of(path)
    for folder in (output, *output.parents):
        if (folder / ".snakemake_timestamp").exists():
            return folder
    inside = (output / name for name in (sorted(listed(output)) if output.is_dir() else ()))
    return next((file for file in inside if not file.name.startswith(".")), output)


def _verb(path: Path) -> str | None:
    """Return the verb that wrote a file, as the nearest file of origin says."""
    for place in (_output_of(path), *path.parents[:-1]):
        origin = place.with_name(f".{place.name}.origin.json")
        if origin.is_file():
            try:
                return _VERBS.get(json.loads(origin.read_bytes())["kind"])
            except (ValueError, KeyError, TypeError, RecursionError):
                return None
    return None

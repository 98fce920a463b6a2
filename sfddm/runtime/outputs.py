"""What may be written where: nothing of a user's is replaced, and no output touches an input.

Every folder that is written to holds a hidden list of its outputs, in the format of ``sha256sum``. A file or folder is
replaced only where the list holds each of its files with the content that it has. Every digest that was ever listed
under a name counts: what git or DVC brought back is an output, too, and a file is listed before it is in place, so that
a kill between the two leaves nothing that could not be replaced.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sfddm.runtime.errors import SfddmError

#: The list of outputs in each folder. Lines are only ever added, so jobs side by side in one folder need no lock.
LEDGER = ".sfddm-outputs"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def check_outputs(
    inputs: Iterable[Path | None],
    *,
    files: Sequence[Path] = (),
    folders: Sequence[Path] = (),
    containers: Sequence[Path] = (),
) -> None:
    """Check, before a verb starts, that it may write what it is about to write.

    Args:
        inputs: the files and folders that it reads; None is passed over.
        files: the files that it writes.
        folders: the folders that it writes, each as a whole.
        containers: folders in which it makes folders with names that are its own, such as digests.

    Raises:
        SfddmError: an output contains an input, lies in one, or would replace what is not sfddm's own, unchanged.
    """
    read = [source for source in inputs if source is not None]
    for out in (*files, *folders, *containers):
        inside = out in containers  # what goes in has no name yet: it can lie in an input, but contains none
        place = _resolved(out) if inside else real_path(out)
        for source in (*read, *(folders if inside else ())):
            real = _resolved(source.expanduser())
            if place.is_relative_to(real) or (real.is_relative_to(place) and not inside):
                relation = "lies in" if place.is_relative_to(real) else "contains"
                raise SfddmError(f"{out}: {relation} {source}, which must stay as it is; choose another place")
        try:
            os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:  # a name that is too long, for example
            raise SfddmError(f"{out}: {error.strerror}; choose another place") from None
        parents = (out / "new" if inside else out).absolute().parents
        parent = next(parent for parent in parents if os.path.lexists(parent))
        if not parent.is_dir():
            raise SfddmError(f"{out}: {parent} is not a folder; choose another place")
    for out in files:
        check_file(out)
    for out in folders:
        check_folder(out)


def check_file(path: Path) -> None:
    """Raise SfddmError unless ``path`` is free, or a file that sfddm wrote, unchanged."""
    place = real_path(path)
    digests = listed(place.parent).get(place.name)
    if place.name == LEDGER or (os.path.lexists(place) and not _is_listed(place, digests)):
        raise _refusal(path)


def check_folder(path: Path) -> None:
    """Raise SfddmError unless ``path`` is free, an empty folder, or a folder that sfddm wrote, all of it unchanged."""
    place = real_path(path)
    if Path.cwd().is_relative_to(place):
        raise SfddmError(f"{path}: is or contains the working folder; choose another --out")
    if place.name == LEDGER:  # the list of the folder around it
        raise _refusal(path, "folder")
    if not os.path.lexists(place):
        return
    if place.is_symlink() or not place.is_dir():
        raise _refusal(path, "folder")
    known = listed(place)
    for name, found in _tree(place):
        if name != LEDGER and not _is_listed(found, known.get(name)):
            raise _refusal(path / name)


def record_file(path: Path, content: Path) -> None:
    """List the content that ``path`` is about to have."""
    _append(path.parent, {path.name: file_sha256(content)})


def record_folder(folder: Path) -> None:
    """List all files of a folder in its own list."""
    _append(folder, {name: file_sha256(file) for name, file in _tree(folder) if name != LEDGER})


def real_path(path: Path) -> Path:
    """Return ``path`` with the links on the way to it resolved; where it is a link itself, it stays one."""
    return _resolved(path) if path.name in ("", "..") else _resolved(path.parent) / path.name


def paths_in(section: Any) -> Iterator[Path]:
    """Yield every path in a section of a spec, given as plain containers."""
    if isinstance(section, Path):
        yield section
    elif isinstance(section, Mapping | list | tuple):
        for value in section.values() if isinstance(section, Mapping) else section:
            yield from paths_in(value)


def listed(folder: Path) -> dict[str, set[str]]:
    """Return the digests of each name in a folder's list, none where it has no list.

    Raises:
        SfddmError: something else has the list's name.
    """
    path, found = folder / LEDGER, dict[str, set[str]]()
    if not os.path.lexists(path):
        return found
    lines = os.fsdecode(path.read_bytes()).split("\n") if path.is_file() and not path.is_symlink() else ["no list"]
    if lines[0] and not _LINE.fullmatch(lines[0]):
        raise _refusal(path)
    for match in filter(None, map(_LINE.fullmatch, lines)):
        found.setdefault(match[2], set()).add(match[1])
    return found


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises where links form a circle


def _refusal(path: Path, kind: str = "file") -> SfddmError:
    return SfddmError(
        f"{path}: not a {kind} that sfddm wrote, or changed since; choose another --out, or remove it yourself"
    )


def _tree(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name relative to ``folder``, path) of all files, links and empty folders below it."""
    for found in sorted(folder.iterdir()):
        if found.is_symlink() or not found.is_dir() or not any(found.iterdir()):
            yield found.name, found
        else:
            yield from ((f"{found.name}/{name}", path) for name, path in _tree(found))


def _is_listed(path: Path, digests: set[str] | None) -> bool:
    return bool(digests) and not path.is_symlink() and path.is_file() and file_sha256(path) in (digests or ())


def _append(folder: Path, digests: Mapping[str, str]) -> None:
    known = listed(folder)
    new = [(name, digest) for name, digest in digests.items() if digest not in known.get(name, ())]
    lines = "".join(f"{digest}  {name}\n" for name, digest in new if "\n" not in name)
    if lines:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with open(os.open(folder / LEDGER, flags, 0o644), "ab") as file:
            file.write(os.fsencode(lines))

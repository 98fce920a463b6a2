"""Files and folders that are either whole or absent, and replace only what was written here."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sfddm.errors import SfddmError
from sfddm.outputs import check_file, check_folder, real_path, record_file, record_folder


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the name ``path`` when the block ends without an error.

    Raises:
        SfddmError: what has the name is not sfddm's own output, unchanged; or no space is left on the device.
    """
    with whole_file(path) as temporary:
        yield temporary
        check_file(path)
        record_file(path, temporary)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Like ``atomic_file``, for what is no output: it replaces whatever has the name, and lists nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with _space_left(path):
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it replaces ``path`` when the block ends without an error.

    Raises:
        SfddmError: what has the name is not sfddm's own output, all of it unchanged; or no space is left on the device.
    """
    place = real_path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        with _space_left(path):
            yield temporary
            temporary.chmod(0o755)
            record_folder(temporary)
            check_folder(path)
            _put_in_place(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(new: Path, place: Path) -> None:
    """Give ``new`` the name ``place``; whenever this is killed, what had the name before is whole or ``new`` has it."""
    if not place.exists():
        new.replace(place)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    place.replace(old)
    try:
        new.replace(place)
    except BaseException:
        old.replace(place)
        raise
    shutil.rmtree(old)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        SfddmError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SfddmError(f"{path}: not a JSON file ({error})") from None


@contextmanager
def _space_left(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SfddmError(f"{path}: no space left on the device; nothing was written") from None
        raise

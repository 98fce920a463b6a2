"""Files and folders that are either whole or absent, and replace only what was written here."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import check_file, check_folder, real_path, record_file, record_folder
from sfddm.runtime.unchanged import check_unchanged

#: The key under which a JSON file may state the sha256 of all else in it.
CONTENT_SHA256 = "content_sha256"
#: The largest file of text that is read, in bytes; the figures of a large study take a twentieth of it.
MOST_BYTES = 256 << 20
#: Bytes on a device below which a failure to write is put down to lack of space.
_LEAST_FREE = 64 << 10
#: Characters of a name that its temporary one keeps.
_LONGEST_NAME = 200


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the name ``path`` when the block ends without an error.

    Raises:
        SfddmError: what has the name is not sfddm's own output, unchanged; or no space is left on the device.
    """
    with _placed(path) as temporary:
        yield temporary
        check_file(path)
        record_file(path, temporary)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Like ``atomic_file``, for what is no output: it replaces whatever has the name; its digest is listed, too."""
    with _placed(path) as temporary:
        yield temporary
        record_file(path, temporary)


@contextmanager
def _placed(path: Path) -> Iterator[Path]:
    handle, name = _make_temporary(path, tempfile.mkstemp)
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
    temporary = Path(_make_temporary(place, tempfile.mkdtemp))
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


def digest_of(value: Any) -> str:
    """Return the sha256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_json(path: Path, value: Any, *, with_digest: bool = False) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically; an object may get the sha256 of its content."""
    if with_digest:
        value = value | {CONTENT_SHA256: _content_sha256(value)}
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path, *, needs_digest: bool = False) -> Any:
    """Read a JSON file, and compare its content with its digest in the folder's list, and with the sha256 in it.

    Raises:
        SfddmError: the file is missing, is not JSON, lacks a sha256 that it needs, or was changed.
    """
    try:
        content = read_bytes(path)
        check_unchanged(path, content)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file") from None
    value = parse_json(content, path)
    stated = value.get(CONTENT_SHA256) if isinstance(value, dict) else None
    if stated is None and needs_digest:
        raise SfddmError(f"{path}: lacks {CONTENT_SHA256}, which must be there; make it again")
    if stated is not None and stated != _content_sha256(value):
        raise SfddmError(f"{path}: was changed, its content does not fit its {CONTENT_SHA256}; make it again")
    return value


def parse_json(content: bytes, path: Path) -> Any:
    """Return the value of a JSON text; ``path`` names it in errors.

    Raises:
        SfddmError: it is not JSON, or is nested too deep.
    """
    try:
        return json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise SfddmError(f"{path}: not a JSON file ({error})") from None
    except RecursionError:
        raise SfddmError(f"{path}: not a JSON file of ours (it is nested too deep)") from None


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a file of text.

    Raises:
        SfddmError: it has more than ``most`` bytes, or is a pipe, a device or a folder.
        FileNotFoundError: there is none.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise SfddmError(f"{path}: is not a file")
    if about.st_size > most:
        raise SfddmError(f"{path}: has {about.st_size:,} bytes; at most {most:,} are allowed")
    return path.read_bytes()


def _content_sha256(value: dict[str, Any]) -> str:
    return digest_of({key: item for key, item in value.items() if key != CONTENT_SHA256})


@contextmanager
def _space_left(path: Path) -> Iterator[None]:
    """Tell of a full device in one sentence, whichever library met it, in whatever words of its own."""
    try:
        yield
    except SfddmError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        full = full or os.strerror(errno.ENOSPC) in str(error)  # safetensors has an error of its own
        if full or shutil.disk_usage(path.parent).free < _LEAST_FREE:
            raise SfddmError(f"{path}: no space left on the device; this file was not written") from None
        raise


def _make_temporary(path: Path, make: Callable[..., Any]) -> Any:
    """Return what ``make`` makes beside ``path``, whose folder is made where there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return make(prefix=f".{path.name[:_LONGEST_NAME]}.", dir=path.parent)
    except OSError as error:
        raise SfddmError(f"{path}: cannot be written ({error.strerror})") from None

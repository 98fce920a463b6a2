"""LSUN's own distribution: one lmdb environment a category and split, each value an image file."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from sfddm.data import lmdb_walk
from sfddm.data.decode import decode_image
from sfddm.data.examples import NO_LABEL, Example, Examples
from sfddm.data.spec import ImageSource, Split
from sfddm.runtime.errors import SfddmError

#: The header of a page, then what a page about the environment states (lmdb's ``MDB_meta`` on 64-bit machines): magic,
#: version, address, size of the map, two databases of which the first names the page's size, last page, transaction.
_PAGE_HEADER, _META = 16, struct.Struct("<IIQQ I44x 48x QQ")
_MAGIC, _PAGE_SIZE, _LAST_PAGE = 0xBEEFC0DE, 4, 5


class LsunLmdb(ImageSource):
    """LSUN's lmdb folders, one for each split; ``fraction`` keeps only the first part of the train split."""

    name = "lsun-lmdb"

    folders: dict[Split, Path]
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _complete(self) -> LsunLmdb:
        self.require("folders", self.folders)
        return self

    @property
    def labelled(self) -> bool:
        """LSUN has no labels."""
        return False

    def read_split(self, split: Split) -> Examples:
        """Return the images of the split's lmdb in the order of their keys, without labels.

        Of the train split only the first ``fraction`` is kept, rounded down but at least one image.

        Raises:
            SfddmError: there is no lmdb, or it is truncated or damaged.
        """
        folder = self.folders[split].expanduser()
        key = f"data.folders.{split}"
        if not ((folder / "data.mdb").is_file() or folder.is_file()):
            raise SfddmError(
                f"{folder}: no lmdb there; {key} must name a folder with data.mdb (church_outdoor_train_lmdb)"
            )
        entries = _count_entries(folder)
        share = self.fraction if split == "train" else 1.0
        count = min(entries, max(1, int(entries * share)))
        return Examples(_examples(folder, count), count)


def _open(folder: Path) -> Any:
    import lmdb

    # Without a lock file a folder on a read-only disk can be read; nobody writes to it.
    return lmdb.open(str(folder), subdir=folder.is_dir(), readonly=True, lock=False, readahead=False)


def _count_entries(folder: Path) -> int:
    file = folder / "data.mdb" if folder.is_dir() else folder
    _check_header(file)
    kind = "folder" if folder.is_dir() else "file"
    command = [sys.executable, lmdb_walk.__file__, str(folder), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise SfddmError(f"{file}: damaged; reading it would end the process ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        raise SfddmError(f"{folder}: damaged lmdb environment ({(done.stderr.splitlines() or ['no reason'])[-1]})")
    return int(done.stdout)


def _check_header(file: Path) -> None:
    """Hold what the two first pages state against the file's size.

    The file is mapped into memory: to read past its end would kill the process instead of raising an error.

    Raises:
        SfddmError: they are not those of an lmdb environment, or state more pages than there are.
    """
    with file.open("rb") as opened:
        first, size = opened.read(_PAGE_HEADER + _META.size), file.stat().st_size
        if len(first) < _PAGE_HEADER + _META.size:
            raise SfddmError(f"{file}: not an lmdb environment (it has {size} bytes)")
        page = _META.unpack_from(first, _PAGE_HEADER)[_PAGE_SIZE]
        opened.seek(page)
        second = opened.read(len(first))
    if not 256 <= page <= 1 << 16 or len(second) < len(first):
        raise SfddmError(f"{file}: not an lmdb environment (its pages would have {page} bytes)")
    metas = [_META.unpack_from(part, _PAGE_HEADER) for part in (first, second)]
    if any(meta[0] != _MAGIC for meta in metas):
        raise SfddmError(f"{file}: not an lmdb environment (it must begin with 0x{_MAGIC:X})")
    needed = (max(metas, key=lambda meta: meta[-1])[_LAST_PAGE] + 1) * page
    if size < needed:
        raise SfddmError(f"{file}: truncated; it needs {needed} bytes and has {size}")


def _examples(folder: Path, count: int) -> Iterator[Example]:
    import lmdb

    try:
        with _open(folder) as environment, environment.begin() as transaction:
            for _, (key, value) in zip(range(count), transaction.cursor(), strict=False):
                place = f"{folder} key {key.decode('utf-8', 'backslashreplace')}"
                yield Example(partial(decode_image, value, place), NO_LABEL, place)
    except lmdb.Error as error:
        raise SfddmError(f"{folder}: damaged lmdb environment ({error})") from None

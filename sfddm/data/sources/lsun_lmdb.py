"""LSUN's own distribution: one lmdb environment a category and split, each value an image file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from sfddm.data.decode import decode_image
from sfddm.data.examples import NO_LABEL, Example, Examples
from sfddm.data.spec import ImageSource, Split
from sfddm.runtime.errors import SfddmError


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
    import lmdb

    try:
        with _open(folder) as environment:
            entries, page = environment.stat()["entries"], environment.stat()["psize"]
            needed = (environment.info()["last_pgno"] + 1) * page
    except lmdb.Error as error:
        raise SfddmError(f"{folder}: not an lmdb environment ({error})") from None
    file = folder / "data.mdb" if folder.is_dir() else folder
    # The file is mapped into memory: to read past its end would kill the process instead of raising an error.
    if file.stat().st_size < needed:
        raise SfddmError(f"{file}: truncated; it needs {needed} bytes and has {file.stat().st_size}")
    return int(entries)


def _examples(folder: Path, count: int) -> Iterator[Example]:
    import lmdb

    try:
        with _open(folder) as environment, environment.begin() as transaction:
            for _, (key, value) in zip(range(count), transaction.cursor(), strict=False):
                place = f"{folder} key {key.decode('utf-8', 'backslashreplace')}"
                yield Example(partial(decode_image, value, place), NO_LABEL, place)
    except lmdb.Error as error:
        raise SfddmError(f"{folder}: damaged lmdb environment ({error})") from None

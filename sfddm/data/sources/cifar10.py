"""CIFAR-10's official binary version (format: https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import model_validator

from sfddm.data.examples import Example, Examples
from sfddm.data.spec import Download, ImageSource, Split
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import file_sha256

FOLDER = "cifar-10-batches-bin"
MEMBERS: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"{FOLDER}/data_batch_{number}.bin" for number in range(1, 6)),
    "test": (f"{FOLDER}/test_batch.bin",),
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
ROW_BYTES = 1 + 3 * SIDE * SIDE
BLOCK_ROWS = 500
#: Of the archive; the official one has 8.
MOST_MEMBERS = 100


class Cifar10(ImageSource):
    """CIFAR-10's official binary archive, ``cifar-10-binary.tar.gz``.

    Attributes:
        archive: a local copy. It is used where it exists, and then it must have ``download.sha256`` if that
            is given.
        download: where else it comes from.
    """

    name = "cifar10"

    archive: Path | None = None
    download: Download | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Cifar10:
        if self.archive is None and self.download is None:
            raise ValueError("cifar10 needs archive, download or both")
        return self

    def read_split(self, split: Split) -> Examples:
        """Return the split's images, 32x32 RGB, in the order of the batches.

        Only the binary version is read: the Python version is a pickle, which can run code.

        Raises:
            SfddmError: the archive is missing and cannot be downloaded, or is truncated, damaged or another one.
        """
        path = find_archive(self)
        try:
            with tarfile.open(path, "r:gz") as archive:
                members = list(islice(archive, MOST_MEMBERS))
        except Exception as error:  # a damaged header ends in whatever tarfile stumbles over
            raise _damaged(path, error) from None
        sizes = {member.name: member.size for member in members if member.isfile()}
        for member in MEMBERS[split]:
            if sizes.get(member, 0) == 0 or sizes[member] % ROW_BYTES:
                raise SfddmError(
                    f"{path}: not CIFAR-10's binary version, which has {member} with {ROW_BYTES} bytes an image"
                )
        count = sum(sizes[member] for member in MEMBERS[split]) // ROW_BYTES
        return Examples(_examples(path, MEMBERS[split]), count, CLASSES)


def find_archive(data: Cifar10) -> Path:
    """Return the local path of the archive.

    Raises:
        SfddmError: it is not there, cannot be downloaded, or has another sha256.
    """
    from sfddm.data.download import fetch_file  # which imports requests

    archive = data.archive.expanduser() if data.archive else None
    if archive is not None and archive.is_file():
        if data.download and (found := file_sha256(archive)) != data.download.sha256:
            raise SfddmError(
                f"{archive}: truncated or another file; its sha256 is {found}, "
                f"data.download.sha256 says {data.download.sha256}"
            )
        return archive
    if data.download is None:
        raise SfddmError(f"{archive}: no such file; data.archive must name cifar-10-binary.tar.gz")
    try:
        return fetch_file(data.download)
    except SfddmError as error:
        raise SfddmError(f"{error}" + (f", or at {archive}" if archive else "")) from None


def _examples(path: Path, members: tuple[str, ...]) -> Iterator[Example]:
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in members:
                file = archive.extractfile(member)
                if file is None:
                    raise SfddmError(f"{path}: {member} is not a file")
                row = 0
                while block := file.read(ROW_BYTES * BLOCK_ROWS):
                    rows = np.frombuffer(block, np.uint8).reshape(-1, ROW_BYTES)
                    images = rows[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
                    for image, label in zip(images, rows[:, 0].tolist(), strict=True):
                        yield Example(partial(np.asarray, image), label, f"{path} {member} image {row}")
                        row += 1
    except SfddmError:
        raise
    except Exception as error:  # as above
        raise _damaged(path, error) from None


def _damaged(path: Path, error: BaseException) -> SfddmError:
    return SfddmError(f"{path}: truncated or damaged archive ({error}); delete it and fetch it again")

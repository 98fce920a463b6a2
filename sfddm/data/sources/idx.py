"""The idx files of the MNIST family (format: https://yann.lecun.com/exdb/mnist/)."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from math import prod
from pathlib import Path
from typing import BinaryIO, Literal, cast
from zlib import error as ZlibError

import numpy as np
from pydantic import Field

from sfddm.data.decode import MOST_PIXELS
from sfddm.data.examples import Example, Examples
from sfddm.data.spec import Download, ImageSource, Split
from sfddm.runtime.errors import SfddmError

IdxFile = Literal[
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]
PREFIX: dict[Split, str] = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"


class Idx(ImageSource):
    """MNIST-family idx files, ``.gz`` or not. Looked for in ``folders`` in order, then downloaded."""

    name = "idx"

    folders: tuple[Path, ...] = ()
    downloads: dict[IdxFile, Download] = Field(default_factory=dict)

    def read_split(self, split: Split) -> Examples:
        """Return the images of ``{train,t10k}-images-idx3-ubyte[.gz]`` with the labels beside them.

        Each file is looked for in ``folders`` in order, without and with ``.gz``, and downloaded otherwise.

        Raises:
            SfddmError: a file is missing, has no such header, is truncated or too long, or the counts differ.
        """
        images = find_file(self, f"{PREFIX[split]}-images-idx3-ubyte")
        labels = find_file(self, f"{PREFIX[split]}-labels-idx1-ubyte")
        with closing(_blocks(images, dimensions=3)) as blocks:
            (count, _, _), _ = next(blocks)
        with closing(_blocks(labels, dimensions=1)) as blocks:
            (label_count,), _ = next(blocks)
        if count != label_count:
            raise SfddmError(f"{images} holds {count} images but {labels} {label_count} labels; they must be as many")
        return Examples(_examples(images, labels), count)


def find_file(data: Idx, name: str) -> Path:
    """Return the local path of one idx file, named without ``.gz``.

    Raises:
        SfddmError: it is in none of the folders, and cannot be downloaded.
    """
    from sfddm.data.download import fetch_file  # which imports requests

    for folder in data.folders:
        for candidate in (name, f"{name}.gz"):
            if (path := folder.expanduser() / candidate).is_file():
                return path
    download = data.downloads.get(cast(IdxFile, f"{name}.gz"))
    looked = ", ".join(str(folder) for folder in data.folders)
    if download is None:
        raise SfddmError(f"{name}[.gz]: not in data.folders ({looked or 'empty'}), and data.downloads has no {name}.gz")
    try:
        return fetch_file(download)
    except SfddmError as error:
        raise SfddmError(
            f"{error}" + (f", or put {name}.gz into {looked.replace(', ', ' or ')}" if looked else "")
        ) from None


def _examples(images: Path, labels: Path) -> Iterator[Example]:
    with (
        closing(_blocks(images, dimensions=3)) as image_blocks,
        closing(_blocks(labels, dimensions=1)) as label_blocks,
    ):
        (_, height, width), _ = next(image_blocks)
        next(label_blocks)
        for row, ((_, image), (_, label)) in enumerate(zip(image_blocks, label_blocks, strict=True)):
            picture = np.frombuffer(image, np.uint8).reshape(height, width)
            yield Example(partial(np.asarray, picture), label[0], f"{images} image {row}")


def _blocks(path: Path, dimensions: int) -> Generator[tuple[tuple[int, ...], bytes], None, None]:
    """Yield (sizes, b"") for the header, then (sizes, bytes) for each entry along the first axis."""
    try:
        with _open(path) as file:
            sizes = _read_header(file, path, dimensions)
            yield sizes, b""
            length = prod(sizes[1:])
            for entry in range(sizes[0]):
                block = file.read(length)
                if len(block) < length:
                    raise SfddmError(f"{path}: truncated; its header promises {sizes[0]} entries, {entry} are whole")
                yield sizes, block
            if file.read(1):
                raise SfddmError(f"{path}: has bytes after the {sizes[0]} entries that its header promises")
    except (EOFError, OSError, ZlibError) as error:
        raise SfddmError(f"{path}: truncated or damaged gzip file ({error})") from None


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if compressed else path.open("rb")


def _read_header(file: BinaryIO, path: Path, dimensions: int) -> tuple[int, ...]:
    length = 4 + 4 * dimensions
    header = file.read(length)
    if header[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
        raise SfddmError(
            f"{path}: not an idx file of unsigned bytes in {dimensions} dimensions (it must begin with "
            f"0000080{dimensions}, it begins with {header[:4].hex() or 'nothing'})"
        )
    if len(header) < length:
        raise SfddmError(f"{path}: truncated in its header")
    sizes = struct.unpack(f">{dimensions}I", header[4:])
    if not 1 <= (length := prod(sizes[1:])) <= MOST_PIXELS:
        raise SfddmError(f"{path}: its header promises entries of {length:,} bytes; 1 to {MOST_PIXELS:,} are allowed")
    return sizes

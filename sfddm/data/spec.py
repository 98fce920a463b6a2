"""Where images come from: one typed section per source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sfddm.strict import Strict

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Split = Literal["train", "test"]


class Download(Strict):
    """A file on the network: its address and the digest it must have."""

    url: str
    sha256: Sha256


class Source(Strict):
    """What every source states: the images' label in reports, their shape and the splits to store.

    Attributes:
        label: how figures from these images are labelled.
        image_size: height and width after cropping and resizing, in pixels.
        channels: 1 (grey) or 3 (RGB).
        center_crop: side of the square cut out of the middle before resizing; None cuts the largest square.
        limit: keep only the first images of each split; None keeps all.
    """

    label: str
    image_size: Annotated[int, Field(ge=2, le=1024)]
    channels: Literal[1, 3]
    center_crop: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    splits: tuple[Split, ...] = ("train",)


class SklearnDigits(Source):
    """The 1,797 handwritten digits inside scikit-learn, 8x8 grey in 17 levels. One split only: ``train``."""

    source: Literal["sklearn-digits"]


class Idx(Source):
    """MNIST-family idx files, ``.gz`` or not. Looked for in ``folders`` in order, then downloaded."""

    source: Literal["idx"]
    folders: tuple[Path, ...] = ()
    downloads: dict[str, Download] = {}


class Parquet(Source):
    """Parquet files with one encoded image a row (a struct with ``bytes``, or plain binary)."""

    source: Literal["parquet"]
    files: dict[Split, tuple[Path, ...]]
    sha256: dict[Split, tuple[Sha256, ...]] = {}
    image_column: str = "img"
    label_column: str | None = "label"


class ImageFolder(Source):
    """A folder of images for each split; the first folder level names the class where there is one."""

    source: Literal["imagefolder"]
    folders: dict[Split, Path]


class Cifar10(Source):
    """CIFAR-10's official binary or python-free archive, local or downloaded."""

    source: Literal["cifar10"]
    archive: Path | None = None
    download: Download | None = None


class Hub(Source):
    """Parquet files of a data set repository on the Hugging Face hub at a pinned revision."""

    source: Literal["hub"]
    repo: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    files: dict[Split, tuple[str, ...]]
    image_column: str = "image"
    label_column: str | None = None


class LsunLmdb(Source):
    """LSUN's lmdb folders, one for each split; ``fraction`` keeps only the first part of the train split."""

    source: Literal["lsun-lmdb"]
    folders: dict[Split, Path]
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0


DataSpec = Annotated[
    SklearnDigits | Idx | Parquet | ImageFolder | Cifar10 | Hub | LsunLmdb, Field(discriminator="source")
]

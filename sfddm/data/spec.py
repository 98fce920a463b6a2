"""Where images come from: one typed section per source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sfddm.runtime.strict import Strict

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Split = Literal["train", "test"]
Paths = Annotated[tuple[Path, ...], Field(min_length=1)]
IdxFile = Literal[
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]


class Download(Strict):
    """A file on the network: its address and the digest it must have."""

    url: Annotated[str, Field(pattern=r"^https?://[^/]+/.*[^/]$")]
    sha256: Sha256


class _AnySource(Strict):
    """What every source states: the images' label in reports and the splits to store.

    Attributes:
        label: how figures from these images are labelled.
        limit: keep only so many images of each split, spread evenly over it; None keeps all.
        splits: the splits to store.
        class_names: names of labels 0, 1, ...; empty where the source knows them itself or there are none.
    """

    label: str
    limit: Annotated[int, Field(ge=1)] | None = None
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = ("train",)
    class_names: tuple[str, ...] = ()

    @field_validator("splits")
    @classmethod
    def _splits_differ(cls, splits: tuple[Split, ...]) -> tuple[Split, ...]:
        if len(set(splits)) < len(splits):
            raise ValueError("names a split twice")
        return splits


class Source(_AnySource):
    """A source of images.

    Attributes:
        image_size: height and width after cropping and resizing, in pixels.
        channels: 1 (grey) or 3 (RGB).
        center_crop: side of the square cut out of the middle before resizing; None cuts the largest square.
    """

    image_size: Annotated[int, Field(ge=2, le=1024)]
    channels: Literal[1, 3]
    center_crop: Annotated[int, Field(ge=1)] | None = None


class Gaussians2d(_AnySource):
    """Points in the plane from a mixture of 32 Gaussians in 8 classes; a point is an image of one pixel, (x, y).

    Attributes:
        images: how many points of each split.
        seed: the points are a function of seed and split.
    """

    source: Literal["gaussians-2d"]
    images: Annotated[int, Field(ge=4)] = 20_000
    seed: Annotated[int, Field(ge=0)] = 0
    image_size: Literal[1] = 1
    channels: Literal[2] = 2
    center_crop: None = None


class SklearnDigits(Source):
    """The 1,797 handwritten digits inside scikit-learn, 8x8 grey in 17 levels. One split only: ``train``."""

    source: Literal["sklearn-digits"]

    @model_validator(mode="after")
    def _train_only(self) -> SklearnDigits:
        if self.splits != ("train",):
            raise ValueError("sklearn-digits has one split only; splits must be [train]")
        return self


class Idx(Source):
    """MNIST-family idx files, ``.gz`` or not. Looked for in ``folders`` in order, then downloaded."""

    source: Literal["idx"]
    folders: tuple[Path, ...] = ()
    downloads: dict[IdxFile, Download] = Field(default_factory=dict)


class Parquet(Source):
    """Parquet files with one encoded image a row (a struct with ``bytes``, or plain binary).

    Attributes:
        files: the files of each split, read in this order.
        sha256: digests in the order of ``files``; checked before the first image is read.
        image_column: the images' column.
        label_column: an integer column; None where there are no labels.
    """

    source: Literal["parquet"]
    files: dict[Split, Paths]
    sha256: dict[Split, tuple[Sha256, ...]] = Field(default_factory=dict)
    image_column: str = "img"
    label_column: str | None = "label"

    @model_validator(mode="after")
    def _complete(self) -> Parquet:
        _require_splits("files", self.files, self.splits)
        for split, digests in self.sha256.items():
            expected = len(self.files.get(split, ()))
            if len(digests) != expected:
                raise ValueError(f"sha256.{split} has {len(digests)} digests for {expected} files in files.{split}")
        return self


class ImageFolder(Source):
    """A folder of images for each split; the first folder level names the class where there is one."""

    source: Literal["imagefolder"]
    folders: dict[Split, Path]

    @model_validator(mode="after")
    def _complete(self) -> ImageFolder:
        _require_splits("folders", self.folders, self.splits)
        return self


class Cifar10(Source):
    """CIFAR-10's official binary archive, ``cifar-10-binary.tar.gz``.

    Attributes:
        archive: a local copy. It is used where it exists, and then it must have ``download.sha256`` if that
            is given.
        download: where else it comes from.
    """

    source: Literal["cifar10"]
    archive: Path | None = None
    download: Download | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Cifar10:
        if self.archive is None and self.download is None:
            raise ValueError("cifar10 needs archive, download or both")
        return self


class Hub(Source):
    """Parquet files of a data set repository on the Hugging Face hub at a pinned revision."""

    source: Literal["hub"]
    repo: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    files: dict[Split, Annotated[tuple[str, ...], Field(min_length=1)]]
    image_column: str = "image"
    label_column: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Hub:
        _require_splits("files", self.files, self.splits)
        return self


class LsunLmdb(Source):
    """LSUN's lmdb folders, one for each split; ``fraction`` keeps only the first part of the train split."""

    source: Literal["lsun-lmdb"]
    folders: dict[Split, Path]
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _complete(self) -> LsunLmdb:
        _require_splits("folders", self.folders, self.splits)
        return self


def _require_splits(key: str, places: Mapping[Split, object], splits: tuple[Split, ...]) -> None:
    missing = [split for split in splits if split not in places]
    if missing:
        raise ValueError(f"{key} has no entry for {', '.join(missing)}, which splits asks for")


DataSpec = Annotated[
    SklearnDigits | Idx | Parquet | ImageFolder | Cifar10 | Hub | LsunLmdb | Gaussians2d,
    Field(discriminator="source"),
]

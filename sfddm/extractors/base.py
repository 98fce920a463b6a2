"""What every feature extractor offers, and the features of many images.

A new extractor is one file in this folder, or a plug-in, with a class derived from ``Extractor``. Its module is
imported with any spec, so it imports what is heavy inside functions.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sfddm.extractors.spec import Extraction
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.progress import Progress
from sfddm.runtime.registry import find

if TYPE_CHECKING:
    from torch import Tensor

Features = NDArray[np.float32]


class Images(Protocol):
    """(N, H, W, C) uint8 images that need not be in memory: an array, a mapped one, or rows chosen from one."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> NDArray[np.uint8]: ...


class Extractor(ABC):
    """Turns images into the features that metrics compare."""

    name: ClassVar[str]  # how ``evaluation.extractors`` of a spec names it
    title: ClassVar[str]  # how a figure's label names it
    layer: ClassVar[str]  # the layer that metrics are computed from
    resolution: ClassVar[int | None] = None  # the only side that it takes; None: any
    resizing: ClassVar[str] = "{side}x{side}, bilinear between pixel centres, antialiased when shrinking"
    for_points: ClassVar[bool] = False  # whether it takes points, stored as images of one pixel, instead of images
    is_inception: ClassVar[bool] = False  # whether it is behind every published FID, so that labels need not name it
    narrow_layers: ClassVar[tuple[str, str] | None] = None  # two layers about 192 and 768 wide, for the audit
    sha256: ClassVar[str | None] = None  # digest that its weights must have; None where there are none
    file: ClassVar[str] = ""  # the weights' file name
    trained: ClassVar[bool] = False  # whether the run's stage ``classifier`` makes its weights
    packages: ClassVar[tuple[str, ...]] = ()  # whose versions can change the features

    def __init__(self, extraction: Extraction, layers: Sequence[str], device: str = "cpu") -> None:
        self.extraction, self.layers, self.device = extraction, tuple(layers), device

    @classmethod
    def resize(cls, side: int) -> str:
        """Say in words how images are brought to the extractor's size; ``side`` is the spec's resolution."""
        return cls.resizing.format(side=side)

    @classmethod
    def own_weights(cls) -> Path:
        """Return where the weights are found, unless the spec names a file."""
        raise SfddmError(f"evaluation.extractor_weights: {cls.name} needs a file, {cls.file}")

    @classmethod
    def find_weights(cls, chosen: Path | None = None) -> Path:
        """Return the weights' file, its sha256 checked; ``chosen`` comes first.

        Raises:
            SfddmError: the file is missing and cannot be downloaded, or is another one than it should be.
        """
        path = cls.own_weights() if chosen is None else chosen
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            must = f"it must be {cls.file} with sha256 {cls.sha256}"
            raise SfddmError(
                f"{path}: evaluation.extractor_weights cannot be read ({error.strerror}); {must}"
            ) from None
        if found != cls.sha256:
            must = f"must be {cls.sha256} ({cls.file})"
            raise SfddmError(f"{path}: not the weights of {cls.name}: sha256 is {found}, {must}")
        return path

    @classmethod
    def identity(cls, weights: Path | None) -> dict[str, Any]:
        """Return what a protocol says of the network; ``weights`` are those that were chosen, None its own."""
        return {"extractor_sha256": cls.sha256}

    @abstractmethod
    def features(self, images: NDArray[np.uint8]) -> dict[str, Features]:
        """Return (B, D) features of each of ``self.layers`` of a batch of (B, H, W, C) uint8 images, C 1 or 3."""


class NetworkExtractor(Extractor):
    """An extractor that is a torch network; subclasses give ``forward``."""

    def features(self, images: NDArray[np.uint8]) -> dict[str, Features]:
        """Return the layers' features, deterministic and at full float32 precision; grey becomes three channels."""
        import torch

        batch = torch.from_numpy(np.array(images)).to(self.device).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            found = self.forward(batch)
        return {name: found[name].cpu().numpy() for name in self.layers}

    @abstractmethod
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return (B, D) float32 features of (B, 3, H, W) uint8 images, at least of the layers asked for."""


def find_extractor(name: str) -> type[Extractor]:
    """Return the extractor called ``name``."""
    return find("sfddm.extractors", Extractor, name, "evaluation.extractors")  # type: ignore[type-abstract]


def extract_features(images: Images, extraction: Extraction, device: str = "cpu") -> Features:
    """Return (N, D) float32 features of images, of the extractor's layer for metrics; see ``extract_layers``."""
    layer = find_extractor(extraction.extractor).layer
    return extract_layers(images, extraction, (layer,), device)[layer]


def extract_layers(
    images: Images, extraction: Extraction, layers: Sequence[str], device: str = "cpu"
) -> dict[str, Features]:
    """Return (N, D) float32 features of images, or of points, (N, 1, 1, 2), for each of the layers.

    Memory beyond the result is that of one batch; batches change nothing but rounding.

    Raises:
        SfddmError: the extractor's weights cannot be had.
    """
    extractor = find_extractor(extraction.extractor)(extraction, layers, device)
    # A processor's caches hold a small batch's activations only: 64 at a time ran 1.5 times as fast as 256.
    size = min(extraction.batch_size, 64) if device == "cpu" else extraction.batch_size
    features: dict[str, Features] = {}
    with Progress("features", len(images)) as progress:
        for first in range(0, len(images), size):
            for name, block in extractor.features(images[first : first + size]).items():
                whole = features.setdefault(name, np.empty((len(images), block.shape[1]), np.float32))
                whole[first : first + len(block)] = block
            progress.add(min(size, len(images) - first))
    return features

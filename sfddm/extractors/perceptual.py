"""A perceptual distance with gradients, from EfficientNet-Lite0, whose weights are at hand offline.

It stands in for LPIPS (Zhang et al. 2018), whose weights are not: the same form, unit-length features of several layers
compared place by place, without LPIPS' learned weights of the channels. No figure of it is an LPIPS.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

LAYERS = ("24", "40", "112")
RESOLUTION = 64


def perceptual_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return (B,) the sum over layers of the mean squared difference of unit-length features, in [0, 4] a layer.

    Args:
        x: (B, C, H, W) images in [-1, 1], C 1 or 3; the gradient flows through these.
        y: (B, C, H, W) images to compare with, without gradient.
    """
    import torch

    extractor = _extractor(x.device)
    with torch.no_grad():
        targets = _maps(extractor, y)
    total = torch.zeros(len(x), device=x.device)
    for ours, theirs in zip(_maps(extractor, x), targets, strict=True):
        total = total + (ours - theirs).square().sum(1).flatten(1).mean(1)
    return total


def _maps(extractor: Any, images: Tensor) -> list[Tensor]:
    """Return the (B, D, h, w) features of each layer, of unit length at each place."""
    pixels = images.add(1).mul(127.5).expand(-1, 3, -1, -1)
    found = extractor.maps(pixels)
    return [found[name] / found[name].square().sum(1, keepdim=True).add(1e-10).sqrt() for name in LAYERS]


@cache
def _extractor(device: Any) -> Any:
    from sfddm.extractors.efficientnet_lite0 import EfficientNetLite0
    from sfddm.extractors.spec import Extraction

    return EfficientNetLite0(Extraction(extractor_resolution=RESOLUTION), LAYERS, device)

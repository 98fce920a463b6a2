"""The perceptual distance: what it is zero for, what it grows with, where its gradient leads."""

from __future__ import annotations

import pytest
import torch

from sfddm.extractors.efficientnet_lite0 import EfficientNetLite0
from sfddm.extractors.perceptual import LAYERS, RESOLUTION, perceptual_distance
from sfddm.extractors.spec import Extraction


def images(count: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Smooth random images, (count, channels, 16, 16) in [-1, 1]."""
    coarse = torch.randn(count, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=16, mode="bicubic").clamp(-1, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_zero_between_equal_images_and_the_same_both_ways(channels: int) -> None:
    x, y = images(4, channels), images(4, channels, seed=1)
    assert torch.equal(perceptual_distance(x, x), torch.zeros(4))
    there, back = perceptual_distance(x, y), perceptual_distance(y, x)
    assert torch.allclose(there, back, rtol=1e-5)
    assert (there > 0).all()
    assert (there <= 4 * len(LAYERS)).all()


def test_it_grows_with_the_noise_that_is_added() -> None:
    x = images(8)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    means = [perceptual_distance((x + scale * noise).clamp(-1, 1), x).mean().item() for scale in (0.05, 0.2, 0.8)]
    assert means == sorted(means)


def test_it_is_the_mean_squared_difference_of_unit_vectors() -> None:
    """Against the same sum over features that hooks take from the network's own blocks."""
    x, y = images(2, 3), images(2, 3, seed=1)
    extractor = EfficientNetLite0(Extraction(extractor_resolution=RESOLUTION), LAYERS)
    blocks = {"24": 2, "40": 4, "112": 10}
    caught: dict[str, list[torch.Tensor]] = {name: [] for name in LAYERS}
    for name in LAYERS:
        extractor.network._blocks[blocks[name]].register_forward_hook(
            lambda module, inputs, output, name=name: caught[name].append(output)
        )
    for some in (x, y):
        pixels = torch.nn.functional.interpolate((some + 1) * 127.5, size=RESOLUTION, mode="bilinear")
        extractor.network.extract_features((pixels - 127) / 128)
    expected = torch.zeros(2)
    for first, second in caught.values():
        cosine = torch.nn.functional.cosine_similarity(first, second, dim=1)  # (B, h, w)
        expected += (2 - 2 * cosine).mean(dim=(1, 2))
    assert torch.allclose(perceptual_distance(x, y), expected, rtol=1e-3)


def test_following_its_gradient_brings_an_image_nearer() -> None:
    target = images(1, seed=3)
    x = images(1, seed=4).requires_grad_(True)
    first = perceptual_distance(x, target).sum()
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        perceptual_distance(x, target).sum().backward()
        optimizer.step()
    assert perceptual_distance(x.detach(), target).item() < 0.7 * first.item()

"""The Monge Inception Distance (Berthet et al. 2026, arXiv 2605.06797): sliced Wasserstein-2 between features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfddm.diffusion.randomness import derived_seed, initial_noise
from sfddm.evaluation.intervals import Replicated
from sfddm.evaluation.metrics.base import Compared, Metric
from sfddm.evaluation.pairwise import chunks
from sfddm.extractors.base import Features

if TYPE_CHECKING:
    from torch import Tensor

PROJECTIONS = 1000
_VALUES = 1 << 22  # projected features held at once (32 MiB in float64)


class MIND(Metric):
    """3 D times the mean over directions of the squared Wasserstein-2 distance between the projected features.

    For two distributions that differ by a shift m alone it is 3 |m|^2. It looks at whole distributions along each line,
    not at mean and covariance only. As the Frechet distance, it is not 0 for two samples of one distribution.
    """

    name = "mind"
    title = "Sliced Wasserstein distance"
    title_of_inception = "MIND"
    better = "lower"
    lowest = 0.0
    definition = (
        f"3 D times the mean squared Wasserstein-2 distance along {PROJECTIONS} random directions, drawn with a fixed "
        "seed; float64; quantile functions where the numbers of images differ"
    )

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure and its replicates; each set is projected and sorted only once."""
        import torch

        generated, real = compared.generated, compared.reference.features
        blocks, device, width = compared.blocks, compared.device, compared.generated.shape[1]
        labels = torch.from_numpy(blocks.labels()).to(device)
        total = torch.zeros(blocks.count + 1, dtype=torch.float64, device=device)
        for part in _directions(width, max(len(generated), len(real)), device):
            values, order = projected(generated, part, device).sort(dim=1)  # (P, N)
            others, owner = projected(real, part, device).sort(dim=1).values, labels[order]
            total[-1] += squared_wasserstein(values, Quantiles.of(others, blocks.images)).sum()
            kept = Quantiles.of(others, blocks.kept)
            for block in range(blocks.count):
                # Each row loses the same number of values, so that what is left is a matrix again.
                left = values[owner != block].reshape(len(part), blocks.kept)
                total[block] += squared_wasserstein(left, kept).sum()
        figures = (3 * width / PROJECTIONS * total).cpu().numpy()
        return Replicated(float(figures[-1]), figures[:-1])


def _directions(width: int, images: int, device: str) -> Iterator[Tensor]:
    """Yield (P, D) unit vectors, uniform on the sphere, so many at a time, ``PROJECTIONS`` in all."""
    import torch

    seed, size = derived_seed("evaluation", "mind"), max(1, _VALUES // images)
    for first in range(0, PROJECTIONS, size):
        normal = initial_noise(seed, first, min(size, PROJECTIONS - first), (width,))
        part = torch.from_numpy(normal).to(device, torch.float64)
        yield part / part.norm(dim=1, keepdim=True)


def projected(features: Features, directions: Tensor, device: str) -> Tensor:
    """Return (P, N) the products of (N, D) features with (P, D) directions."""
    import torch

    return torch.cat([directions @ chunk.T for _, chunk in chunks(features, device)], dim=1)


@dataclass(frozen=True)
class Quantiles:
    """The quantile functions of M values in N equal parts of (0, 1]."""

    means: Tensor  # (P, N) over each part
    spread: Tensor  # (P,) mean squared distance of the function to these

    @classmethod
    def of(cls, values: Tensor, parts: int) -> Quantiles:
        """Compute them of (P, M) sorted values; the function is constant between the multiples of 1/M."""
        import torch

        count = values.shape[1]
        if count == parts:
            return cls(values, torch.zeros_like(values[:, 0]))
        ends = torch.arange(parts + 1, device=values.device) * count  # of the parts, in units of 1/(N M)
        whole, rest = ends // parts, (ends % parts).to(values.dtype) / parts
        sums = torch.nn.functional.pad(values.cumsum(dim=1), (1, 0))  # (P, M + 1)
        integral = sums[:, whole] + rest * values[:, whole.clamp(max=count - 1)]
        means = integral.diff(dim=1) * (parts / count)
        return cls(means, values.square().mean(dim=1) - means.square().mean(dim=1))


def squared_wasserstein(values: Tensor, others: Quantiles) -> Tensor:
    """Return (P,) the squared Wasserstein-2 distances of (P, N) sorted values to others, in N parts.

    In one dimension it is the integral over (0, 1) of the squared difference of the quantile functions.
    """
    return (values - others.means).square().mean(dim=1) + others.spread

"""Intervals for figures of generated images: the delete-one-block jackknife.

The generated images are cut into B disjoint blocks of equal size; the statistic is computed again B times, each time
without one block. How far these replicates scatter tells the standard error (Quenouille 1949; Tukey 1958; Efron &
Tibshirani 1993, chapter 11).

The interval covers the variation that other generated images, from other sampling noise, would bring, given this
model, this reference and this number of images. It does not cover the variation between trainings (run more seeds),
the choice of reference images, and the bias that a figure has at this number of images; the Frechet distance falls as
images are added. Pseudo-values would correct that, but make the figure incomparable with everyone else's.

The jackknife's variance errs on the large side (Efron & Stein 1981). Where generated images hardly differ from real
ones, figures are quadratic rather than linear in the sample, and the interval is up to twice as wide as it need be.
Where no replicate differs from the figure (a precision of exactly 1) it has width zero: "not resolved", not certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfddm.results.statistics import t_quantile
from sfddm.runtime.errors import SfddmError

COVERS = (
    "variation of the generated images with the sampling noise, at this number of images, given one trained "
    "model and one set of reference images; not the variation between trainings, nor the bias of a small "
    "sample; up to twice as wide as needed where the images hardly differ from real ones"
)


@dataclass(frozen=True)
class Replicated:
    """A figure of the whole sample, and its (B,) replicates without one block each."""

    value: float
    replicates: NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """``count`` blocks of two images or more at the front of ``images`` images; the rest is in every replicate."""

    images: int
    count: int

    def __post_init__(self) -> None:
        if self.images < 2 * self.count:
            needed = f"{self.count} blocks need at least {2 * self.count} images"
            raise SfddmError(f"evaluation.blocks: {needed}, there are {self.images}")

    @property
    def size(self) -> int:
        """Images in a block."""
        return self.images // self.count

    @property
    def kept(self) -> int:
        """Images in a replicate."""
        return self.images - self.size

    def slices(self) -> Iterator[slice]:
        """Yield each block's place among the images."""
        for block in range(self.count):
            yield slice(block * self.size, (block + 1) * self.size)

    def labels(self) -> NDArray[np.int64]:
        """Return (images,) the block of each image; ``count`` for the remainder."""
        return np.minimum(np.arange(self.images) // self.size, self.count)

    def mean(self, values: NDArray[np.float64]) -> Replicated:
        """Return the mean of (images,) values, and that without each block."""
        without = [(values.sum() - values[place].sum()) / self.kept for place in self.slices()]
        return Replicated(float(values.mean()), np.array(without))


def standard_error(figure: Replicated, blocks: Blocks) -> float:
    """Return the jackknife's standard error.

    With n images in blocks of d, it is sqrt((n-d)^2 / (n d (B-1)) * sum_b (r_b - mean r)^2), which is the usual
    sqrt((B-1)/B * sum ...) when n = B d, and whose square is unbiased for the variance of a mean with a rest, too.
    """
    scatter = float(np.sum((figure.replicates - figure.replicates.mean()) ** 2))
    return float(np.sqrt(blocks.kept**2 / (blocks.images * blocks.size * (blocks.count - 1)) * scatter))


def interval(
    figure: Replicated, blocks: Blocks, confidence: float, lowest: float = -np.inf, highest: float = np.inf
) -> tuple[float, float]:
    """Return (low, high): value -/+ Student's t (B-1 degrees of freedom) times the standard error.

    ``confidence`` is two-sided, in (0, 1); the interval is cut off at the figure's least and greatest possible values.
    """
    half = t_quantile(blocks.count - 1, confidence) * standard_error(figure, blocks)
    return max(figure.value - half, min(lowest, figure.value)), min(figure.value + half, max(highest, figure.value))


def stratified_interval(strata: NDArray[np.float64], confidence: float) -> tuple[float | None, float | None]:
    """Return the interval of the mean of (S, n) values that differ systematically between the S strata.

    Student's t with S (n - 1) degrees of freedom, the variance pooled within the strata; (None, None) for n = 1.
    """
    count, size = strata.shape
    if size < 2:
        return None, None
    error = float(np.sqrt(strata.var(axis=1, ddof=1).mean() / (count * size)))
    half = t_quantile(count * (size - 1), confidence) * error
    return float(strata.mean()) - half, float(strata.mean()) + half

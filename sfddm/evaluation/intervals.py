"""Intervals for figures of generated images: the delete-one-block jackknife.

The generated images are cut into B disjoint blocks of equal size; the statistic is computed again B times,
each time without one block. How far these replicates scatter tells the standard error (Quenouille 1949;
Tukey 1958; Efron & Tibshirani 1993, chapter 11).

What the interval covers: the variation that other generated images, from other sampling noise, would bring,
given this trained model, this reference set and this number of images. What it does not cover: the
variation between trainings (run more seeds), the choice of reference images, and the bias that a figure has
at this number of images. The Frechet distance is such a biased figure: it falls as images are added.
Jackknife pseudo-values would also correct bias, which would make the figure incomparable with everyone
else's, so the figure stays the plain one of the whole sample; all replicates leave out equally many images,
so that their bias is the same and does not enter their scatter.

The jackknife's variance errs on the large side (Efron & Stein 1981). Where generated images hardly differ
from real ones, the figures are quadratic rather than linear in the sample, and the interval is up to twice
as wide as it need be, whatever B is; further away it has its stated coverage. Where no replicate differs
from the figure (a precision of exactly 1) it has width zero: read that as "not resolved", not as certainty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfddm.runtime.errors import SfddmError

COVERS = (
    "variation of the generated images with the sampling noise, at this number of images, given one trained "
    "model and one set of reference images; not the variation between trainings, nor the bias of a small "
    "sample; up to twice as wide as needed where the images hardly differ from real ones"
)


@dataclass(frozen=True)
class Blocks:
    """``count`` blocks of equal size at the front of ``images`` images; the remainder is in every
    replicate.

    Raises:
        SfddmError: a block would hold fewer than two images.
    """

    images: int
    count: int

    def __post_init__(self) -> None:
        if self.images < 2 * self.count:
            raise SfddmError(
                f"evaluation.blocks: {self.count} blocks need at least {2 * self.count} images, there are {self.images}"
            )

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


@dataclass(frozen=True)
class Replicated:
    """A figure of the whole sample, and its (B,) replicates without one block each."""

    value: float
    replicates: NDArray[np.float64]


def standard_error(figure: Replicated, blocks: Blocks) -> float:
    """Return the jackknife's standard error.

    With n images in blocks of d, it is sqrt((n-d)^2 / (n d (B-1)) * sum_b (r_b - mean r)^2), which is the
    usual sqrt((B-1)/B * sum ...) when n = B d, and whose square is unbiased for the variance of a mean with
    a remainder, too.
    """
    scatter = float(np.sum((figure.replicates - figure.replicates.mean()) ** 2))
    return float(np.sqrt(blocks.kept**2 / (blocks.images * blocks.size * (blocks.count - 1)) * scatter))


def interval(
    figure: Replicated, blocks: Blocks, confidence: float, lowest: float = -np.inf, highest: float = np.inf
) -> tuple[float, float]:
    """Return (low, high): value -/+ Student's t (B-1 degrees of freedom) times the standard error.

    Args:
        figure: value and replicates.
        blocks: how the replicates came about.
        confidence: two-sided, in (0, 1).
        lowest: least possible value of the figure; the interval is cut off there.
        highest: greatest possible value.
    """
    from scipy.special import stdtrit

    half = float(stdtrit(blocks.count - 1, (1 + confidence) / 2)) * standard_error(figure, blocks)
    return max(figure.value - half, min(lowest, figure.value)), min(figure.value + half, max(highest, figure.value))

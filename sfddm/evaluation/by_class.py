"""Figures class by class, where a network knows classes: is each class good, and is it the class that was asked for?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.intervals import Blocks, Replicated, interval
from sfddm.evaluation.metrics import Features, ReferenceStatistics
from sfddm.randomness import sample_labels

if TYPE_CHECKING:
    from sfddm.spec import EvaluationSpec

_ROWS = 1024


def figures_by_class(
    features: Features, reference: ReferenceStatistics, classes: int, evaluation: EvaluationSpec
) -> list[dict[str, Any]]:
    """Return for each class the KID of its images and how many of them are of it.

    A row is ``{"class", "images", "reference_images", "kid", "low", "high", "hits"}``. The KID compares the generated
    images of a class with the real ones of that class; it is unbiased, so that a hundred images give a figure, while a
    Frechet distance of so few would be mostly bias. ``hits`` is the share of them whose nearest real image, of any
    class, is of the class. Classes with too few images on either side are left out.

    Args:
        features: (N, D) float32 of the samples, in their order.
        reference: with the classes of its images.
        classes: n.
        evaluation: blocks and confidence of the interval.
    """
    labels = sample_labels(0, len(features), classes)
    assert labels is not None
    nearest = reference.labels[_nearest(features, reference.features)]
    found = []
    for label in range(classes):
        mine, real = features[labels == label], reference.features[reference.labels == label]
        if len(mine) < 2 * evaluation.blocks or len(real) < 2:
            continue
        blocks = Blocks(len(mine), evaluation.blocks)
        figure = class_kid(mine, real, blocks)
        low, high = interval(figure, blocks, evaluation.confidence)
        facts = {"class": label, "images": len(mine), "reference_images": len(real)}
        hits = float((nearest[labels == label] == label).mean())
        found.append(facts | {"kid": figure.value, "low": low, "high": high, "hits": hits})
    return found


def class_kid(generated: Features, real: Features, blocks: Blocks) -> Replicated:
    """Return the unbiased MMD^2 under the kernel (x.y / D + 1)^3 (Binkowski et al. 2018) of few images, by block.

    Args:
        generated: (N, D).
        real: (M, D).
        blocks: of the N generated ones.
    """
    x, y = generated.astype(np.float64), real.astype(np.float64)

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return (a @ b.T / a.shape[1] + 1) ** 3

    within, across, theirs = kernel(x, x), kernel(x, y).mean(axis=1), kernel(y, y)
    np.fill_diagonal(within, 0)
    constant = (theirs.sum() - np.trace(theirs)) / (len(y) * (len(y) - 1))

    def estimate(kept: NDArray[np.bool_]) -> float:
        count = int(kept.sum())
        pairs = within[np.ix_(kept, kept)].sum() / (count * (count - 1))
        return float(pairs + constant - 2 * across[kept].mean())

    owner = blocks.labels()
    without = [estimate(owner != block) for block in range(blocks.count)]
    return Replicated(estimate(np.ones(len(x), dtype=bool)), np.array(without))


def _nearest(features: Features, others: Features) -> NDArray[np.int64]:
    """Return (N,) the row of the nearest of the others."""
    squares = (others.astype(np.float64) ** 2).sum(axis=1)
    found = [
        (squares - 2 * (features[first : first + _ROWS].astype(np.float64) @ others.T)).argmin(axis=1)
        for first in range(0, len(features), _ROWS)
    ]
    return np.concatenate(found)

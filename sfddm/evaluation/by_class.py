"""Figures class by class, where a network knows classes: is each class good, and is it the class that was asked for?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.intervals import Blocks, interval
from sfddm.evaluation.metrics import (
    Features,
    ReferenceStatistics,
    kernel_inception_distance,
    kernel_mean,
    nearest_neighbours,
)

if TYPE_CHECKING:
    from sfddm.evaluation.spec import EvaluationSpec


def figures_by_class(
    features: Features,
    labels: NDArray[np.int64],
    reference: ReferenceStatistics,
    classes: int,
    evaluation: EvaluationSpec,
) -> list[dict[str, Any]]:
    """Return for each class the KID of its images and how many of them are of it.

    A row is ``{"class", "images", "reference_images", "kid", "low", "high", "hits"}``. The KID compares the generated
    images of a class with the real ones of that class; it is unbiased, so that a hundred images give a figure, while a
    Frechet distance of so few would be mostly bias. ``hits`` is the share of them whose nearest real image, of any
    class, is of the class. Classes with too few images on either side are left out.

    Args:
        features: (N, D) float32 of the samples.
        labels: (N,) the classes that were asked for, in [0, classes).
        reference: with the classes of its images.
        classes: n.
        evaluation: blocks and confidence of the interval.
    """
    found_class = reference.labels[nearest_neighbours(features, reference.features)[1]]
    found = []
    for label in range(classes):
        mine, real = features[labels == label], reference.features[reference.labels == label]
        if len(mine) < 2 * evaluation.blocks or len(real) < 2:
            continue
        blocks = Blocks(len(mine), evaluation.blocks)
        figure = kernel_inception_distance(mine, real, kernel_mean(real), blocks)
        low, high = interval(figure, blocks, evaluation.confidence)
        facts = {"class": label, "images": len(mine), "reference_images": len(real)}
        hits = float((found_class[labels == label] == label).mean())
        found.append(facts | {"kid": figure.value, "low": low, "high": high, "hits": hits})
    return found

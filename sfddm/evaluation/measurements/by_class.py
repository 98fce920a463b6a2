"""Figures class by class, where a network knows classes: is each class good, and is it the class that was asked for?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.intervals import Blocks, interval
from sfddm.evaluation.measurements.base import Arrays, Inputs, Measurement
from sfddm.evaluation.metrics.base import Reference
from sfddm.evaluation.metrics.kid import kernel_distance, kernel_mean
from sfddm.evaluation.pairwise import nearest
from sfddm.evaluation.sections import Classes
from sfddm.extractors.base import Features
from sfddm.results.measurements import ByClass
from sfddm.results.score import ClassFigure
from sfddm.runtime.errors import SfddmError


class ByClassFigures(Measurement):
    """The KID of each class and the share of its images that look like it; a score has them, if there are classes."""

    name = "by-class"
    needs = ("samples", "reference")
    Section = Classes
    template = "classes.html"

    def measure(self, inputs: Inputs) -> tuple[ByClass, Arrays]:
        """Return the figures of each class."""
        section, (real, protocol) = inputs.section, inputs.real
        if section.classes is None:
            raise SfddmError("network.classes: is needed for figures by class")
        rows = figures_by_class(inputs.features, inputs.labels, real, section)
        return ByClass(rows, protocol | {"generated_images": len(inputs.labels)}), {}


def figures_by_class(
    features: Features, labels: NDArray[np.int64], reference: Reference, section: Classes
) -> tuple[ClassFigure, ...]:
    """Return for each class the KID of its images and how many of them are of it, of (N, D) features with (N,) labels.

    The KID compares the generated images of a class with the real ones of that class; it is unbiased, so that a hundred
    images give a figure, while a Frechet distance of so few would be mostly bias. ``hits`` is the share of them whose
    nearest real image, of any class, is of the class. Classes with too few images on either side have no figure.
    """
    found_class = reference.labels[nearest(features, reference.features)[1]]
    found = []
    for label in range(section.classes or 0):
        mine, real = features[labels == label], reference.features[reference.labels == label]
        if len(mine) < 2 * section.blocks or len(real) < 2:
            continue
        blocks = Blocks(len(mine), section.blocks)
        kid = kernel_distance(mine, real, kernel_mean(real), blocks)
        low, high = interval(kid, blocks, section.confidence)
        hits = float((found_class[labels == label] == label).mean())
        found.append(ClassFigure(label, len(mine), len(real), kid.value, low, high, hits))
    return tuple(found)

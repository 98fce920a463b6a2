"""What every metric on features offers.

A new metric is one file in this folder, or a plug-in, with a class derived from ``Metric`` that defines ``value``; a
spec lists it under ``evaluation.metrics``. Its module is imported with any spec, so it imports torch inside functions.
Those that torch-fidelity has are defined as there. All compute in float64, so that figures do not depend on the device.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.intervals import Blocks, Replicated
from sfddm.extractors.base import Features
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import find

Shared = TypeVar("Shared")


@dataclass(frozen=True)
class Reference:
    """What the metrics need to know about the reference images; computed once."""

    features: Features  # (M, D)
    mean: NDArray[np.float64]  # (D,)
    covariance: NDArray[np.float64]  # (D, D), divided by M - 1
    root: NDArray[np.float64]  # (D, D), the symmetric square root of the covariance
    kernel_mean: float  # over ordered pairs of different reference images
    squared_radii: NDArray[np.float64]  # (M,), squared distance to the k-th nearest other reference image
    nearest_neighbours: int  # k
    labels: NDArray[np.int64]  # (M,) classes, -1 where there is none


@dataclass(frozen=True)
class Compared:
    """Generated features, (N, D) float32, beside the reference's; ``blocks`` of the N, ``device`` to compute on."""

    generated: Features
    reference: Reference
    blocks: Blocks
    device: str = "cpu"

    def once(self, compute: Callable[[Compared], Shared]) -> Shared:
        """Return ``compute(self)``, computed only once however many metrics ask for it."""
        if compute not in self._known:
            self._known[compute] = compute(self)
        found: Shared = self._known[compute]
        return found

    @cached_property
    def _known(self) -> dict[Callable[[Compared], Any], Any]:
        return {}


class Metric(ABC):
    """A figure of generated features beside the reference's."""

    name: ClassVar[str]  # how a spec and the files of results call it
    title: ClassVar[str]  # how a figure's label names it, before the extractor
    title_of_inception: ClassVar[str | None] = None  # and where the extractor is InceptionV3; None: the title alone
    better: ClassVar[Literal["lower", "higher"]]
    lowest: ClassVar[float] = -np.inf  # least possible value: intervals are cut off there
    highest: ClassVar[float] = np.inf
    definition: ClassVar[str]  # for the protocol; ``{k}`` stands for the spec's ``nearest_neighbours``

    def value(self, generated: Features, reference: Reference) -> float:
        """Return the figure of (N, D) float32 features. A metric defines this, or ``by_block``."""
        raise SfddmError(f"metric {self.name}: must define value or by_block")

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure, and what it is without each block, from which the interval comes.

        By default ``value`` is computed again for each block; a metric whose replicates come from sums overrides this.
        """
        generated, reference = compared.generated, compared.reference
        left = (np.delete(generated, np.r_[place], axis=0) for place in compared.blocks.slices())
        without = np.array([self.value(some, reference) for some in left])
        return Replicated(self.value(generated, reference), without)


def find_metric(name: str) -> Metric:
    """Return the metric called ``name``."""
    return find("sfddm.evaluation.metrics", Metric, name, "evaluation.metrics")()

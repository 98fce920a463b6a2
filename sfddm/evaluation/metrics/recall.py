"""Improved recall (Kynkaanniemi et al. 2019)."""

from __future__ import annotations

from sfddm.evaluation.intervals import Replicated
from sfddm.evaluation.metrics.base import Compared, Metric
from sfddm.evaluation.metrics.precision import neighbours


class Recall(Metric):
    """The share of reference images that lie within some generated image's distance to its k-th nearest other one."""

    name = "recall"
    title = "Recall"
    better = "higher"
    lowest, highest = 0.0, 1.0
    definition = "nearest neighbours: {k}"

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure and its replicates."""
        return compared.once(neighbours).recall

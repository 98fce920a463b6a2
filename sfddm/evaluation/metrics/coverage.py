"""Coverage (Naeem et al. 2020)."""

from __future__ import annotations

from sfddm.evaluation.intervals import Replicated
from sfddm.evaluation.metrics.base import Compared, Metric
from sfddm.evaluation.metrics.precision import neighbours


class Coverage(Metric):
    """The share of reference images that have a generated image within the distance to their k-th nearest other one.

    Its balls are the reference's, so that generated outliers do not raise it as they raise the recall. For as many
    generated as reference images of one distribution it is about 1 - 2^-k; with more of them it rises.
    """

    name = "coverage"
    title = "Coverage"
    better = "higher"
    lowest, highest = 0.0, 1.0
    definition = "nearest neighbours: {k}; closed balls"

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure and its replicates."""
        return compared.once(neighbours).coverage

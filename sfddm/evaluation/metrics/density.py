"""Density (Naeem et al. 2020)."""

from __future__ import annotations

from sfddm.evaluation.intervals import Replicated
from sfddm.evaluation.metrics.base import Compared, Metric
from sfddm.evaluation.metrics.precision import neighbours


class Density(Metric):
    """How many reference images' balls, out to their k-th nearest other one, hold a generated image, over k.

    About 1 where both sets have one distribution; above 1 where generated images crowd where real ones are dense.
    Unlike the precision, one real outlier with a large ball hardly moves it.
    """

    name = "density"
    title = "Density"
    better = "higher"
    lowest = 0.0
    definition = "nearest neighbours: {k}; closed balls"

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure and its replicates."""
        return compared.once(neighbours).density

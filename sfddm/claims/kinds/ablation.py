"""Rows that differ in nothing but a few options, and how little that matters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Any

from pydantic import Field

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.kinds.base import ClaimTest, NothingToTest, found, judged
from sfddm.claims.selection import Selection, StepFilter
from sfddm.results.statistics import Difference
from sfddm.results.styles import style_of
from sfddm.results.verdicts import Cell

#: Options that change neither what is trained nor how it is sampled.
_NAMES_ONLY = ("title", "steps", "budgets", "budget", "budget_of")


class Ablation(ClaimTest):
    """Rows that differ in nothing but the options ``vary`` differ in the figure by no more than a relative tolerance.

    Attributes:
        among: for an option, the values that take part; others stay out.
        tolerance: largest difference between two rows, as a share of the rows' mean.
    """

    name = "ablation"
    metric: str = "frechet_distance"
    left: Selection
    vary: Annotated[tuple[str, ...], Field(min_length=1)]
    among: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    tolerance: Annotated[float, Field(gt=0)]
    steps: StepFilter = StepFilter()

    def cells(self, figures: Figures) -> list[Cell]:
        """Compare the two rows that differ most, of each group that differs in nothing else."""
        groups: dict[str, list[FigureOverSeeds]] = {}
        for figure in found(figures, self.left, self.metric, self.steps):
            row = figure.first
            if set(self.vary) <= set(row.options) and self._takes_part(row.options):
                rest = {key: value for key, value in row.options.items() if key not in (*self.vary, *_NAMES_ONLY)}
                key = json.dumps([row.experiment, row.steps, row.label, rest], sort_keys=True)
                groups.setdefault(key, []).append(figure)
        cells = [self._furthest_apart(group) for group in groups.values() if len(group) > 1]
        if not cells:
            raise NothingToTest(f"no two rows {self.left} differ in nothing but {' and '.join(self.vary)}")
        return cells

    def _takes_part(self, options: dict[str, Any]) -> bool:
        return all(_plain(options.get(key)) in map(_plain, allowed) for key, allowed in self.among.items())

    def _furthest_apart(self, group: Sequence[FigureOverSeeds]) -> Cell:
        """Judge the two rows that lie furthest apart against ``tolerance`` times the mean of all."""
        allowed = self.tolerance * (sum(abs(figure.value) for figure in group) / len(group))
        one, other = max(combinations(group, 2), key=lambda two: abs(two[0].value - two[1].value))
        if one.value < other.value:
            one, other = other, one

        def beyond(left: FigureOverSeeds, right: FigureOverSeeds) -> Difference | None:
            """What is allowed is subtracted, so that the claim is that the rest lies below 0."""
            difference = left.minus(right)
            return difference and difference.minus(allowed)

        names = (f"{one.first.title} ({one.first.method})", f"{other.first.title} ({other.first.method})")
        limit = f"{100 * self.tolerance:g} % of the mean, for the two furthest apart of {len(group)} rows"
        return judged(one, other, beyond, "lower", turned_by="either", names=names, limit=limit)

    def describe(self) -> str:
        """Name the rows, the options and the tolerance."""
        return (
            f"{style_of(self.metric).heading} of {self.left.noun} that differ in nothing but {' and '.join(self.vary)}"
            f"{self.steps.after(', steps')}; "
            f"claimed: the two furthest apart within {100 * self.tolerance:g} % of the mean"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

"""A cost that is counted, not estimated: it is right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.kinds.base import ClaimTest, NothingToTest, cell_of, found
from sfddm.claims.selection import Selection, StepFilter
from sfddm.results.verdicts import Cell, Number

CountedCost = Literal["folds", "parameters", "active_parameters", "flops_per_evaluation"]
#: Counted costs, in words.
_COSTS: dict[CountedCost, str] = {
    "folds": "trainings",
    "parameters": "weights in memory",
    "active_parameters": "weights at work in one step",
    "flops_per_evaluation": "floating-point operations in one step",
}


class Folds(ClaimTest):
    """A cost that is counted equals a number, or is below that of other rows at the same steps.

    ``cost`` is the number of trainings besides the teacher's, of weights in memory or at work in one step, or of
    floating-point operations of one step.
    """

    name = "folds"
    cost: CountedCost = "folds"
    left: Selection
    equals: Annotated[int, Field(ge=0)] | None = None
    fewer_than: Selection | None = None
    steps: StepFilter = StepFilter()

    @model_validator(mode="after")
    def _one_way(self) -> Folds:
        if (self.equals is None) == (self.fewer_than is None):
            raise ValueError("give either equals or fewer_than")
        return self

    def cells(self, figures: Figures) -> list[Cell]:
        """Check each row on the left, whatever metric it was measured in."""
        lefts = _once(found(figures, self.left, None, self.steps))
        others: dict[tuple[str, int | None], FigureOverSeeds] = {}
        if self.fewer_than is not None:
            for one in _once(found(figures, self.fewer_than, None, None)):
                others.setdefault((one.first.experiment, one.first.steps), one)
        cells = []
        for left in lefts:
            right = others.get((left.first.experiment, left.first.steps))
            sides = [left] if right is None else [left, right]
            numbers = [number for side in sides if (number := self._counted(side)) is not None]
            if len(numbers) == (1 if self.fewer_than is None else 2):
                cells.append(self._checked(sides, numbers))
        if not cells:
            raise NothingToTest(f"no {_COSTS[self.cost]} are stated for {self.left}")
        return cells

    def _checked(self, sides: Sequence[FigureOverSeeds], numbers: Sequence[Number]) -> Cell:
        if self.fewer_than is None:
            right, text = numbers[0].value == self.equals, f"claimed {self.equals}"
        else:
            right, text = numbers[0].value < numbers[1].value, "counted, not estimated"
        verdict: Literal["reproduced", "contradicted"] = "reproduced" if right else "contradicted"
        cell = cell_of(sides, verdict, numbers, text)
        seeds = len(sides[0].rows)
        return replace(cell, metric=self.cost, label=_COSTS[self.cost], seeds=seeds, images=None)

    def _counted(self, figure: FigureOverSeeds) -> Number | None:
        value = getattr(figure.first, self.cost)
        if value is None:
            return None
        return Number(f"{_COSTS[self.cost]} of {figure.first.title}", figure.first.steps, float(value), None, None, 0)

    def describe(self) -> str:
        """Name the cost, the rows, and what it is claimed to be."""
        wanted = str(self.equals) if self.fewer_than is None else f"fewer than {self.fewer_than.noun}"
        rows = f"{self.left.noun}{self.steps.after(', steps')}"
        return f"Number of {_COSTS[self.cost]} of {rows}; claimed: {wanted}"


def _once(selected: Sequence[FigureOverSeeds]) -> list[FigureOverSeeds]:
    """Keep one figure of each row of the table, whatever its metric."""
    by_row: dict[tuple[str, str, int | None], FigureOverSeeds] = {}
    for figure in selected:
        by_row.setdefault((figure.first.experiment, figure.first.method, figure.first.steps), figure)
    return list(by_row.values())

"""Left against a factor of a reference, or within a tolerance of it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field, model_validator

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.kinds.base import ClaimTest, Direction, NothingToTest, found, judged
from sfddm.claims.selection import Selection, StepFilter
from sfddm.results.styles import style_of
from sfddm.results.verdicts import Cell


class Within(ClaimTest):
    """``left`` is worse than the reference ``right`` by no more than a factor, or by no more than a tolerance.

    The reference is taken at its own number of steps, the largest where it has several.
    """

    name = "within"
    metric: str = "frechet_distance"
    better: Direction = "lower"
    left: Selection
    right: Selection
    factor: Annotated[float, Field(ge=1)] | None = None
    tolerance: Annotated[float, Field(ge=0)] | None = None
    steps: StepFilter = StepFilter()

    @model_validator(mode="after")
    def _one_way(self) -> Within:
        if (self.factor is None) == (self.tolerance is None):
            raise ValueError("give either factor or tolerance")
        return self

    def cells(self, figures: Figures) -> list[Cell]:
        """Compare each row on the left with its experiment's reference."""
        lefts = found(figures, self.left, self.metric, self.steps)
        rights = found(figures, self.right, self.metric, None)
        lower = self.better == "lower"
        factor, tolerance = self.factor or 1.0, self.tolerance or 0.0
        limit = f"{'' if lower else '1 / '}{factor:g} times" if self.factor else f"{tolerance:g} from"
        cells = []
        for left in lefts:
            key = (left.first.experiment, left.first.label)
            own = [right for right in rights if (right.first.experiment, right.first.label) == key]
            if own:
                right = max(own, key=lambda figure: figure.first.steps or 0)
                scale, offset = (factor, tolerance) if lower else (1 / factor, -tolerance)
                compared = partial(FigureOverSeeds.minus, scale=scale, offset=offset)
                cells.append(judged(left, right, compared, self.better, limit=f"{limit} the reference"))
        if not cells:
            raise NothingToTest(f"the reference {self.right} was not measured beside the rows {self.left}")
        return cells

    def describe(self) -> str:
        """Name both sides and the limit."""
        limit = f"a factor of {self.factor:g}" if self.factor else f"{self.tolerance:g}"
        sides = f"{self.left.noun} against {self.right.noun}{self.steps.after(', steps')}"
        return f"{style_of(self.metric).heading} of {sides}; claimed: worse by no more than {limit}"

"""Figures of a row against control figures of the very same row."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.kinds.base import ClaimTest, Direction, NothingToTest, judged
from sfddm.claims.selection import Selection, StepFilter
from sfddm.results.rows import Row
from sfddm.results.styles import style_of
from sfddm.results.verdicts import Cell
from sfddm.runtime.strict import Strict


class ControlledFigure(Strict):
    """A figure, the control that it must beat, and in which direction."""

    metric: str
    control: str
    relation: Direction


class Control(ClaimTest):
    """Each figure of ``pairs`` beats its control."""

    name = "control"
    left: Selection
    pairs: Annotated[tuple[ControlledFigure, ...], Field(min_length=1)]
    steps: StepFilter = StepFilter()

    def cells(self, figures: Figures) -> list[Cell]:
        """Compare each figure of each row with its control."""
        cells = []
        for pair in self.pairs:
            controls = figures.select(self.left, pair.control)
            for figure in figures.select(self.left, pair.metric, self.steps):
                for control in controls:
                    if _place(control.first) == _place(figure.first):
                        names = (figure.first.label, f"control ({control.first.label})")
                        compared = FigureOverSeeds.minus
                        cells.append(judged(figure, control, compared, pair.relation, turned_by="left", names=names))
        if not cells:
            wanted = ", ".join(f"{pair.metric} and {pair.control}" for pair in self.pairs)
            at = self.steps.after(" at a step count that is")
            raise NothingToTest(f"no row {self.left} has the figures {wanted}{at}")
        return cells

    def describe(self) -> str:
        """Name the rows, the figures and the directions."""
        pairs = "; ".join(f"{style_of(pair.metric).heading}, {pair.relation} than its control" for pair in self.pairs)
        return f"Figures of {self.left.noun} against their own controls{self.steps.after(', steps')}; claimed: {pairs}"


def _place(row: Row) -> tuple[str, str, int | None]:
    return row.experiment, row.method, row.steps

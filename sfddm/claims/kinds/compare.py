"""Left against right, in every place of the table that both have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.kinds.base import ClaimTest, Direction, NothingToTest, found, judged, refused
from sfddm.claims.selection import Selection, StepFilter
from sfddm.results.rows import Row
from sfddm.results.styles import style_of
from sfddm.results.verdicts import Cell

Relation = Literal["lower", "higher", "at-least-as-low-as", "at-least-as-high-as"]
_RELATIONS: dict[Relation, str] = {
    "lower": "lower",
    "higher": "higher",
    "at-least-as-low-as": "no higher",
    "at-least-as-high-as": "no lower",
}


class Compare(ClaimTest):
    """``left`` has a lower (higher, ...) figure than ``right`` in the same experiment, at the same steps.

    A step count fixed on either side lifts the match on steps. ``same_index_set`` asks besides that both visit the
    same indices of the teacher, ``same_cost`` that their trainings took equally many network evaluations, the
    teacher's included, to within 1 %; rows at smaller budgets then take part, too. "At least as ..." is a test of
    equivalence from one side: no worse by more than ``margin``, a share of the right figure.
    """

    name = "compare"
    metric: str = "frechet_distance"
    left: Selection
    relation: Relation
    right: Selection
    steps: StepFilter = StepFilter()
    same_index_set: bool = False
    same_cost: bool = False
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.05

    @property
    def _any_steps(self) -> bool:
        return self.left.steps is not None or self.right.steps is not None

    def cells(self, figures: Figures) -> list[Cell]:
        """Compare each row on the left with every row on the right that it can be compared with."""
        lefts = found(figures, self.left, self.metric, self.steps, every_budget=self.same_cost)
        rights = found(figures, self.right, self.metric, None, every_budget=self.same_cost)
        cells: list[Cell] = []
        for left in lefts:
            partners = [right for right in rights if right is not left and self._comparable(left.first, right.first)]
            if self.same_index_set and partners:
                same = [one for one in partners if one.first.index_set == left.first.index_set is not None]
                if not same:
                    reason = "the two do not visit the same indices of the teacher"
                    cells.append(refused(left, partners[0], reason))
                partners = same
            cells += [self._compared(left, right) for right in partners]
        if not cells:
            common = "training of equal cost at the same steps" if self.same_cost else "step count in common"
            raise NothingToTest(f"the rows {self.left} and {self.right} have no {common}")
        return cells

    def _comparable(self, left: Row, right: Row) -> bool:
        """Rows of another cost need no cell of their own: ``implements`` finds dozens of them."""
        return (
            (right.experiment, right.label) == (left.experiment, left.label)
            and (self._any_steps or right.steps == left.steps)
            and (not self.same_cost or _cost_alike(left, right))
        )

    def _compared(self, left: FigureOverSeeds, right: FigureOverSeeds) -> Cell:
        alike = left.first.title == right.first.title
        names = (_name_of(left.first), _name_of(right.first)) if alike else (None, None)
        direction: Direction = "lower" if "low" in self.relation else "higher"
        difference = left.minus(right)
        if not self._no_worse or (difference is not None and difference.equal):
            return judged(left, right, FigureOverSeeds.minus, direction, or_equal=self._no_worse, names=names)
        factor = 1 + self.margin if direction == "lower" else 1 - self.margin
        limit = f"{100 * self.margin:g} % beyond the other"
        return judged(left, right, lambda a, b: a.minus(b, factor), direction, names=names, limit=limit)

    @property
    def _no_worse(self) -> bool:
        return self.relation.startswith("at-least")

    def describe(self) -> str:
        """Name both sides, on what they are matched, and the relation."""
        matched = "" if self._any_steps else " at the same steps"
        indices = " on the same indices of the teacher" if self.same_index_set else ""
        cost = " at equal network evaluations in training" if self.same_cost else ""
        sides = f"{self.left.noun} against {self.right.noun}{matched}{indices}{cost}{self.steps.after(', steps')}"
        margin = f", with a margin of {100 * self.margin:g} %" if self._no_worse else ""
        return f"{style_of(self.metric).heading} of {sides}; claimed: {_RELATIONS[self.relation]}{margin}"


def _cost_alike(left: Row, right: Row) -> bool:
    """Say whether two trainings took equally many network evaluations, to within 1 %."""
    one, other = left.network_evaluations, right.network_evaluations
    return one is not None and other is not None and one > 0 and abs(one - other) <= 0.01 * one


def _name_of(row: Row) -> str:
    return f"{row.title} ({row.method}, {row.steps} steps)"

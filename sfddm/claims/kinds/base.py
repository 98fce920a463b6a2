"""The contract of a kind of test, and what the kinds share: finding figures, and judging the sign of a difference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.power import what_would_decide
from sfddm.claims.selection import Selection, StepFilter
from sfddm.claims.settled import may_turn
from sfddm.claims.together import judged_together, over_extractors, overall
from sfddm.results.statistics import Difference, Estimate
from sfddm.results.styles import style_of
from sfddm.results.verdicts import DECIDED, AtBudget, Cell, Number, RowLink, Word
from sfddm.runtime.strict import Strict

Direction = Literal["lower", "higher"]

TurnedBy = Literal["worse", "either", "left"]

#: Where an interval lies, seen from a limit.
_SIDES = {
    "reproduced": "the interval lies within",
    "contradicted": "the interval lies beyond",
    "inconclusive": "the interval does not tell",
}


class NothingToTest(Exception):
    """Carries the reason why a claim has no cell."""


class ClaimTest(Strict, ABC):
    """What decides a claim. A new kind is one file in this folder; ``name`` is what files of claims call it."""

    name: ClassVar[str]
    kind: str

    @abstractmethod
    def cells(self, figures: Figures) -> list[Cell]:
        """Return the verdict in each place of the table that the test looks at.

        Raises:
            NothingToTest: there is no such place, with the reason.
        """

    @abstractmethod
    def describe(self) -> str:
        """Say which figures of which rows are compared with which, and what was claimed of them."""

    def outcome(self, figures: Figures) -> tuple[Word, str, list[Cell]]:
        """Return the verdict over all cells, the sentence behind it, and the cells."""
        try:
            cells = self.cells(figures)
        except NothingToTest as nothing:
            return "not tested", str(nothing), []
        cells = over_extractors(judged_together(cells))
        return (*overall(cells), cells)


def found(
    figures: Figures,
    selection: Selection,
    metric: str | None,
    steps: StepFilter | None,
    *,
    every_budget: bool = False,
) -> list[FigureOverSeeds]:
    """Return the figures that are selected, at least one; ``every_budget``: of smaller budgets, too.

    Raises:
        NothingToTest: there is none, with the reason.
    """
    selected = figures.select(selection, metric, steps, every_budget=every_budget)
    if selected:
        return selected
    without = figures.select(selection, metric)
    if without and steps is not None:
        counts = ", ".join(str(c) for c in dict.fromkeys(figure.first.steps for figure in without))
        raise NothingToTest(f"the rows {selection} have {counts} steps, none of them {steps}")
    suffix = f" with the figure {metric}" if metric else ""
    raise NothingToTest(f"no row {selection}{suffix} was measured")


#: Takes the figure on the right from the one on the left, as a claim asks; None where they share no training seed.
Comparison = Callable[[FigureOverSeeds, FigureOverSeeds], Difference | None]


def judged(
    left: FigureOverSeeds,
    right: FigureOverSeeds,
    compared: Comparison,
    direction: Direction,
    *,
    or_equal: bool = False,
    turned_by: TurnedBy = "worse",
    names: tuple[str | None, str | None] = (None, None),
    limit: str | None = None,
) -> Cell:
    """Judge a difference that is claimed to lie below 0 ("lower") or above it ("higher").

    Args:
        left, right: what was compared.
        compared: returns the difference.
        direction: where it is claimed to lie.
        or_equal: a difference of exactly 0 is as claimed.
        turned_by: which row's longer training may turn the verdict: the one with the worse figure, either, or the left
            one where its figure is the worse (the right one is its own control).
        names: of the two, where their titles do not do.
        limit: what 0 stands for, where that is not equality.
    """
    difference = compared(left, right)
    if difference is None:
        return refused(left, right, "the two share no training seed")
    equal = difference.equal and limit is None
    verdict: Word = "reproduced" if equal and or_equal else "inconclusive"
    if difference.side and not equal:
        verdict = "reproduced" if (difference.side < 0) == (direction == "lower") else "contradicted"
    numbers = [left.number(names[0]), right.number(names[1])]
    reason = "exactly equal" if equal else str(difference)
    because = reason if limit is None else f"allowed {limit}; {_SIDES[verdict]}"
    word, curve, turns = _settled(left, right, compared, difference, verdict, turned_by)
    if verdict in DECIDED and not equal:
        verdict = word
    else:
        turns = ""
    cell = cell_of([left, right], verdict, numbers, f"{because}; {turns}" if turns else because, difference)
    power = what_would_decide(difference) if verdict == "inconclusive" and not equal else ""
    return replace(cell, curve=curve, turns=turns, power=power)


def _settled(
    left: FigureOverSeeds,
    right: FigureOverSeeds,
    compared: Comparison,
    difference: Difference,
    verdict: Word,
    turned_by: TurnedBy,
) -> tuple[Word, tuple[AtBudget, ...], str]:
    """Return the verdict or "unsettled", the curve behind that, and why more training may turn it.

    It may where the trend of a row's budgets leads across 0, and where the row with the worse figure was trained with
    one budget. A row with the better figure and one budget has done already what it took.
    """
    better = style_of(left.first.metric).better
    worse = {"lower": [right, left], "higher": [left, right]}.get(better, [])
    turning = [left, right] if turned_by == "either" or not worse else [worse[difference.value > 0]]
    turning = [side for side in turning if turned_by != "left" or side is left]
    curves: list[tuple[AtBudget, ...]] = []
    reasons: list[str] = []
    for side in (left, right):
        points = [_at(one, compared(one, right) if side is left else compared(left, one)) for one in side.cheaper]
        curve = tuple(point for point in [*points, _at(side, difference)] if point is not None)
        if side.trained and (len(curve) > 1 or side in turning):
            reasons.append(may_turn(curve))
        curves += [curve] if len(curve) > 1 else []
    turns = next(filter(None, reasons), "")
    word: Word = "unsettled" if turns else verdict
    if not turns and any(side.trained and not side.cheaper for side in (left, right)):
        turns = "one training budget"
    return word, max(curves, key=len, default=()), turns


def _at(figure: FigureOverSeeds, difference: Difference | None) -> AtBudget | None:
    if difference is None:
        return None
    estimate = Estimate(difference.value, difference.low, difference.high)
    return AtBudget(figure.first.budget, figure.first.images_seen, estimate)


def refused(left: FigureOverSeeds, right: FigureOverSeeds, reason: str) -> Cell:
    """Return a cell in which nothing could be tested."""
    return cell_of([left, right], "not tested", [left.number(), right.number()], reason)


def cell_of(
    sides: Sequence[FigureOverSeeds],
    verdict: Word,
    numbers: Sequence[Number],
    because: str,
    difference: Difference | None = None,
) -> Cell:
    """Return a cell in the place of the first of ``sides``, with a sentence that begins with the numbers."""
    row = sides[0].first
    return Cell(
        experiment=row.experiment,
        steps=row.steps,
        metric=row.metric,
        label=row.label,
        verdict=verdict,
        because=f"{' against '.join(map(str, numbers))}; {because}",
        numbers=tuple(numbers),
        seeds=difference.seeds if difference else 0,
        images=sides[0].images,
        rows=tuple(dict.fromkeys(RowLink.to(side.first) for side in sides)),
        difference=difference and Estimate(difference.value, difference.low, difference.high),
        trained=any(side.first.folds for side in sides),
        extractor=None if style_of(row.metric).of_pixels else row.protocol.get("extractor"),
        p_value=difference.p_value if difference else None,
        confidence=difference.confidence if difference else None,
    )

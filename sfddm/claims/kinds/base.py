"""The contract of a kind of test, and what the kinds share: finding figures, and judging the sign of a difference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.selection import Selection, StepFilter
from sfddm.results.statistics import Difference, Estimate
from sfddm.results.styles import style_of
from sfddm.results.verdicts import WORDS, Cell, Number, RowLink, Word
from sfddm.runtime.strict import Strict

Direction = Literal["lower", "higher"]

#: Where an interval lies, seen from a limit.
_SIDES: dict[Word, str] = {
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
        return (*overall(cells), cells)


def overall(cells: Sequence[Cell]) -> tuple[Word, str]:
    """Return the verdict over several cells and the sentence behind it.

    Reproduced where every tested cell is; contradicted where at least one is and none is reproduced; not tested where
    no cell is tested; inconclusive in every other case, with the counts of the cells.
    """
    counts = Counter(cell.verdict for cell in cells)
    tested = len(cells) - counts["not tested"]
    if not tested:
        return "not tested", "; ".join(dict.fromkeys(cell.because for cell in cells))
    if len(cells) == 1:
        return cells[0].verdict, cells[0].because
    parts = [f"{counts[word]} {word}" for word in WORDS[:3] if counts[word]]
    text = f"of {tested} comparison{'' if tested == 1 else 's'}, {', '.join(parts)}"
    if counts["not tested"]:
        text += f"; {counts['not tested']} could not be made"
    if counts["reproduced"] == tested:
        return "reproduced", text
    if counts["contradicted"] and not counts["reproduced"]:
        return "contradicted", text
    if counts["contradicted"]:
        text += "; they disagree, so the claim as a whole is undecided"
    return "inconclusive", text


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


def judged(
    left: FigureOverSeeds,
    right: FigureOverSeeds,
    difference: Difference | None,
    direction: Direction,
    *,
    or_equal: bool = False,
    names: tuple[str | None, str | None] = (None, None),
    limit: str | None = None,
) -> Cell:
    """Judge a difference that is claimed to lie below 0 ("lower") or above it ("higher").

    Args:
        left, right: what was compared.
        difference: of the two; None where they share no training seed.
        direction: where it is claimed to lie.
        or_equal: a difference of exactly 0 is as claimed.
        names: of the two, where their titles do not do.
        limit: what 0 stands for, where that is not equality.
    """
    if difference is None:
        return refused(left, right, "the two share no training seed")
    equal = difference.equal and limit is None
    verdict: Word = "reproduced" if equal and or_equal else "inconclusive"
    if difference.side and not equal:
        verdict = "reproduced" if (difference.side < 0) == (direction == "lower") else "contradicted"
    numbers = [left.number(names[0]), right.number(names[1])]
    reason = "exactly equal" if equal else str(difference)
    because = reason if limit is None else f"allowed {limit}; {_SIDES[verdict]}"
    return cell_of([left, right], verdict, numbers, because, difference)


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
    )

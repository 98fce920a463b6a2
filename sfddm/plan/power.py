"""The smallest difference that a planned comparison could show, from the scatter that published records had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from sfddm.claims.figures import FigureOverSeeds
from sfddm.claims.power import smallest_shown
from sfddm.plan.records import Record
from sfddm.results.rows import Row
from sfddm.results.statistics import t_quantile
from sfddm.results.verdicts import Cell


@dataclass(frozen=True)
class Shown:
    """A difference that would be seen with the probability ``claims.power.POWER``, from the figures of a record."""

    difference: float
    record: str


def smallest_difference(cell: Cell, records: Sequence[Record], data: str, confidence: float) -> Shown | None:
    """Return the smallest difference that a comparison with as many seeds as the planned one would show.

    Both rows must have been measured by the first record of the same data that has them, at the same number of
    images. With several planned seeds the scatter of the paired difference from seed to seed is the record's; with one
    it is that of the scores' own intervals, widened for a single training.

    Args:
        cell: a planned comparison.
        records: published records.
        data: the label of the images.
        confidence: of the planned intervals, in (0, 1).
    """
    for record in records:
        sides = _sides(cell, record) if record.data == data else []
        if len(sides) == 2 and (error := _error(*sides, cell.seeds)) is not None:
            of_one, degrees = error
            return Shown(smallest_shown(of_one / sqrt(cell.seeds), degrees, confidence), record.name)
    return None


def _sides(cell: Cell, record: Record) -> list[FigureOverSeeds]:
    """Return the record's figures of the rows of a comparison."""
    found = []
    for link in cell.rows:
        matches = (
            figure
            for figure in record.figures
            if (figure.first.method, figure.first.steps, figure.first.metric) == (link.method, link.steps, link.metric)
            and _alike(figure.first, cell)
            and figure.images == cell.images
        )
        found += [next(matches, None)]
    return [figure for figure in found if figure is not None]


def _alike(row: Row, cell: Cell) -> bool:
    return cell.extractor is None or row.protocol.get("extractor") == cell.extractor


def _error(left: FigureOverSeeds, right: FigureOverSeeds, seeds: int) -> tuple[float, int] | None:
    """Return the standard error of one seed's difference, and the degrees of freedom of a test over ``seeds``."""
    if seeds == 1:
        left, right = (replace(side, rows=side.rows[:1]) for side in (left, right))
    found = left.minus(right)
    if found is None or not found.reach or found.equal:
        return None
    of_one = found.reach / t_quantile(found.degrees, found.confidence) * sqrt(found.seeds)
    return of_one, found.degrees if seeds == 1 else seeds - 1

"""The smallest difference that a planned comparison could show, from the scatter that published records had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, log2, sqrt

from sfddm.claims.figures import FigureOverSeeds
from sfddm.claims.power import smallest_shown
from sfddm.plan.records import Record
from sfddm.results.sequential import critical_t
from sfddm.results.statistics import t_quantile
from sfddm.results.verdicts import Cell, RowLink

#: Training images of a row of the table, all its folds together; None: not known.
ImagesSeen = Callable[[RowLink], float | None]


@dataclass(frozen=True)
class Shown:
    """A difference that would be seen with the probability ``claims.power.POWER``, from the figures of a record."""

    difference: float
    record: str


def smallest_difference(
    cell: Cell,
    records: Sequence[Record],
    data: str,
    confidence: float,
    *,
    anytime: bool = False,
    images_seen: ImagesSeen = lambda _: None,
) -> Shown | None:
    """Return the smallest difference that a comparison with as many seeds as the planned one would show.

    The scatter is that of a record of the same data that has both rows, at the same number of images, and of several
    the one whose rows were trained the most alike: figures of short trainings scatter more. With one planned seed it is
    what the scores' own intervals state, widened for a single training; with several that of the paired difference from
    seed to seed, of a record with several seeds where there is one.

    Args:
        cell: a planned comparison.
        records: published records.
        data: the label of the images.
        confidence: of the planned intervals, in (0, 1).
        anytime: whether those hold at any number of seeds.
        images_seen: of the planned rows; without them the first such record will do.
    """
    several = cell.seeds > 1
    planned = [images_seen(link) for link in cell.rows]
    found = [(record, _sides(cell, record)) for record in records if record.data == data]
    both = [(record, sides) for record, sides in found if len(sides) == 2]

    def unlike(one: tuple[Record, list[FigureOverSeeds]]) -> tuple[bool, float]:
        return (len(one[0].part.seeds) > 1) != several, _doublings(planned, one[1])

    for record, (left, right) in sorted(both, key=unlike):
        if error := _error(left, right, cell.seeds):
            of_one, degrees = error
            quantile = critical_t(cell.seeds, confidence) if anytime else t_quantile(degrees, confidence)
            if quantile < inf:
                return Shown(smallest_shown(of_one / sqrt(cell.seeds), degrees, quantile), record.name)
    return None


def _sides(cell: Cell, record: Record) -> list[FigureOverSeeds]:
    """Return the record's figures of the rows of a comparison, without those that it does not have."""
    return [figure for link in cell.rows if (figure := _figure(link, cell, record))]


def _doublings(planned: Sequence[float | None], sides: Sequence[FigureOverSeeds]) -> float:
    """Return how many doublings lie between the trainings of planned and recorded rows, where both are known."""
    pairs = zip(planned, (side.first.images_seen for side in sides), strict=True)
    return sum(abs(log2(wanted / seen)) for wanted, seen in pairs if wanted and seen)


def _figure(link: RowLink, cell: Cell, record: Record) -> FigureOverSeeds | None:
    for figure in record.figures:
        row, extractor = figure.first, figure.first.protocol.get("extractor")
        same_row = (row.method, row.steps, row.metric) == (link.method, link.steps, link.metric)
        if same_row and cell.extractor in (None, extractor) and cell.images == figure.images:
            return figure
    return None


def _error(left: FigureOverSeeds, right: FigureOverSeeds, seeds: int) -> tuple[float, int] | None:
    """Return the standard error of one seed's difference, and the degrees of freedom of a test over ``seeds``."""
    if seeds == 1:
        left, right = (replace(side, rows=side.rows[:1]) for side in (left, right))
    found = left.minus(right)
    if found is None or not found.error or found.equal:
        return None
    return found.error * sqrt(found.seeds), found.degrees if seeds == 1 else seeds - 1

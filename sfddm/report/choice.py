"""What to use: for each number of evaluations an image takes, the best figure that a training of some cost reaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sfddm.report.choice_plot import choice_plot
from sfddm.report.content import Content
from sfddm.report.costs import costs_of
from sfddm.results.rows import Collected

#: Fewer trained rows than this, and there is no choice to show.
LEAST_TRAINED = 3


@dataclass(frozen=True)
class Column:
    """The rows that ask the network equally often for an image.

    Attributes:
        nfe: how often.
        rows: with their costs, as ``costs_of`` gives them; the cheapest to train first.
        front: of these, the ones that no cheaper or equally dear row reaches; each is better than the one before.
        close: for each of ``front``, what costs no more than it and cannot be told from it by the intervals.
    """

    nfe: int
    rows: tuple[Any, ...]
    front: tuple[Any, ...]
    close: tuple[tuple[Any, ...], ...]

    def leads(self, row: Any) -> bool:
        """Whether a row is on the front."""
        return any(row is one for one in self.front)


def choice_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return the plot and the table of an experiment's first metric; None where nothing is to be chosen."""
    table = content.tables[0]
    places = [place for place, group in enumerate(table.groups) if group.experiment == part.provenance.experiment]
    groups = costs_of(content.frame_of(part), content.means_of(part), table.metric)
    costs = [cost for group in groups for cost in group if cost.role == "method"]
    columns = columns_of(costs, higher_is_better=table.style.better == "higher")
    trained = {cost.method for column in columns for cost in column.rows if cost.network_evaluations}
    if len(trained) < LEAST_TRAINED or table.style.better == "unknown" or not places:
        return None
    return {
        "title": part.provenance.title,
        "heading": table.style.heading,
        "label": table.groups[places[0]].label,
        "covers": content.intervals[part.provenance.experiment],
        "svg": choice_plot(table, places[0], columns),
        "columns": columns,
    }


def columns_of(costs: Iterable[Any], *, higher_is_better: bool = False) -> list[Column]:
    """Return one column for each number of evaluations at which a trained row has a figure, the fewest first.

    Args:
        costs: rows with nfe, network_evaluations, value, low and high; those that lack one of the first three are
            left out.
        higher_is_better: whether larger figures are better.
    """
    known = [one for one in costs if None not in (one.nfe, one.network_evaluations, one.value)]
    counts = sorted({round(one.nfe) for one in known if one.network_evaluations})
    sign = -1 if higher_is_better else 1
    return [_column(nfe, [one for one in known if round(one.nfe) == nfe], sign) for nfe in counts]


def _column(nfe: int, rows: Sequence[Any], sign: int) -> Column:
    ordered = sorted(rows, key=lambda one: (one.network_evaluations, sign * one.value))
    front: list[Any] = []
    for one in ordered:
        if not front or sign * one.value < sign * front[-1].value:
            front.append(one)
    close = [
        tuple(other for other in ordered if other is not best and _as_cheap(other, best) and _overlap(other, best))
        for best in front
    ]
    return Column(nfe, tuple(ordered), tuple(front), tuple(close))


def _as_cheap(other: Any, best: Any) -> bool:
    return bool(other.network_evaluations <= best.network_evaluations)


def _overlap(one: Any, other: Any) -> bool:
    """Tell whether the intervals of two figures overlap; without one of them, nothing tells the figures apart."""
    if None in (one.low, one.high, other.low, other.high):
        return True
    return bool(one.low <= other.high and other.low <= one.high)

"""From rows to tables: methods down, data sets and steps across; means over seeds; the best one marked.

Everything here is a pure function of the rows, so that each format shows the same numbers and the same marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from sfddm.report.formats import interval_text
from sfddm.results import statistics
from sfddm.results.rows import Collected, Row
from sfddm.results.styles import Better, MetricStyle, style_of

Mark = Literal["best", "close", "none"]

TEACHER = "teacher"
#: The order of the metrics that are known here; others follow in the order of the rows.
METRIC_ORDER = ("frechet_distance", "kid", "precision", "recall")


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        value: the mean over the seeds, unrounded.
        low, high: its interval, None where there is none.
        seeds: how many seeds it is the mean of; 0 for real against real.
        steps: sampling steps behind it; None for real against real.
        mark: "best" among the methods at the same steps, "close" where the interval overlaps the best one's.
        decimals: how many are printed.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int
    steps: int | None
    decimals: int
    mark: Mark = "none"

    @property
    def text(self) -> str:
        """The value as printed."""
        return f"{self.value:.{self.decimals}f}"

    @property
    def interval(self) -> str:
        """The interval as printed."""
        return interval_text(self.low, self.high, self.decimals)


@dataclass(frozen=True)
class Group:
    """The columns of one experiment: its steps, from many to few."""

    experiment: str
    title: str
    data: str
    label: str
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Line:
    """A method's row: a tuple of cells for each group, in the order of its steps; None is "not measured"."""

    method: str
    title: str
    cells: tuple[tuple[Cell | None, ...], ...]


@dataclass(frozen=True)
class ReferenceLine:
    """A row that is not ranked (teacher, real against real): for each group, the figures at its own steps."""

    method: str
    title: str
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class MetricTable:
    """All figures of one metric."""

    metric: str
    style: MetricStyle
    groups: tuple[Group, ...]
    references: tuple[ReferenceLine, ...]
    lines: tuple[Line, ...]
    floors: tuple[ReferenceLine, ...]


def metrics_of(collected: Sequence[Collected]) -> tuple[str, ...]:
    """Return the metrics that have at least one figure, the known ones first."""
    found = dict.fromkeys(row.metric for part in collected for row in part.rows)
    return tuple(sorted(found, key=lambda m: METRIC_ORDER.index(m) if m in METRIC_ORDER else len(METRIC_ORDER)))


def metric_table(collected: Sequence[Collected], metric: str, leave_out: Set[str] = frozenset()) -> MetricTable:
    """Build the table of one metric over all experiments that measured it, without the rows named in ``leave_out``."""
    parts = [
        replace(part, rows=tuple(row for row in part.rows if row.method not in leave_out))
        for part in collected
        if any(row.metric == metric for row in part.rows)
    ]
    groups = tuple(_group(part, metric) for part in parts)
    competing = [_competitors(part, metric) for part in parts]
    methods = dict.fromkeys(row.method for part in parts for row in part.rows if row.role == "method")
    lines = tuple(
        Line(
            method,
            _common_title(row.title for part in parts for row in part.rows if row.method == method),
            tuple(
                tuple(cells.get((method, steps)) for steps in group.steps)
                for group, cells in zip(groups, competing, strict=True)
            ),
        )
        for method in methods
    )
    references = _reference_lines(parts, metric, [part.rows for part in parts], TEACHER)
    floors = _reference_lines(parts, metric, [part.baseline for part in parts], "real")
    return MetricTable(metric, style_of(metric), groups, references, lines, floors)


def mean_over_seeds(rows: Sequence[Row], confidence: float) -> Cell:
    """Return one cell for the same figure of several seeds.

    One seed keeps the interval of its own score. Several give their mean with Student's t interval over the
    seeds, mean +- t_{(1 + confidence) / 2, n - 1} * s / sqrt(n): it covers what differs between trainings.

    Args:
        rows: the figure of each seed, at least one.
        confidence: within (0, 1), for example 0.95.
    """
    first = rows[0]
    mean = statistics.mean_over_seeds(rows, confidence)
    seeds = 0 if first.seed is None else len(rows)
    return Cell(mean.value, mean.low, mean.high, seeds, first.steps, style_of(first.metric).decimals)


def mark_best(cells: dict[str, Cell], better: Better) -> dict[str, Cell]:
    """Mark the best of several methods' cells, and those whose interval overlaps the best one's.

    Equal values are equally best. Nothing is marked where fewer than two methods compete, or where the better
    side of the metric is unknown. A figure without an interval is never called close.
    """
    if len(cells) < 2 or better == "unknown":
        return cells
    values = [cell.value for cell in cells.values()]
    best_value = min(values) if better == "lower" else max(values)
    best = next(cell for cell in cells.values() if cell.value == best_value)
    marked = {}
    for method, cell in cells.items():
        mark: Mark = "best" if cell.value == best_value else "close" if overlap(cell, best) else "none"
        marked[method] = replace(cell, mark=mark)
    return marked


def overlap(one: Cell, other: Cell) -> bool:
    """Say whether two cells' intervals have a point in common."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def intervals_of(part: Collected) -> str:
    """Say what an experiment's figures are the mean of and what their intervals cover."""
    confidence = f"{part.provenance.confidence:.0%}".replace("%", " %")
    seeds = part.seeds
    if len(seeds) > 1:
        return (
            f"mean over {len(seeds)} training seeds; intervals ({confidence}, Student's t) cover "
            "the spread between trainings"
        )
    return (
        f"one training seed; intervals ({confidence}) are those of the score itself, as its protocol "
        "states, and do not cover another training"
    )


def _group(part: Collected, metric: str) -> Group:
    steps = {row.steps for row in part.rows if row.role == "method" and row.steps is not None}
    labels = dict.fromkeys(row.label for row in part.rows if row.metric == metric)
    provenance = part.provenance
    return Group(
        provenance.experiment,
        provenance.title,
        provenance.data.label,
        " / ".join(labels),
        tuple(sorted(steps, reverse=True)),
    )


def _competitors(part: Collected, metric: str) -> dict[tuple[str, int], Cell]:
    """Return the marked cells of one experiment by (method, steps)."""
    by_steps: dict[int, dict[str, list[Row]]] = {}
    for row in part.rows:
        if row.metric == metric and row.role == "method" and row.steps is not None:
            by_steps.setdefault(row.steps, {}).setdefault(row.method, []).append(row)
    found = {}
    for steps, methods in by_steps.items():
        cells = {method: mean_over_seeds(rows, part.provenance.confidence) for method, rows in methods.items()}
        for method, cell in mark_best(cells, style_of(metric).better).items():
            found[method, steps] = cell
    return found


def _reference_lines(
    parts: Sequence[Collected], metric: str, rows: Sequence[Sequence[Row]], role: str
) -> tuple[ReferenceLine, ...]:
    """Return one line for each reference row, with its cells in each group in the order of the rows."""
    chosen = [[row for row in some if row.metric == metric and row.role == role] for some in rows]
    lines = []
    for method in dict.fromkeys(row.method for some in chosen for row in some):
        mine = [[row for row in some if row.method == method] for some in chosen]
        cells = []
        for part, some in zip(parts, mine, strict=True):
            by_steps: dict[int | None, list[Row]] = {}
            for row in some:
                by_steps.setdefault(row.steps, []).append(row)
            cells.append(tuple(mean_over_seeds(group, part.provenance.confidence) for group in by_steps.values()))
        title = _common_title(row.title for some in mine for row in some)
        lines.append(ReferenceLine(method, title, tuple(cells)))
    return tuple(lines)


def _common_title(titles: Iterable[str]) -> str:
    """Return what all titles of a row begin with, cut at a comma: "Teacher, DDIM" of two lengths."""
    split = [title.split(", ") for title in dict.fromkeys(titles)]
    common = []
    for pieces in zip(*split, strict=False):
        if len(set(pieces)) > 1:
            break
        common.append(pieces[0])
    return ", ".join(common) or ", ".join(split[0])

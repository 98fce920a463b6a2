"""From means to tables: methods down, data sets and steps across; the best one marked.

Everything here is a pure function of the means, so that each format shows the same numbers and the same marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sfddm.report.frame import lines_of
from sfddm.results.rows import Collected, Role
from sfddm.results.styles import Better, MetricStyle, style_of

#: What is shown of a mean.
_CELL = [
    "experiment",
    "method",
    "title",
    "steps",
    "label",
    "value",
    "low",
    "high",
    "text",
    "interval",
    "by_seed",
    "mark",
]
#: The order of the metrics that are known here; others follow in the order of the rows.
METRIC_ORDER = ("frechet_distance", "fd_infinity", "kid", "mind", "precision", "recall", "density", "coverage")


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
    """A row of the table: for each group a tuple of its means, with ``text``, ``interval``, ``steps`` and ``mark``.

    What competes has one for each of the group's steps, None where it was not measured; the teacher and real images,
    which are not ranked, have those at steps of their own.
    """

    method: str
    title: str
    cells: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class MetricTable:
    """All figures of one metric; ``baselines``: of real images against real images."""

    metric: str
    style: MetricStyle
    groups: tuple[Group, ...]
    references: tuple[Line, ...]
    lines: tuple[Line, ...]
    baselines: tuple[Line, ...]

    @property
    def anchors(self) -> list[str]:
        """The identifiers of its cells on the page."""
        return [
            cell_anchor(self.metric, line.method, cell.experiment, cell.steps, cell.label)
            for line in (*self.references, *self.lines, *self.baselines)
            for cells in line.cells
            for cell in cells
            if cell is not None
        ]


def cell_anchor(metric: str, method: str, experiment: str, steps: int | None, label: str) -> str:
    """Return the identifier of one cell of a metric's table on the page."""
    names = (re.sub(r"[^a-z0-9.-]", "_", name.lower()) for name in (metric, method, experiment, label))
    return f"cell-{'-'.join(names)}-{steps or 0}"


def metrics_of(means: pd.DataFrame) -> tuple[str, ...]:
    """Return the metrics of the main tables, the known ones first."""
    found = [name for name in means[means.role != "real"].metric.unique() if not style_of(name).section]
    return tuple(sorted(found, key=lambda m: METRIC_ORDER.index(m) if m in METRIC_ORDER else len(METRIC_ORDER)))


def metric_table(parts: Sequence[Collected], means: pd.DataFrame, metric: str) -> MetricTable:
    """Build the table of one metric over all experiments that measured it."""
    own = means[means.metric == metric]
    own = own.assign(mark=best_marks(own, style_of(metric).better))
    groups = tuple(
        _group(part, means[means.experiment == part.provenance.experiment], metric)
        for part in parts
        if ((own.role != "real") & (own.experiment == part.provenance.experiment)).any()
    )
    means = means[means.experiment.isin([group.experiment for group in groups])]

    def of_role(role: Role) -> list[Line]:
        cells = lines_of(own.loc[own.role == role, _CELL])
        titles = means[means.role == role].groupby("method", sort=False).title.agg(_common_title)
        present = {cell.method for cell in cells}
        return [
            Line(method, title, _cells(cells, groups, method, role))
            for method, title in titles.items()
            if role == "method" or method in present
        ]

    lines = {role: tuple(of_role(role)) for role in ("teacher", "method", "real")}
    return MetricTable(metric, style_of(metric), groups, lines["teacher"], lines["method"], lines["real"])


def _group(part: Collected, means: pd.DataFrame, metric: str) -> Group:
    source = part.provenance
    labels = means[(means.metric == metric) & (means.role != "real")].label.unique()
    steps = sorted(means[means.role == "method"].steps.unique().tolist(), reverse=True)
    return Group(source.experiment, source.title, source.data.label, " / ".join(labels), tuple(steps))


def _cells(cells: Sequence[Any], groups: Sequence[Group], method: str, role: Role) -> tuple[tuple[Any, ...], ...]:
    mine = [[cell for cell in cells if (cell.experiment, cell.method) == (g.experiment, method)] for g in groups]
    if role != "method":
        return tuple(map(tuple, mine))
    by_steps = [{cell.steps: cell for cell in some} for some in mine]
    return tuple(tuple(some.get(steps) for steps in group.steps) for group, some in zip(groups, by_steps, strict=True))


def best_marks(means: pd.DataFrame, better: Better) -> pd.Series:
    """Return "best" for the best of several methods at the same steps, "close" where its interval overlaps the best's.

    Equal values are equally best. Nothing is marked ("none") where fewer than two methods compete, or where the better
    side of the metric is unknown. A figure without an interval is never called close.
    """
    marks = pd.Series("none", means.index)
    if better == "unknown":
        return marks
    for _, rivals in means[means.role == "method"].groupby(["experiment", "steps"]):
        if len(rivals) > 1:
            best = rivals.loc[rivals.value.idxmin() if better == "lower" else rivals.value.idxmax()]
            marks[rivals.index[(rivals.low <= best.high) & (best.low <= rivals.high)]] = "close"
            marks[rivals.index[rivals.value == best.value]] = "best"
    return marks


def intervals_of(part: Collected) -> str:
    """Say what an experiment's figures are the mean of and what their intervals cover."""
    confidence = f"{part.provenance.confidence:.0%}".replace("%", " %")
    if len(part.seeds) > 1:
        return (
            f"mean over {part.training_seeds}; intervals ({confidence}, Student's t) cover the spread between trainings"
        )
    return (
        f"one training seed; intervals ({confidence}) are those of the score itself, as its protocol "
        "states, and do not cover another training"
    )


def _common_title(titles: Iterable[str]) -> str:
    """Return what all titles of a row begin with, cut at a comma: "Teacher, DDIM" of two lengths."""
    split = [title.split(", ") for title in dict.fromkeys(titles)]
    common = []
    for pieces in zip(*split, strict=False):
        if len(set(pieces)) > 1:
            break
        common.append(pieces[0])
    return ", ".join(common) or ", ".join(split[0])

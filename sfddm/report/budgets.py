"""Distance against training budget: each row that was trained at several budgets as a curve, beside what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfddm.claims.figures import FigureOverSeeds, measured_of
from sfddm.report.ablations import Gap, controls, gap_between
from sfddm.results.rows import Collected
from sfddm.results.styles import MetricStyle, style_of
from sfddm.results.verdicts import Number


@dataclass(frozen=True)
class Point:
    """A row at one of its budgets.

    Attributes:
        budget: the multiple of the row's training.
        images, evaluations: training images, and forward passes of student and teacher in training, of one seed.
        number: the figure, the mean over the seeds.
        to_control: the difference to the same teacher without training, where that was measured.
    """

    budget: float
    images: int
    evaluations: float
    number: Number
    to_control: Gap | None


@dataclass(frozen=True)
class Control:
    """What a curve is held against: the teacher, sampled at the same steps with the same sampler without training."""

    method: str
    method_name: str
    number: Number


@dataclass(frozen=True)
class Curve:
    """A row at all of its budgets, increasing.

    Attributes:
        method: the row's name in the spec; ``method_name`` is the method that implements it.
        title: the row's, and its name behind it where another curve of the same steps has this title, too.
        control: None where no such row was measured.
    """

    method: str
    method_name: str
    title: str
    points: tuple[Point, ...]
    control: Control | None


@dataclass(frozen=True)
class BudgetTable:
    """The curves of one experiment in one metric, by falling number of steps."""

    experiment: str
    title: str
    metric: str
    label: str
    style: MetricStyle
    blocks: tuple[tuple[int, tuple[Curve, ...]], ...]


def budget_table(part: Collected, metric: str) -> BudgetTable | None:
    """Return an experiment's curves in one metric; None where no row was trained at several budgets."""
    measured = list(measured_of(part, [row for row in part.rows if row.metric == metric and row.role == "method"]))
    found: dict[tuple[int, str, str], list[FigureOverSeeds]] = {}
    for one in measured:
        row = one.first
        if row.budget_of and row.images_seen:
            found.setdefault((row.steps or 0, row.budget_of, row.label), []).append(one)
    several = {key: some for key, some in found.items() if len(some) > 1}
    if not several:
        return None
    blocks = []
    for steps in sorted({steps for steps, _, _ in several}, reverse=True):
        own = [some for key, some in several.items() if key[0] == steps]
        titles = [some[0].first.title for some in own]
        blocks.append((steps, tuple(_curve(some, measured, titles) for some in own)))
    labels = dict.fromkeys(label for _, _, label in several)
    source = part.provenance
    return BudgetTable(source.experiment, source.title, metric, " / ".join(labels), style_of(metric), tuple(blocks))


def _curve(some: Sequence[FigureOverSeeds], measured: Sequence[FigureOverSeeds], titles: Sequence[str]) -> Curve:
    some = sorted(some, key=lambda one: one.first.budget)
    largest = some[-1].first
    name = largest.budget_of or largest.method
    control = next((one for one in measured if controls(one.first, largest)), None)
    points = tuple(
        Point(
            one.first.budget,
            one.first.images_seen or 0,
            one.first.network_evaluations or 0.0,
            one.number(),
            None if control is None else gap_between(one, control),
        )
        for one in some
    )
    untrained = None if control is None else _control(control)
    return Curve(
        method=name,
        method_name=largest.method_name or name,
        title=largest.title if titles.count(largest.title) == 1 else f"{largest.title} ({name})",
        points=points,
        control=untrained,
    )


def _control(one: FigureOverSeeds) -> Control:
    return Control(one.first.method, one.first.method_name or one.first.method, one.number())

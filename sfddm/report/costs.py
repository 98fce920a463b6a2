"""What each row cost, beside what it gave: trainings, images, network evaluations, time and parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from sfddm.report.tables import Cell, mean_over_seeds
from sfddm.results.rows import Collected, Row


@dataclass(frozen=True)
class Cost:
    """The cost of one row of the table; means over the seeds, None where nothing was recorded.

    Attributes:
        method: the row's name in the spec.
        quality: the figure of the metric that was asked for.
        folds: trainings besides the teacher's.
        images_seen, network_evaluations, train_seconds: summed over the folds.
        sample_seconds: seconds for one sampled image.
        parameters: weights in memory while sampling; ``active_parameters`` at work in one step.
        flops: floating-point operations of one step for one image, counted.
    """

    method: str
    title: str
    role: str
    quality: Cell | None
    steps: int
    nfe: float | None
    folds: float | None
    images_seen: float | None
    network_evaluations: float | None
    train_seconds: float | None
    sample_seconds: float | None
    parameters: float | None
    active_parameters: float | None
    flops: float | None

    @property
    def step_seconds(self) -> float | None:
        """Seconds of one step for one image."""
        return None if self.sample_seconds is None or not self.nfe else self.sample_seconds / self.nfe


def costs_of(part: Collected, metric: str, names: Callable[[str], bool] = lambda _: True) -> list[list[Cost]]:
    """Return the costs of an experiment's rows in groups: the teacher's, then one for each number of steps.

    Args:
        part: the experiment.
        metric: the figure that stands beside the costs.
        names: which rows are wanted, by their name in the spec.
    """
    by_row: dict[tuple[str, int], dict[int | None, Row]] = {}
    figures: dict[tuple[str, int], list[Row]] = {}
    for row in part.rows:
        if row.steps is not None and names(row.method):
            by_row.setdefault((row.method, row.steps), {}).setdefault(row.seed, row)
            if row.metric == metric:
                figures.setdefault((row.method, row.steps), []).append(row)
    confidence = part.provenance.confidence
    quality = {key: mean_over_seeds(rows, confidence) for key, rows in figures.items()}
    costs = [_cost(list(rows.values()), key[1], quality.get(key)) for key, rows in by_row.items()]
    groups: dict[tuple[bool, int], list[Cost]] = {}
    for cost in costs:
        teacher = cost.role == "teacher"
        groups.setdefault((not teacher, 0 if teacher else -cost.steps), []).append(cost)
    return [groups[key] for key in sorted(groups)]


def _cost(rows: list[Row], steps: int, quality: Cell | None) -> Cost:
    def mean(field: Callable[[Row], float | None]) -> float | None:
        values = [value for row in rows if (value := field(row)) is not None]
        return fmean(values) if values else None

    return Cost(
        method=rows[0].method,
        title=rows[0].title,
        role=rows[0].role,
        quality=quality,
        steps=steps,
        nfe=mean(lambda row: row.nfe),
        folds=mean(lambda row: row.folds),
        images_seen=mean(lambda row: row.images_seen),
        network_evaluations=mean(lambda row: row.network_evaluations),
        train_seconds=mean(lambda row: row.train_seconds),
        sample_seconds=mean(lambda row: row.sample_seconds_per_image),
        parameters=mean(lambda row: row.parameters),
        active_parameters=mean(lambda row: row.active_parameters),
        flops=mean(lambda row: row.flops_per_evaluation),
    )

"""The fixed point: students that are the teacher still, whatever their training did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sfddm.results.rows import Row

EXPLANATION = (
    "A student that starts from the teacher and is told the teacher's index has, under the loss that the paper prints, "
    "a loss of 0 before any training: it is the teacher, sampled on the same index set."
)
UNEXPLAINED = "Its training does not start as the teacher, so look into it."

Run = tuple[str, str, int | None, int | None]


@dataclass(frozen=True)
class FixedPoint:
    """A trained student with exactly the figures of an untrained row on the same indices, for every seed they share.

    Attributes:
        student, control: the rows' names in the spec.
        steps: where this is so, decreasing.
        figures: how many figures were found equal, over steps, seeds and metrics.
    """

    experiment: str
    student: str
    student_title: str
    control: str
    control_title: str
    steps: tuple[int, ...]
    figures: int
    explanation: str


def fixed_points(rows: Sequence[Row]) -> list[FixedPoint]:
    """Return every trained and untrained row whose figures are all exactly equal at some step count."""
    runs: dict[Run, dict[tuple[str, str], Row]] = {}
    for row in rows:
        if row.role == "method" and row.index_set is not None and row.folds is not None:
            key = (row.experiment, row.method, row.steps, row.seed)
            runs.setdefault(key, {})[row.metric, row.label] = row
    pairs: dict[tuple[str, str, str], dict[int, list[int]]] = {}
    for (experiment, method, steps, seed), figures in runs.items():
        if not _any(figures).folds:
            continue
        for other, control in _controls(runs, (experiment, method, steps, seed)):
            counts = pairs.setdefault((experiment, method, other), {}).setdefault(steps or 0, [])
            counts.append(_equal_figures(figures, control))
    return [point for key, counts in pairs.items() if (point := _point(key, counts, rows)) is not None]


def _controls(
    runs: Mapping[Run, Mapping[tuple[str, str], Row]], key: Run
) -> list[tuple[str, Mapping[tuple[str, str], Row]]]:
    experiment, _, steps, seed = key
    wanted = _any(runs[key]).index_set
    return [
        (other[1], figures)
        for other, figures in runs.items()
        if (other[0], other[2], other[3]) == (experiment, steps, seed)
        and not _any(figures).folds
        and _any(figures).index_set == wanted
    ]


def _equal_figures(one: Mapping[tuple[str, str], Row], other: Mapping[tuple[str, str], Row]) -> int:
    """Return how many figures both have, 0 where any of them differs."""
    common = set(one) & set(other)
    return len(common) if all(one[metric].value == other[metric].value for metric in common) else 0


def _point(key: tuple[str, str, str], counts: Mapping[int, Sequence[int]], rows: Sequence[Row]) -> FixedPoint | None:
    experiment, student, control = key
    steps = tuple(sorted((count for count, equal in counts.items() if all(equal)), reverse=True))
    if not steps:
        return None

    def first(method: str) -> Row:
        return next(row for row in rows if (row.experiment, row.method) == (experiment, method))

    return FixedPoint(
        experiment=experiment,
        student=student,
        student_title=first(student).title,
        control=control,
        control_title=first(control).title,
        steps=steps,
        figures=sum(sum(counts[count]) for count in steps),
        explanation=EXPLANATION if first(student).starts_as_teacher else UNEXPLAINED,
    )


def _any(figures: Mapping[tuple[str, str], Row]) -> Row:
    return next(iter(figures.values()))

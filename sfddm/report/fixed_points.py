"""Fixed points: students that are their teacher still, whatever their training did."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

EXPLANATION = (
    "A student that starts from the teacher and is told the teacher's index has, under the loss that the paper prints, "
    "a loss of 0 before any training: it is the teacher, sampled on the same index set."
)
UNEXPLAINED = "Its training does not start as the teacher, so look into it."


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


def fixed_points(frame: pd.DataFrame) -> list[FixedPoint]:
    """Return every trained and untrained row whose figures are all exactly equal at some step count."""
    rows = frame[(frame.role == "method") & frame.index_set.notna()]
    keys = ["experiment", "steps", "seed", "index_set", "metric", "label"]
    both = rows[rows.folds > 0].merge(rows[rows.folds == 0], on=keys, suffixes=("", "_control"))
    both["equal"] = both.value == both.value_control
    equal = both[both.groupby(["experiment", "method", "method_control", "steps"]).equal.transform("all")]
    return [
        FixedPoint(
            experiment=first.experiment,
            student=first.method,
            student_title=first.title,
            control=first.method_control,
            control_title=first.title_control,
            steps=tuple(sorted({*same.steps}, reverse=True)),
            figures=len(same),
            explanation=EXPLANATION if first.starts_as_teacher is True else UNEXPLAINED,
        )
        for _, same in equal.groupby(["experiment", "method", "method_control"], sort=False)
        for first in same.head(1).itertuples()
    ]

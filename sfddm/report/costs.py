"""What each row cost, beside what it gave: trainings, images, network evaluations, time and parameters."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pandas as pd

from sfddm.report.frame import in_reading_order, lines_of

#: Costs that a row states for each seed.
COSTS = [
    "nfe",
    "folds",
    "images_seen",
    "network_evaluations",
    "train_seconds",
    "sample_seconds_per_image",
    "parameters",
    "active_parameters",
    "flops_per_evaluation",
]


def costs_of(frame: pd.DataFrame, means: pd.DataFrame, metric: str) -> list[list[Any]]:
    """Return the costs of an experiment's rows in groups: the teacher's, then one for each number of steps.

    Each is a named tuple: method, title, role, steps; ``COSTS`` as means over the seeds, None where nothing was
    recorded; step_seconds, for one step and one image; and value, low, high, text of the metric, None without it.

    Args:
        frame, means: of the experiment.
        metric: the figure that stands beside the costs.
    """
    rows = ["method", "steps"]
    own = frame[frame.role != "real"]
    costs = own.drop_duplicates([*rows, "seed"]).groupby(rows, sort=False)[COSTS].agg(_mean)
    costs = own.drop_duplicates(rows)[[*rows, "title", "role"]].join(costs, on=rows)
    costs["step_seconds"] = costs.sample_seconds_per_image / costs.nfe.where(costs.nfe > 0)
    figures = means[means.metric == metric].set_index(rows)
    costs = costs.join(figures[["value", "low", "high", "text"]], on=rows)
    students = costs.steps.where(costs.role != "teacher")
    return [lines_of(group) for _, group in in_reading_order(costs).groupby(students, sort=False, dropna=False)]


def _mean(values: pd.Series) -> float:
    """Return the mean of what is known, exactly as for figures; NaN where nothing is."""
    known = values.dropna()
    return fmean(known) if len(known) else float("nan")

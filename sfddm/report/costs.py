"""What each row cost, beside what it gave: trainings, images, network evaluations, time and parameters."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pandas as pd

from sfddm.report.content import Content
from sfddm.report.cost_plot import cost_plot
from sfddm.report.frame import in_reading_order, lines_of
from sfddm.results.rows import Collected

#: Costs that a row states for each seed.
COSTS = ["nfe", "folds", "images_seen", "network_evaluations", "train_seconds", "sample_seconds_per_image"]
COSTS += ["parameters", "active_parameters", "flops_per_evaluation"]


def costs_beside_quality(content: Content, part: Collected) -> dict[str, Any]:
    """Return an experiment's costs beside the main metric, those of the variants apart, and the plots of both."""
    table, frame, means = content.tables[0], content.frame_of(part), content.means_of(part)
    places = [place for place, group in enumerate(table.groups) if group.experiment == part.provenance.experiment]
    methods = dict(zip(frame.method, frame.method_name, strict=True))
    variants = {name: method for name, method in methods.items() if name in content.variants}
    groups = costs_of(frame, means, table.metric)
    plots = [
        (group[0].steps, cost_plot(table, place, group, content.slots, variants))
        for place in places
        for group in groups
        if group[0].role == "method"
    ]
    main = [[cost for cost in group if cost.method not in variants] for group in groups]
    apart = [[cost for cost in group if cost.method in variants] for group in groups]
    return {
        "title": part.provenance.title,
        "hardware": part.provenance.hardware,
        "seeds": part.training_seeds if len(part.seeds) > 1 else None,
        "heading": table.style.heading,
        "label": " / ".join(table.groups[place].label for place in places),
        "plots": [(steps, svg) for steps, svg in plots if svg is not None],
        "legend": [one for one in content.legend if one[3] in methods],
        "costs": [group for group in main if group],
        "variants": [group for group in apart if group],
    }


def costs_of(frame: pd.DataFrame, means: pd.DataFrame, metric: str) -> list[list[Any]]:
    """Return the costs of an experiment's rows in groups: the teacher's, then one for each number of steps.

    Each is a named tuple: method, title, role, steps; ``COSTS`` as means over the seeds, None where nothing was
    recorded; step_seconds and step_flops, for one step and one image; and value, low, high, text, interval of the
    metric, None without it.

    Args:
        frame, means: of the experiment.
        metric: the figure that stands beside the costs.
    """
    rows = ["method", "steps"]
    own = frame[frame.role != "real"]
    costs = own.drop_duplicates([*rows, "seed"]).groupby(rows, sort=False)[COSTS].agg(_mean)
    costs = own.drop_duplicates(rows)[[*rows, "title", "role"]].join(costs, on=rows)
    costs["step_seconds"] = costs.sample_seconds_per_image / costs.steps
    costs["step_flops"] = costs.flops_per_evaluation * costs.nfe / costs.steps
    figures = means[means.metric == metric].set_index(rows)
    costs = costs.join(figures[["value", "low", "high", "text", "interval"]], on=rows)
    students = costs.steps.where(costs.role != "teacher")
    return [lines_of(group) for _, group in in_reading_order(costs).groupby(students, sort=False, dropna=False)]


def _mean(values: pd.Series) -> float:
    """Return the mean of what is known, exactly as for figures; NaN where nothing is."""
    known = values.dropna()
    return fmean(known) if len(known) else float("nan")

"""The data frame: what its lines are, their means, and marks by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.results import part, row

from sfddm.report.costs import costs_of
from sfddm.report.frame import frame_of, over_seeds
from sfddm.report.tables import best_marks
from sfddm.results.measurements import AuditFigure
from sfddm.results.rows import AuditOfRow, ClassesOfRow
from sfddm.results.score import ClassFigure

WHOSE = {"experiment": "one", "method": "a", "role": "method", "title": "A", "steps": 16, "seed": 0}


def test_there_is_one_line_for_each_figure_of_each_seed() -> None:
    real = row("real", 9.0, None, role="real", seed=None)
    figure = AuditFigure(
        metric="frechet_distance", label="FID", value=3.0, protocol_name="own", title="Own", description="", images=1,
        reference_images=1, layer="7", resize="none", reference_split="train",
    )  # fmt: skip
    by_class = ClassFigure(class_=3, images=9, reference_images=9, kid=0.5, low=0.4, high=0.6, hits=0.25)
    whole = replace(
        part([row("a", 1.0), row("a", 3.0, seed=1)], [real]),
        audits=(AuditOfRow(**WHOSE, rows=(figure,), note=""),),
        classes=(ClassesOfRow(**WHOSE, rows=(by_class,)),),
    )
    frame = frame_of([whole])
    lines = frame[["kind", "method", "steps", "seed", "item", "metric", "value"]].to_numpy().tolist()
    assert lines == [
        ["score", "a", 16, 0, "", "frechet_distance", 1.0],
        ["score", "a", 16, 1, "", "frechet_distance", 3.0],
        ["score", "real", 0, 0, "", "frechet_distance", 9.0],
        ["audit", "a", 16, 0, "own", "frechet_distance", 3.0],
        ["audit", "a", 16, 0, "trainings-mean", "frechet_distance", 1.0],
        ["audit", "a", 16, 1, "trainings-mean", "frechet_distance", 3.0],
        ["audit", "a", 16, 0, "trainings", "frechet_distance", 1.0],
        ["class", "a", 16, 0, 3, "kid", 0.5],
        ["class", "a", 16, 0, 3, "hits", 0.25],
    ]
    means = over_seeds(frame)
    assert means.value.tolist() == [2.0, 9.0, 3.0, 2.0, 1.0, 0.5, 0.25]
    # t_{0.975, 1} = 12.7062, s = sqrt 2: 2 +- 12.71.
    assert means.interval.tolist()[:3] == ["[-10.71, 14.71]", "[8.00, 10.00]", ""]
    assert means.interval.tolist()[3:] == ["[-10.71, 14.71]", "[0.00, 2.00]", "[0.4000, 0.6000]", ""]


def test_costs_are_means_over_seeds_of_what_is_known() -> None:
    some = {"nfe": 16, "sample_seconds_per_image": 0.8, "parameters": None}
    rows = [row("a", 1.0, train_seconds=2.0, **some), row("a", 1.0, seed=1, train_seconds=4.0, **some)]
    rows += [row("a", 1.0, seed=s, metric="kid", label="KID", train_seconds=9.0, **some) for s in (0, 1)]
    frame = frame_of([part(rows)])
    ((cost,),) = costs_of(frame, over_seeds(frame), "frechet_distance")
    assert (cost.train_seconds, cost.parameters, cost.step_seconds) == (3.0, None, pytest.approx(0.05))
    assert (cost.value, cost.text) == (1.0, "1.00")
    ((other,),) = costs_of(frame, over_seeds(frame), "recall")
    assert (other.value, other.train_seconds) == (None, 3.0)


@pytest.mark.parametrize(("better", "wanted"), [
    ("lower", ["best", "close", "none", "none", "none", "none"]),
    ("higher", ["none", "none", "best", "none", "none", "none"]),
    ("unknown", ["none"] * 6),
])  # fmt: skip
def test_the_best_and_what_overlaps_it_are_marked_among_methods_at_equal_steps(better, wanted) -> None:
    values = [("a", 8, 1.0, 0.5), ("b", 8, 1.8, 0.5), ("c", 8, 5.0, 0.5), ("d", 8, 1.2, np.nan), ("a", 4, 9.0, 0.5)]
    lines = [
        {"experiment": "one", "role": "method", "method": m, "steps": s, "value": v, "low": v - h, "high": v + h}
        for m, s, v, h in values
    ]
    lines.append(lines[0] | {"role": "teacher", "value": 0.0})
    assert best_marks(pd.DataFrame(lines), better).tolist() == wanted

"""Fixed points: trained rows whose figures are all exactly those of a row without training on the same indices."""

from typing import Any

from support.results import part, row

from sfddm.report.fixed_points import EXPLANATION, UNEXPLAINED, FixedPoint, fixed_points
from sfddm.report.frame import frame_of
from sfddm.results.rows import Row


def run(method: str, value: float, steps: int = 8, **facts: Any) -> list[Row]:
    return [row(method, value, steps, **facts), row(method, -value, steps, metric="kid", label="KID", **facts)]


def found(rows: list[Row]) -> list[FixedPoint]:
    return fixed_points(frame_of([part(rows)]))


CONTROL = run("c", 5.0, folds=0) + run("c", 7.0, 4, folds=0) + run("c", 6.0, seed=1, folds=0)


def test_a_fixed_point_is_found_and_explained_by_where_its_training_starts() -> None:
    start: dict[str, Any] = {"starts_as_teacher": True}
    same = run("s", 5.0, **start) + run("s", 7.5, 4, **start) + run("s", 6.0, seed=1, **start)
    (point,) = found(CONTROL + same)
    assert (point.student, point.control, point.steps, point.figures) == ("s", "c", (8,), 4)
    assert point.explanation == EXPLANATION
    for told in (False, None):
        (point,) = found(CONTROL + run("s", 5.0, starts_as_teacher=told))
        assert point.explanation == UNEXPLAINED


def test_other_indices_another_metric_or_another_seed_that_differs_make_it_none() -> None:
    assert found(CONTROL + run("s", 5.0, index_set=(1,))) == []
    assert found([*CONTROL, run("s", 5.0)[0], row("s", 1.0, 8, metric="kid", label="KID")]) == []
    assert found(CONTROL + run("s", 5.0) + run("s", 6.5, seed=1)) == []
    assert found(CONTROL + run("s", 5.0, folds=0)) == []

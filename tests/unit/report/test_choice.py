"""What to use at how many evaluations, at which training cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pages import parse
from support.report_runs import make_runs, make_spec

from sfddm.report.choice import columns_of
from sfddm.report.collect import collect
from sfddm.report.content import read_content
from sfddm.report.render import render
from sfddm.report.sections import sections_of


@dataclass(frozen=True)
class Cost:
    method: str
    nfe: float | None
    network_evaluations: float | None
    value: float | None
    low: float | None = None
    high: float | None = None


costs = st.lists(
    st.builds(Cost, st.just("m"), st.sampled_from([1.0, 2.0]), st.integers(0, 6).map(float), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


@given(costs, st.booleans())
def test_the_front_is_what_no_row_beats_at_its_cost(rows: list[Cost], higher: bool) -> None:
    """By definition, over all pairs: a figure is on the front where nothing as cheap is as good, but for equal rows."""
    sign = -1 if higher else 1
    for column in columns_of(rows, higher_is_better=higher):
        here = [one for one in rows if one.nfe == column.nfe]
        best = {
            (one.network_evaluations, one.value)
            for one in here
            if not any(
                other.network_evaluations <= one.network_evaluations
                and sign * other.value <= sign * one.value
                and (other.network_evaluations, other.value) != (one.network_evaluations, one.value)
                for other in here
            )
        }
        assert sorted((one.network_evaluations, one.value) for one in column.front) == sorted(best)
        assert len(column.rows) == len(here)


def test_columns_are_where_something_was_trained_and_what_lacks_a_figure_is_left_out() -> None:
    rows = [Cost("ddim", 8, 0, 9.0), Cost("ddim", 4, 0, 9.0), Cost("a", 4, 10, 5.0), Cost("b", 4, None, 1.0)]
    (column,) = columns_of([*rows, Cost("c", 4, 5, None)])
    assert (column.nfe, [one.method for one in column.front]) == (4, ["ddim", "a"])


def test_close_is_what_costs_no_more_and_has_an_interval_that_overlaps() -> None:
    free, cheap = Cost("free", 1, 0, 9.0, 8.0, 10.0), Cost("cheap", 1, 5, 8.5, 7.5, 9.5)
    dear, worse = Cost("dear", 1, 9, 4.0, 3.0, 5.0), Cost("worse", 1, 9, 4.5, 3.5, 5.5)
    dearest = Cost("dearest", 1, 99, 4.4, 3.9, 4.9)
    (column,) = columns_of([dearest, worse, dear, cheap, free])
    assert [one.method for one in column.front] == ["free", "cheap", "dear"]
    assert [[one.method for one in some] for some in column.close] == [[], ["free"], ["worse"]]


def test_without_an_interval_nothing_tells_two_rows_apart() -> None:
    (column,) = columns_of([Cost("free", 1, 0, 9.0), Cost("cheap", 1, 5, 2.0, 1.0, 3.0)])
    assert [[one.method for one in some] for some in column.close] == [[], ["free"]]


def test_the_page_names_what_is_on_the_front(tmp_path: Path) -> None:
    methods = {
        "teacher": {"reference_steps": 32},
        "ddim": {},
        "sfddm": {},
        "progressive": {"start": 32},
        "trajectory": {},
    }
    spec = make_spec(methods=methods, steps=[8])
    # As their cards say, SFDDM and trajectory took 1,000 evaluations, progressive distillation 3,000.
    figures = {"ddim": 90.0, "sfddm": 95.0, "trajectory": 80.0, "progressive": 60.0}
    make_runs(spec, tmp_path / "runs", {(row, 8, 0): value for row, value in figures.items()})
    collect(spec, tmp_path / "runs", tmp_path / "collected")
    render([tmp_path / "collected"], tmp_path / "out")
    page = parse((tmp_path / "out" / "table.html").read_text())
    section = page.one("section", id="choice")
    told = section.one("svg").attributes["aria-label"]
    assert "At 8: " in told
    assert "SFDDM" not in told
    assert told.index("DDIM 90.00 after 0 ") < told.index("Trajectory") < told.index("Progressive")
    assert "Trajectory distillation, single fold 80.00 after 1.00 k evaluations" in told
    lines = [[cell.text for cell in row.every("td")] for row in section.every("tr")[1:]]
    assert [line[0] for line in lines] == ["0", "1.00 k", "3.00 k"]


@pytest.mark.parametrize(("more", "before"), [(0, False), (10, True)])
def test_the_plot_stands_before_a_table_that_is_longer_than_a_screen(tmp_path: Path, more: int, before: bool) -> None:
    rows = {"ddim": {}, "sfddm": {}, "progressive": {"start": 32}, "trajectory": {}}
    others = {f"solver-{k}": {"method": "ddim", "sampler": "unipc", "title": f"Solver {k}"} for k in range(more)}
    spec = make_spec(methods={"teacher": {"reference_steps": 32}, **rows, **others}, steps=[8])
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "collected")
    content = read_content([tmp_path / "collected"])
    order = [section.identifier for section in sections_of(content)]
    assert sorted(set(order)) == sorted(order)
    assert len(content.tables[0].lines) == len(rows) + more
    assert (order.index("choice") < order.index("table")) is before


def test_without_three_trained_rows_there_is_nothing_to_choose(tmp_path: Path) -> None:
    spec = make_spec()
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "collected")
    render([tmp_path / "collected"], tmp_path / "out")
    assert 'id="choice"' not in (tmp_path / "out" / "table.html").read_text()

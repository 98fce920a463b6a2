"""The section of budgets: what its curves hold, and what the rest of the report leaves to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.pages import latex_cells, parse
from support.report_runs import make_runs, make_spec, put_json

from sfddm.report.collect import collect
from sfddm.report.content import Content, read_content
from sfddm.report.render import render

METHODS: dict[str, Any] = {
    "teacher": {"reference_steps": 32},
    "ddim": {},
    "ddim-released": {"method": "ddim", "index_set": "uniform-released"},
    "progressive": {"start": 32},
    "sfddm": {"budgets": [1, 3, 9]},
    "sfddm-l1": {"method": "sfddm", "norm": "l1", "title": "SFDDM, L1", "budgets": [0.5, 1], "steps": [4]},
}
SEEDS = (0, 1, 2)
SMALLER = ["sfddm.x1", "sfddm.x3", "sfddm-l1.x0.5"]


def make(folder: Path, seeds: tuple[int, ...] = SEEDS) -> Path:
    spec = make_spec(methods=METHODS, seeds=list(seeds))
    base = {"ddim": 90.0, "ddim-released": 50.0, "sfddm.x1": 200.0, "sfddm.x3": 92.0, "sfddm": 80.0}
    base |= {"sfddm-l1.x0.5": 10.0, "sfddm-l1": 9.0}
    # A teacher's quality moves its students and DDIM alike: the differences of each seed hold less of it.
    values = {(row, steps, s): value + 10 * s for row, value in base.items() for steps in (16, 4) for s in seeds}
    values |= {("sfddm", 16, 1): 93.0, ("sfddm.x3", 16, 1): 99.0}
    runs = make_runs(spec, folder / "runs", values)
    for row, times in (("sfddm", 9), ("sfddm.x3", 3)):
        for card in runs.glob(f"seed-*/{row}/fold-*/card.json"):
            content = json.loads(card.read_text())
            put_json(card, content | {"images_seen": 500 * times})
    collect(spec, runs, folder / "collected")
    return folder / "collected"


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return read_content([make(tmp_path)], tmp_path / "none")


def test_a_curve_is_a_row_at_its_steps_with_costs_and_the_difference_to_its_untrained_control(content: Content) -> None:
    (table,) = content.budgets
    assert [(steps, [curve.method for curve in curves]) for steps, curves in table.blocks] == [
        (16, ["sfddm"]),
        (4, ["sfddm", "sfddm-l1"]),
    ]
    (curve,) = table.blocks[0][1]
    assert [(point.budget, point.images, point.evaluations) for point in curve.points] == [
        (1.0, 500, 1000.0),
        (3.0, 1500, 3000.0),
        (9.0, 4500, 9000.0),
    ]
    assert [round(point.number.value, 2) for point in curve.points] == [210.0, 101.0, 91.0]
    # DDIM on other indices, although lower, is not what the student was before training.
    assert curve.control is not None
    assert (curve.control.method, curve.control.number.value) == ("ddim", 100.0)
    gaps = [point.to_control for point in curve.points]
    # Seed by seed: 110 each; 2, -1, 2; -10, -7, -10, whose interval is -9 -+ 4.303.
    assert [(gap.value, gap.sense) for gap in gaps if gap] == [(110.0, "worse"), (1.0, "unclear"), (-9.0, "better")]
    assert gaps[2] is not None
    assert gaps[2].interval == "[-13.30, -4.70]"


def test_smaller_budgets_stay_out_of_everything_else(content: Content, tmp_path: Path) -> None:
    assert {row.method for part in content.collected for row in part.rows} == {*METHODS, *SMALLER}
    assert not set(SMALLER) & {*content.frame.method, *content.slots, *content.variants}
    assert not [
        line for table in content.ablations for block in table.blocks for line in block.lines if "." in line.method
    ]
    render([tmp_path / "collected"], tmp_path / "out")
    page = parse((tmp_path / "out" / "table.html").read_text())
    for name in ("summary", "table", "ablations", "distances", "costs", "samples"):
        shown = page.one("section", id=name)
        assert "210.00" not in shown.text + " ".join(shown.values("aria-label")), name
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["rows"]
    assert set(SMALLER) < {row["method"] for row in rows}


def test_neither_budget_nor_its_names_are_a_change_of_an_ablation(content: Content) -> None:
    (table,) = [one for one in content.ablations if one.metric == "frechet_distance"]
    (line,) = [line for block in table.blocks for line in block.lines if line.method == "sfddm-l1"]
    assert {change.option for change in line.changes} == {"norm", "training images"}


def test_the_plot_tells_its_points_and_the_formats_hold_the_same_numbers(content: Content, tmp_path: Path) -> None:
    render([tmp_path / "collected"], tmp_path / "out")
    page = parse((tmp_path / "out" / "table.html").read_text()).one("section", id="budgets")
    many, few = page.every("svg", class_="plot")
    told = many.attributes["aria-label"]
    assert (
        "training images, Tiny images, 16 steps. SFDDM: 210.00 after 500, 101.00 after 1.50 k, 91.00 after 4.50 k;"
        in told
    )
    assert "DDIM, not trained: 100.00; " in told
    assert "Real against real: 93.00" in told
    assert "SFDDM, L1: " in few.attributes["aria-label"]
    (hollow,) = [one for one in page.every("li") if one.text.startswith("○")]
    assert "variant" in hollow.text
    (values,) = {
        tuple(point.number.value for point in curve.points) for _, (curve, *_) in content.budgets[0].blocks[:1]
    }
    assert set(map(str, values)) <= set(page.values("value"))
    lines = (tmp_path / "out" / "table.md").read_text().partition("## Fréchet distance against training budget")[2]
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in lines.splitlines() if line.startswith("| SFDDM |")
    ]
    assert [row[:5] for row in cells if row[1] == "16"] == [
        ["SFDDM", "16", "1 ×", "500", "1.00 k"],
        ["SFDDM", "16", "3 ×", "1500", "3.00 k"],
        ["SFDDM", "16", "9 ×", "4500", "9.00 k"],
    ]
    assert [re.split(r"[ *\\]", row[5])[0] for row in cells if row[1] == "16"] == ["210.00", "101.00", "91.00"]
    latex = (tmp_path / "out" / "table.tex").read_text()
    assert "against training budget" in latex
    assert r"9\,$\times$ & 4500 & 9.00 k & 91.00" in latex
    assert latex_cells(latex, 0)["SFDDM"], "the table's own cells are read as before"


def test_without_budgets_there_is_no_such_section(tmp_path: Path) -> None:
    spec = make_spec()
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "collected")
    render([tmp_path / "collected"], tmp_path / "out")
    assert 'id="budgets"' not in (tmp_path / "out" / "table.html").read_text()
    assert "against training budget" not in (tmp_path / "out" / "table.md").read_text()

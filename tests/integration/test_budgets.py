"""A row with two budgets through every stage, on points: two trainings of two lengths, one row of the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from support.every_verb import POINTS, invoke
from support.pages import parse

from sfddm.spec.load import load_spec

ROWS = {"teacher": {"reference_steps": 4}, "ddim": {}, "sfddm": {"budgets": [1, 3]}}


def do(arguments: str, out: str) -> None:
    result = invoke(arguments, "--out", out)
    assert result.exit_code == 0, (arguments, result.exception)


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder with ``reports/``."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(POINTS) | {"methods": ROWS}
    content["evaluation"].pop("agreement")
    (tmp_path / "points.yaml").write_text(yaml.safe_dump(content))
    spec, model = load_spec("points.yaml"), "run/seed-0/teacher/model"
    do("fetch points.yaml", "run/data")
    do("train points.yaml --data run/data", model)
    do("reference points.yaml --data run/data", "run/reference")
    for row, steps in spec.rows():
        place, models = f"run/seed-0/{row}", [model] * (not spec.trainings(row))
        for fold in spec.trainings(row):
            models.append(f"{place}/fold-{fold}")
            options = f"--method {row} --fold {fold} --teacher {model} --data run/data"
            do(f"distill points.yaml {options}", models[-1])
        images = f"{place}/steps-{steps}/samples.npy"
        do(f"sample points.yaml --method {row} --steps {steps} --model {models[-1]}", images)
        scored = f"evaluate points.yaml --samples {images} --reference run/reference"
        do(scored, f"{place}/steps-{steps}/score.json")
    do("collect points.yaml --runs run", "run/collected")
    do("report run/collected", "reports")
    return tmp_path


def test_the_figures_of_each_budget_are_there_and_the_tables_show_the_largest(finished: Path) -> None:
    rows = json.loads((finished / "reports" / "metrics.json").read_text())["rows"]
    found = {row["method"]: (row["budget"], row["budget_of"], row["images_seen"]) for row in rows}
    assert found.pop("teacher")[:2] == found.pop("ddim")[:2] == (1.0, None)
    assert found == {"sfddm": (3.0, "sfddm", 24), "sfddm.x1": (1.0, "sfddm", 8)}
    distances = {row["method"]: row["value"] for row in rows if row["metric"] == "frechet_distance"}
    page = parse((finished / "reports" / "table.html").read_text())
    shown = page.one("section", id="table").values("value")
    assert str(distances["sfddm"]) in shown
    assert str(distances["sfddm.x1"]) not in shown
    curve = page.one("section", id="budgets")
    assert {str(distances["sfddm"]), str(distances["sfddm.x1"])} <= set(curve.values("value"))
    plot = curve.one("svg").attributes["aria-label"]
    assert f"{distances['sfddm.x1']:.2f} after 8, {distances['sfddm']:.2f} after 24" in plot

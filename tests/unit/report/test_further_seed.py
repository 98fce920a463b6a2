"""``further-seed``: rows go on where a claim is open, at each of their budgets, and what is collected follows."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.report_runs import make_runs, make_spec, read
from typer.testing import CliRunner

from sfddm.cli import app
from sfddm.report.collect import collect
from sfddm.report.further_seed import write_further_seed
from sfddm.results.files import read_result
from sfddm.results.further_seed import FurtherSeed, seeds_of_rows
from sfddm.runtime.errors import SfddmError
from sfddm.spec.experiment import Spec

CLAIMS = """
paper: A paper
reference: A reference
claims:
- id: sfddm-below
  statement: SFDDM is below DDIM
  test: {kind: compare, left: {method: sfddm}, relation: lower, right: {method: ddim}, steps: {listed: [4]}}
- id: progressive-below
  statement: Progressive distillation is below DDIM
  test: {kind: compare, left: {method: progressive}, relation: lower, right: {method: ddim}, steps: {listed: [4]}}
"""
METHODS: dict[str, Any] = {
    "teacher": {"reference_steps": 32},
    "ddim": {},
    "progressive": {"start": 32},
    "sfddm": {"budgets": [1, 3]},
}


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / "paper.yaml").write_text(CLAIMS)
    return folder


def run_of(tmp_path: Path, **seeds: int) -> tuple[Spec, Path]:
    """A run in which progressive distillation is far below DDIM and SFDDM on either side of it, seed by seed."""
    spec = make_spec(seeds=seeds, methods=METHODS)
    values = {}
    for seed in spec.every_seed:
        values["ddim", 4, seed] = 90.0 + seed
        values["progressive", 4, seed] = 40.0 + seed + 0.1 * (seed % 2)
        values["sfddm", 4, seed] = 90.0 + seed + (-1) ** seed
        values["sfddm.x1", 4, seed] = 99.0
    return spec, make_runs(spec, tmp_path / "runs", values)


def decide(spec: Spec, runs: Path, claims: Path, seeds: int) -> dict[str, tuple[str, ...]]:
    out = runs / "seeds" / f"after-{seeds}.json"
    write_further_seed(spec, runs, seeds, out, claims)
    return read_result(out, FurtherSeed, "further-seed").rows


def test_the_rows_of_an_open_claim_go_on(tmp_path: Path, claims: Path) -> None:
    spec, runs = run_of(tmp_path, at_least=3, at_most=5)
    open_claim = ("sfddm-below",)
    assert decide(spec, runs, claims, 3) == {"sfddm": open_claim, "sfddm.x1": open_claim, "ddim": open_claim}
    assert decide(spec, runs, claims, 4).keys() == {"sfddm", "sfddm.x1", "ddim"}
    collect(spec, runs, tmp_path / "out")
    rows = read(tmp_path / "out")["rows"]
    counts = {method: len({row["seed"] for row in rows if row["method"] == method}) for method in spec.methods}
    assert counts == {"teacher": 3, "ddim": 5, "progressive": 3, "sfddm": 5, "sfddm.x1": 5}


def test_the_run_ends_where_all_is_decided(tmp_path: Path, claims: Path) -> None:
    spec, runs = run_of(tmp_path, at_least=3, at_most=5)
    (claims / "paper.yaml").write_text(CLAIMS.replace("{method: sfddm}", "{method: progressive}"))
    assert decide(spec, runs, claims, 3) == {}
    collect(spec, runs, tmp_path / "out")
    assert {row["seed"] for row in read(tmp_path / "out")["rows"]} == {0, 1, 2}


def test_a_row_that_was_decided_stays_so(tmp_path: Path, claims: Path) -> None:
    """After four seeds only rows that have four are asked, whatever is open of others."""
    spec, runs = run_of(tmp_path, at_least=3, at_most=6)
    decide(spec, runs, claims, 3)
    (claims / "paper.yaml").write_text(CLAIMS.replace("0.1", "0").replace("lower", "higher", 2))
    assert "progressive" not in decide(spec, runs, claims, 4)


def test_seeds_are_counted_decision_by_decision() -> None:
    decisions = [
        FurtherSeed(experiment="e", seeds=3, rows={"a": ("x",), "b": ("x",)}),
        FurtherSeed(experiment="e", seeds=4, rows={"a": ("x",), "c": ("x",)}),
    ]
    found = seeds_of_rows(["a", "b", "c"], 3, decisions)
    assert found == {"a": (0, 1, 2, 3, 4), "b": (0, 1, 2, 3), "c": (0, 1, 2)}


def test_wrong_calls_are_told_in_a_sentence(tmp_path: Path, claims: Path) -> None:
    listed = make_spec(seeds=[0, 1, 2])
    with pytest.raises(SfddmError, match="nothing to decide"):
        write_further_seed(listed, tmp_path, 3, tmp_path / "out.json", claims)
    spec, runs = run_of(tmp_path, at_least=3, at_most=5)
    with pytest.raises(SfddmError, match="must be from 3 to 4, got 5"):
        write_further_seed(spec, runs, 5, tmp_path / "out.json", claims)
    with pytest.raises(SfddmError, match=r"after-3.json: no such file; `sfddm further-seed` writes it"):
        collect(spec, runs, tmp_path / "out")


def test_the_verb(tmp_path: Path) -> None:
    """With the papers' own claims: here SFDDM's against DDIM is open."""
    spec, runs = run_of(tmp_path, at_least=3, at_most=5)
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(spec.model_dump(mode="json")))
    out = tmp_path / "after.json"
    done = CliRunner().invoke(app, ["further-seed", str(file), "--runs", str(runs), "--seeds", "3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "sfddm-below-ddim" in json.loads(out.read_text())["rows"]["sfddm"]

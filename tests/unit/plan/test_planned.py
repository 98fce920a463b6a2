"""The hours and the smallest differences come from records; the verb prints them without torch."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest
from typer.testing import CliRunner

from sfddm.claims import evaluate_claims, load_claims
from sfddm.claims.figures import Figures
from sfddm.claims.power import what_would_decide
from sfddm.cli import app
from sfddm.plan.decidable import decidable
from sfddm.plan.planned import Planned, plan_of
from sfddm.plan.power import smallest_difference
from sfddm.plan.records import read_records
from sfddm.plan.stages import evaluations_of, seconds_of
from sfddm.results.metrics import read_metrics
from sfddm.runtime.errors import SfddmError
from sfddm.spec.load import load_spec

RECORDS = Path("reports/records")


def seconds_in(planned: Planned, stage: str) -> float:
    seconds = next(one.seconds for one in planned.stages if one.name == stage)
    assert seconds is not None
    return seconds


def test_hours_at_another_records_speed_are_those_that_the_run_took(tmp_path: Path) -> None:
    """The full study alone tells how long digits takes, to within 30 %."""
    copytree(RECORDS / "digits-study-before-budgets-cpu", tmp_path / "digits-study-before-budgets-cpu")
    planned = plan_of(load_spec(RECORDS / "digits-before-budgets-cpu" / "spec.yaml"), records=tmp_path)
    rows = [row for row in read_metrics(RECORDS / "digits-before-budgets-cpu")[0].rows if row.metric == "kid"]
    took = {(row.method, row.steps): row.train_seconds for row in rows}
    teacher = took["teacher", 64]
    students = sum(took[key] for key in took if key[0].startswith("sfddm")) + took["progressive", 4]  # all its folds
    sampling = sum(1797 * row.sample_seconds_per_image for row in rows)
    assert seconds_in(planned, "train") == pytest.approx(teacher, rel=0.3)
    assert seconds_in(planned, "distill") == pytest.approx(students, rel=0.3)
    assert seconds_in(planned, "sample") == pytest.approx(sampling, rel=0.3)
    assert {rate.record for stage in planned.stages for rate in stage.rates} == {"digits-study-before-budgets-cpu"}


def test_another_network_has_no_hours() -> None:
    planned = plan_of(load_spec("cifar10"), stored=50_000)
    assert seconds_of(planned.stages) is None
    assert evaluations_of(planned.stages) is not None
    assert set(planned.without_speed) >= {"teacher", "sfddm"}


def test_the_smallest_difference_is_the_one_that_the_report_tells() -> None:
    """Of the comparison of the study that was made: its three seeds are planned again."""
    spec = load_spec(RECORDS / "digits-study-before-budgets-cpu" / "spec.yaml")
    figures = {
        (one.first.method, one.first.steps): one
        for one in Figures(read_metrics(RECORDS / "digits-study-before-budgets-cpu")).all
        if one.first.metric == "frechet_distance"
    }
    claim = next(one for one in decidable(spec, load_claims()) if one.claim.id == "sfddm-below-ddim")
    records = [one for one in read_records() if one.name == "digits-study-before-budgets-cpu"]
    for comparison in claim.comparisons:
        left, right = (figures[row.method, row.steps] for row in comparison.cell.rows)
        difference = left.minus(right)
        shown = smallest_difference(comparison.cell, records, spec.data.label, 0.95)
        assert difference is not None
        assert shown is not None
        assert f"a difference of {shown.difference:.3g} would be seen" in what_would_decide(difference)
        assert shown.record == "digits-study-before-budgets-cpu"


def test_one_seed_shows_what_its_widened_interval_allows() -> None:
    spec = load_spec(RECORDS / "digits-before-budgets-cpu" / "spec.yaml")
    claim = next(one for one in decidable(spec, load_claims()) if one.claim.id == "sfddm-below-ddim")
    verdicts = evaluate_claims(read_metrics(RECORDS / "digits-before-budgets-cpu"), [claim.claim])
    records = read_records()
    for comparison, cell in zip(claim.comparisons, verdicts[0].cells, strict=True):
        shown = smallest_difference(comparison.cell, records, spec.data.label, 0.95)
        assert shown is not None
        assert cell.difference is not None
        assert cell.difference.low is not None
        reach = cell.difference.value - cell.difference.low
        assert 1.2 * reach < shown.difference < 1.6 * reach, "a power of 0.8 needs more than the interval's own half"
    assert smallest_difference(claim.comparisons[0].cell, records, "Other images", 0.95) is None


@pytest.mark.parametrize("name", ["digits-study-cpu", "digits-methods-cpu"])
def test_the_scatter_is_that_of_the_record_whose_rows_were_trained_alike(name: str) -> None:
    records = [one for one in read_records() if one.name in ("digits-study-cpu", "digits-methods-cpu")]
    seen = {
        (row.method, row.steps): row.images_seen
        for record in records
        if record.name == name
        for row in record.part.rows
    }
    spec = load_spec(RECORDS / "digits-study-cpu" / "spec.yaml")
    claim = next(one for one in decidable(spec, load_claims()) if one.claim.id == "sfddm-below-progressive")
    for order in (records, records[::-1]):
        shown = smallest_difference(
            claim.comparisons[0].cell,
            order,
            spec.data.label,
            0.95,
            images_seen=lambda link: seen[link.method, link.steps],
        )
        assert shown is not None
        assert shown.record == name


def test_papers_of_which_nothing_is_measured_are_named_once() -> None:
    text = CliRunner().invoke(app, ["plan", "smoke"], catch_exceptions=False, env={"COLUMNS": "150"}).output
    line = next(line for line in text.splitlines() if line.startswith("Papers of which nothing would be measured"))
    assert "One Step Diffusion via Shortcut Models (3)" in line
    assert "shortcut-more-steps" not in text
    assert "  sfddm-below-ddim" not in line


def test_the_verb_prints_tables_and_json() -> None:
    text = CliRunner().invoke(app, ["plan", "smoke"], catch_exceptions=False, env={"COLUMNS": "150"}).output
    assert "claims are decided by figures" in text
    assert "smoke-cpu (" in text
    content = json.loads(CliRunner().invoke(app, ["plan", "smoke", "--json"], catch_exceptions=False).output)
    assert {one["decided_by"] for one in content["claims"]} == {"figures", "tests", "no"}
    assert content["network_evaluations"] == sum(one["evaluations"] or 0 for one in content["stages"])
    epochs = CliRunner().invoke(app, ["plan", "cifar10"], catch_exceptions=False).output
    assert "--images says of how many training images" in epochs


def test_a_broken_spec_is_refused_in_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: Broken Name\n")
    with pytest.raises(SfddmError, match=r"broken.yaml: .*name"):
        CliRunner().invoke(app, ["plan", str(broken)], catch_exceptions=False)


def test_it_imports_no_torch() -> None:
    code = (
        "import sys; from sfddm.plan.planned import plan_of; from sfddm.plan.show import print_plan; "
        "from sfddm.spec.load import load_spec; print_plan(plan_of(load_spec('smoke'))); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

"""The plan asks the claims' own tests, so that it finds the comparisons that a finished run made."""

from pathlib import Path

import pytest
from support.report_runs import make_spec

from sfddm.claims import evaluate_claims, load_claims
from sfddm.evaluation.measurements.base import find_measurement
from sfddm.plan.decidable import Decidable, decidable
from sfddm.plan.planned import plan_of
from sfddm.plan.stages import seconds_of
from sfddm.results.metrics import read_metrics
from sfddm.spec import stages
from sfddm.spec.load import load_spec

RECORDS = Path("reports/records")
SPECS = sorted(path.stem for path in Path("params").glob("*.yaml"))
WIDENED = "single training: interval widened 2.4 times"


#: Its run was stopped before the interpolations that its spec asks for were measured.
STOPPED = {"digits-study-cpu"}


@pytest.mark.parametrize("record", sorted({path.name for path in RECORDS.iterdir()} - STOPPED))
def test_the_plan_finds_the_comparisons_of_the_record(record: str) -> None:
    claims = load_claims()
    planned = decidable(load_spec(RECORDS / record / "spec.yaml"), claims)
    verdicts = evaluate_claims(read_metrics(RECORDS / record), claims)
    assert sum(one.kind == "figures" for one in planned) == sum(bool(verdict.cells) for verdict in verdicts) > 0
    for one, verdict in zip(planned, verdicts, strict=True):
        tested = [cell for cell in verdict.cells if cell.verdict != "not tested"]
        assert len(one.comparisons) == len(tested), one.claim.id
        for comparison, cell in zip(one.comparisons, tested, strict=True):
            planned_seeds = comparison.cell.seeds  # at most, where a run trains more only while a claim is open
            fits = cell.seeds <= planned_seeds if comparison.until_decided else cell.seeds == planned_seeds
            assert fits, one.claim.id
        assert [c.cell.trained for c in one.comparisons] == [cell.trained for cell in tested], one.claim.id
        for comparison, cell in zip(one.comparisons, tested, strict=True):
            # Whether extractors differ, or a curve over budgets still falls, is not known before the run; the plan says
            # how many there are.
            open_words = ("inconclusive", "depends on the extractor", *(["unsettled"] if len(cell.curve) > 1 else []))
            if cell.verdict not in open_words and not comparison.counted and cell.difference:
                assert cell.verdict in comparison.verdicts, one.claim.id
        if one.kind == "no":
            assert one.because == verdict.because


def test_counts_are_known_before_the_run() -> None:
    by_id = of_digits()
    assert by_id["sfddm-one-fold"].strengths == {"counted: reproduced": 6}
    # Progressive takes 1, 2 and 3 folds to 16, 8 and 4 steps: SFDDM's one is not fewer at 16.
    assert by_id["sfddm-fewer-folds"].strengths == {"counted: contradicted": 1, "counted: reproduced": 2}


def test_it_says_what_one_training_and_one_budget_cannot_show() -> None:
    by_id = of_digits()
    one, single = "one training budget", "one extractor"
    assert by_id["sfddm-below-ddim"].strengths == {f"{WIDENED}; {one}: a contradiction would be unsettled; {single}": 3}
    assert by_id["sfddm-below-progressive"].strengths == {
        f"{WIDENED}; {one}: either verdict would be unsettled; {single}": 3
    }
    assert by_id["ddim-more-steps"].strengths == {"a single training; one extractor": 1}, (
        "nothing is trained besides the teacher"
    )
    assert by_id["sfddm-alphas"].kind == "tests"
    assert (by_id["sfddm-interpolation"].kind, by_id["msd-text-to-image"].kind) == ("no", "no")


def test_several_seeds_are_not_widened() -> None:
    spec = load_spec(RECORDS / "digits-before-budgets-cpu" / "spec.yaml").model_copy(update={"seeds": (0, 1, 2)})
    one = next(one for one in decidable(spec, load_claims()) if one.claim.id == "sfddm-below-ddim")
    assert one.strengths == {"3 trainings; one training budget: a contradiction would be unsettled; one extractor": 3}
    assert {comparison.widened for comparison in one.comparisons} == {1.0}


def test_several_budgets_settle_and_several_extractors_take_part() -> None:
    evaluation = {"samples": 100, "extractors": ["efficientnet-lite0", "inception-v3-compat"]}
    methods = {"ddim": {}, "sfddm": {"budgets": [1, 3, 9]}}
    spec = make_spec(methods=methods, steps=[4], evaluation=evaluation)
    found = {one.claim.id: one for one in decidable(spec, load_claims())}
    (comparison,) = found["sfddm-below-ddim"].comparisons
    assert set(comparison.verdicts) == {"reproduced", "contradicted"}, "a flat curve over three budgets is settled"
    assert comparison.extractors == 2
    assert comparison.strength == f"{WIDENED}; 2 extractors"


def test_the_labels_that_a_plan_knows_are_those_that_are_written() -> None:
    for record, measurement in (("digits-study-before-budgets-cpu", "agreement"), ("gaussians-2d-cpu", "agreement")):
        spec, rows = load_spec(RECORDS / record / "spec.yaml"), read_metrics(RECORDS / record)[0].rows
        written = {(row.metric, row.label) for row in rows if "_teacher" in row.metric}
        labels = find_measurement(measurement).labels(stages.scoring(spec))
        assert written == set(labels.items())


def test_rows_of_equal_cost_are_those_whose_trainings_ask_as_often() -> None:
    """Progressive takes three folds of three evaluations an image; SFDDM takes two for each of 4.5 times the images."""
    for images, comparisons in ((512, 0), (512 * 9 // 2, 1)):
        methods = {"progressive": {"start": 32}, "sfddm": {"training": {"images": images}}}
        spec = make_spec(methods=methods, steps=[4], students={"images": 512})
        found = {one.claim.id: one for one in decidable(spec, load_claims())}
        assert len(found["sfddm-below-progressive-at-equal-cost"].comparisons) == comparisons


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_every_spec_has_a_plan(name: str, tmp_path: Path) -> None:
    planned = plan_of(load_spec(name), records=tmp_path / "none")
    assert {one.kind for one in planned.claims} == {"figures", "tests", "no"}
    assert [stage.name for stage in planned.stages if stage.name in ("train", "sample", "evaluate")]
    assert seconds_of(planned.stages) is None, "without records there are no speeds"


def of_digits() -> dict[str, Decidable]:
    spec = load_spec(RECORDS / "digits-before-budgets-cpu" / "spec.yaml")
    return {one.claim.id: one for one in decidable(spec, load_claims())}

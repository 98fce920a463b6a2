"""What is counted from a spec alone is what the cards of a finished run stated."""

from pathlib import Path
from typing import Any

import pytest
from support.report_runs import make_spec

from sfddm.diffusion.index_sets import GITS_PATHS
from sfddm.plan.costs import Costs, networks_of, total
from sfddm.results.metrics import read_metrics
from sfddm.spec.load import load_spec

RECORDS = Path("reports/records")


@pytest.mark.parametrize(
    "record", ["smoke-cpu", "digits-before-budgets-cpu", "digits-msd-cpu", "digits-o2mkd-cpu", "gaussians-2d-cpu"]
)
def test_every_row_of_a_record_cost_what_the_plan_counts(record: str) -> None:
    """Folds of progressive, fake networks of MSD, small students, guidance, samplers of two evaluations a step."""
    folder = RECORDS / record
    costs, rows = Costs(load_spec(folder / "spec.yaml")), read_metrics(folder)[0].rows
    for row in rows:
        assert row.steps is not None
        trainings = costs.of_row(row.method, row.steps)
        assert total(trainings, "evaluations") == pytest.approx(row.network_evaluations), (row.method, row.steps)
        assert total(trainings, "images") == row.images_seen, (row.method, row.steps)
        assert costs.sampling[row.method, row.steps].nfe == row.nfe, (row.method, row.steps)


def test_a_fold_that_two_rows_share_is_trained_once() -> None:
    # 32 -> 16 is in the row of 16 steps and in that of 4; 500 images are 4 batches of 128.
    costs = Costs(make_spec())
    assert [key for key in costs.students if key[0] == "progressive"] == [("progressive", n) for n in ("16", "8", "4")]
    assert total(costs.of_row("progressive", 4), "evaluations") == 3 * 512 * 3
    assert total(costs.of_row("teacher", 32), "images") == 1024
    assert costs.of_row("ddim", 4) == []


def test_epochs_need_the_number_of_training_images() -> None:
    spec = make_spec(students={"epochs": 2, "batch_size": 100})
    assert total(Costs(spec).of_row("sfddm", 4), "evaluations") is None
    assert total(Costs(spec, 150).of_row("sfddm", 4), "images") == 300


def test_a_pretrained_teacher_costs_nothing() -> None:
    spec = make_spec(teacher={"pretrained": {"folder": "somewhere"}})
    assert (Costs(spec).teacher.images, Costs(spec).teacher.evaluations) == (0, 0)


def test_pairs_and_index_sets_are_counted() -> None:
    gits = {"method": "ddim", "index_set": "gits", "steps": [4]}
    spec = make_spec(methods={"teacher": {"reference_steps": 32}, "gits": gits})
    assert (Costs(spec).index_sets, Costs(spec).pairs) == (GITS_PATHS * 60, 0)
    changes: dict[str, Any] = {"network": {"channels": 8, "classes": 10}, "pairs": {"count": 7, "steps": 5}}
    spec = make_spec(methods={"multi-student": {}}, **changes)
    assert (Costs(spec).index_sets, Costs(spec).pairs) == (0, 35)


def test_networks_are_told_apart_by_what_changes_their_speed() -> None:
    small = {"method": "one-to-many", "network": {"channels": 4}, "students": 2}
    methods = {"sfddm": {}, "small": small, "of-small": {"method": "sfddm", "student_of": "sfddm"}, "ddim": {}}
    spec = make_spec(methods=methods)
    sfddm, small_ones = networks_of(spec, "sfddm"), networks_of(spec, "small")
    assert sfddm == networks_of(spec, "ddim") == networks_of(spec, "of-small")
    assert small_ones.teacher == sfddm.teacher
    assert small_ones.student != sfddm.student
    assert networks_of(make_spec(network={"channels": 8, "prediction": "v"}), "sfddm") == sfddm
    assert networks_of(make_spec(network={"channels": 12}), "sfddm") != sfddm

"""Budgets: which rows a spec with budgets has, how long they are trained, and what that does not train again."""

from __future__ import annotations

from typing import Any

import pytest
from support.report_runs import make_spec

from sfddm.runtime.errors import SfddmError
from sfddm.spec.dependencies import of_student
from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec
from sfddm.spec.schema import json_schema
from sfddm.spec.stages import student_training

MSD = {"method": "multi-student", "students": 2, "score_matching": {"epochs": 2.0}, "adversarial": {"images": 30}}


def spec_of(methods: dict[str, Any], **changes: Any) -> Spec:
    return make_spec(methods={"teacher": {"reference_steps": 32}, "ddim": {}} | methods, **changes)


def images_of(spec: Spec) -> dict[str, dict[str, int | None]]:
    """The images of each training of each trained row."""
    return {
        row: {fold: student_training(spec, row, fold, 0).options.images for fold in spec.trainings(row)}
        for row in spec.methods
        if spec.trainings(row)
    }


def test_a_row_is_its_largest_budget_and_smaller_ones_are_rows_of_their_own() -> None:
    options = {"training": {"images": 100, "learning_rate_schedule": "cosine"}, "title": "Mine", "norm": "l1"}
    spec = spec_of({"mine": {"method": "sfddm", "budgets": [0.5, 1, 9], **options}, "progressive": {"start": 32}})
    assert list(spec.methods) == ["teacher", "ddim", "mine", "mine.x0.5", "mine.x1", "progressive"]
    assert images_of(spec) == {
        "mine": {"16": 900, "4": 900},
        "mine.x0.5": {"16": 50, "4": 50},
        "mine.x1": {"16": 100, "4": 100},
        "progressive": {"16": 500, "8": 500, "4": 500},
    }
    rows = [spec.methods[name] for name in ("mine", "mine.x0.5", "mine.x1")]
    assert [(row.budget, row.budget_of) for row in rows] == [(9.0, "mine"), (0.5, "mine"), (1.0, "mine")]
    assert {(row.method, row.title, row.training and row.training.learning_rate_schedule) for row in rows} == {
        ("sfddm", "Mine", "cosine")
    }
    assert (spec.methods["progressive"].budget, spec.methods["progressive"].budget_of) == (1.0, None)


def test_the_specs_own_budgets_are_those_of_every_row_that_trains_and_states_none() -> None:
    rows = {"sfddm": {}, "progressive": {"start": 32, "budgets": [1]}, "trajectory": {"budgets": [2]}}
    spec = spec_of(rows, budgets=[1, 3])
    assert list(spec.methods) == ["teacher", "ddim", "sfddm", "sfddm.x1", "progressive", "trajectory"]
    found = {row: set(folds.values()) for row, folds in images_of(spec).items()}
    assert found == {"sfddm": {1500}, "sfddm.x1": {500}, "progressive": {500}, "trajectory": {1000}}


def test_every_training_of_a_row_is_multiplied_in_images_or_epochs() -> None:
    changes = {"network": {"channels": 8, "classes": 10}, "pairs": {"count": 8, "steps": 2}, "steps": [1]}
    spec = spec_of({"msd": MSD | {"budgets": [1, 3]}}, **changes)
    lengths = {
        row: {fold: (one.images, one.epochs) for fold in spec.trainings(row) if (one := _options(spec, row, fold))}
        for row in ("msd", "msd.x1")
    }
    assert set(lengths["msd.x1"].values()) == {(None, 2.0), (500, None), (30, None)}
    assert set(lengths["msd"].values()) == {(None, 6.0), (1500, None), (90, None)}


def _options(spec: Spec, row: str, fold: str) -> Any:
    return student_training(spec, row, fold, 0).options


def test_another_row_learns_from_the_student_of_the_largest_budget() -> None:
    many = {"method": "one-to-many", "students": 2, "student_of": "trajectory", "budgets": [1, 2]}
    spec = spec_of({"trajectory": {"budgets": [1, 3]}, "many": many}, steps=[4])
    assert spec.teacher_of("many.x1", "4.range-0") == spec.teacher_of("many", "4.range-0") == ("trajectory", "4")


def test_a_further_budget_trains_no_smaller_one_again() -> None:
    before, after = (spec_of({"sfddm": {"budgets": budgets}}) for budgets in ([1, 3, 9], [1, 3, 9, 27]))
    for row in ("sfddm.x1", "sfddm.x3"):
        assert of_student(before, row, "16", 0) == of_student(after, row, "16", 0)
    assert of_student(before, "sfddm", "16", 0).spec != of_student(after, "sfddm", "16", 0).spec


def test_a_row_of_one_budget_is_trained_as_before() -> None:
    plain, listed, other = (spec_of({"sfddm": options}) for options in ({}, {"budgets": [1]}, {"budgets": [1, 3]}))
    assert of_student(plain, "sfddm", "16", 0) == of_student(listed, "sfddm", "16", 0)
    section = of_student(plain, "sfddm", "16", 0).section
    assert not {"budgets", "budget", "budget_of"} & set(section["method"])
    # The smallest is the same training under another name, from random numbers of its own.
    assert of_student(other, "sfddm.x1", "16", 0).section == section | {"row": "sfddm.x1"}


def test_a_spec_that_was_written_out_is_read_as_the_same() -> None:
    spec = spec_of({"sfddm": {}, "progressive": {"start": 32, "budgets": [1]}}, budgets=[1, 3])
    again = parse_spec(spec.model_dump(mode="json"), "again")
    assert again == spec
    assert again.digest == spec.digest


@pytest.mark.parametrize(
    ("methods", "sentence"),
    [
        ({"sfddm": {"budgets": [3, 1]}}, "methods: sfddm: budgets: must increase strictly; got 3, 1"),
        ({"sfddm": {"budgets": [1, 1]}}, "methods: sfddm: budgets: must increase strictly; got 1, 1"),
        ({"sfddm": {"budgets": [0, 1]}}, "methods: sfddm: budgets.0: input should be greater than 0"),
        ({"sfddm": {"budgets": []}}, "methods: sfddm: budgets: tuple should have at least 1 item"),
        ({"sfddm": {"budgets": ["many"]}}, "methods: sfddm: budgets.0: input should be a valid number"),
        ({"ddim": {"budgets": [1, 3]}}, "methods: ddim: budgets: nothing is trained in this row; leave it out"),
        (
            {"sfddm": {"budgets": [1, 3]}, "sfddm.x1": {"method": "sfddm"}},
            "methods: sfddm: budgets: the row sfddm.x1 is there already; give it another name",
        ),
        (
            {"sfddm": {}, "shorter": {"method": "sfddm", "budget_of": "sfddm"}},
            "methods: shorter: budget_of: must name a row of the same method whose own budget_of is its name; got 's",
        ),
        ({"sfddm": {"budget": 3}}, "methods: sfddm: budget_of: must name a row of the same method"),
        (
            {
                "sfddm": {"budget": 3, "budget_of": "sfddm"},
                "other": {"method": "sfddm", "budget": 3, "budget_of": "sfddm"},
            },
            "methods: other: budget: must be less than that of sfddm, 3; got 3",
        ),
        (
            {"sfddm": {"budgets": [1, 3], "budget": 3, "budget_of": "sfddm"}},
            "methods: sfddm: budgets: give them without budget and budget_of",
        ),
    ],
)
def test_wrong_budgets_are_refused_in_a_sentence(methods: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SfddmError) as refused:
        spec_of(methods)
    assert str(refused.value).startswith(f"test: {sentence}")
    assert "\n" not in str(refused.value)


def test_the_specs_own_budgets_are_checked_too() -> None:
    with pytest.raises(SfddmError, match=r"^test: budgets: must increase strictly; got 3, 2$"):
        spec_of({"sfddm": {}}, budgets=[3, 2])


def test_the_schema_knows_them() -> None:
    schema = json_schema()
    for properties in (schema["properties"], schema["$defs"]["method-sfddm"]["properties"]):
        assert properties["budgets"]["anyOf"][0] == {
            "items": {"exclusiveMinimum": 0, "type": "number"},
            "minItems": 1,
            "type": "array",
        }

"""What holds for the options and the plan of every registered method; a new one is tested by existing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from support.methods import REACHABLE, TIMESTEPS, every_method, method_of, reachable, trained_methods

from sfddm.diffusion.index_sets import check_index_set
from sfddm.methods import all_methods, find_method
from sfddm.methods.options import TrainingOptions
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.ddim import DDIM as DDIMSampler


def test_the_registry_holds_what_the_table_needs() -> None:
    assert {"teacher", "ddim", "sfddm", "progressive"} <= set(all_methods())
    assert list(all_methods()) == sorted(all_methods())
    assert len(trained_methods()) >= 2


def test_an_unknown_method_is_refused_with_the_known_names() -> None:
    with pytest.raises(SfddmError, match=r"method: there is no 'ddmi'; known: .*ddim, "):
        find_method("ddmi")


@every_method
def test_it_says_what_it_is(name: str) -> None:
    method = find_method(name)
    assert method.name == name
    assert method.title
    assert method.reference
    assert method_of(name).row_title(8)
    assert method_of(name, title="Mine").row_title(TIMESTEPS).startswith("Mine")


@every_method
@pytest.mark.parametrize("wrong", [{"unknown_key": 1}, {"eta": 2.0}, {"steps": [0]}])
def test_its_options_reject_what_they_do_not_know(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_method(name).Options.model_validate({"method": name, **wrong})


@every_method
def test_its_options_are_frozen_and_round_trip_through_json(name: str) -> None:
    options = method_of(name).options
    assert type(options).model_validate(options.model_dump(mode="json")) == options
    with pytest.raises(ValidationError):
        options.eta = 0.5  # type: ignore[misc]


@every_method
@pytest.mark.parametrize("timesteps", [64, 1024])
@pytest.mark.parametrize("steps", REACHABLE)
def test_every_training_comes_after_those_that_it_needs(name: str, timesteps: int, steps: int) -> None:
    method = method_of(name, timesteps)
    steps = steps if steps in reachable(name) else reachable(name)[0]
    plan = method.plan(steps)
    assert plan == method.plan(steps), "a pure function"
    assert plan.index_set == method.index_set(steps)
    check_index_set(plan.index_set, timesteps)
    assert len(plan.index_set) == steps
    known: dict[str | None, set[int]] = {None: set(range(timesteps))}
    for training in plan.trainings:
        check_index_set(training.index_set, timesteps)
        assert training.name
        assert training.name not in known
        assert set(training.index_set) <= known[training.teacher], "a student's steps are steps of its teacher"
        assert training.start is None or training.start in known, "the training it starts from comes before it"
        assert training.conditioning is None or len(training.conditioning) == len(training.index_set)
        assert training.initialisation in ("teacher", "random")
        known[training.name] = set(training.index_set)
    assert tuple(training.name for training in plan.students) == plan.sampled
    assert bool(plan.students) == bool(plan.trainings)
    if plan.students:
        trained = {t for training in plan.students for t in training.index_set}
        assert set(plan.index_set) <= trained, "what is sampled is what these trainings trained"


@every_method
def test_the_sampler_is_the_options(name: str) -> None:
    method = method_of(name, sampler="ddim", eta=0.25, clip=False)
    assert method.plan(reachable(name)[0]).sampler == DDIMSampler(0.25, clip=False)


@every_method
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"sampler": "ancestral", "eta": 0.5}, "eta: the sampler ancestral has no use for it"),
        ({"sampler": "euler"}, "euler"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused_before_anything_runs(
    name: str, wrong: dict[str, Any], sentence: str
) -> None:
    if name == "consistency":  # its options name the samplers that it knows
        pytest.skip("refused with the options")
    with pytest.raises(SfddmError, match=sentence):
        method_of(name, **wrong).plan(reachable(name)[0])


@pytest.mark.parametrize("name", trained_methods())
def test_the_options_choose_length_and_prediction_of_every_training(name: str) -> None:
    prediction = method_of(name).options.prediction or "x0"  # a consistency function is of one kind
    method = method_of(name, training={"images": 7}, prediction=prediction)
    for training in method.plan(reachable(name)[0]).trainings:
        assert training.options == TrainingOptions(images=7)
        assert training.prediction == prediction
    default = method_of(name).plan(reachable(name)[0]).trainings
    assert all(training.options is None for training in default), "as the spec trains all students"


@every_method
def test_more_steps_than_the_teacher_has_are_refused(name: str) -> None:
    method = method_of(name)
    for ask in (method.index_set, method.plan):
        with pytest.raises(SfddmError, match=r"^steps: "):
            ask(TIMESTEPS + 1)


@every_method
def test_it_has_at_least_one_row(name: str) -> None:
    assert method_of(name).sampled_steps((16, 8))
    assert method_of(name, steps=[4]).sampled_steps((16, 8)) == (4,)

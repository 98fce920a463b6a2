"""O2MKD: the ranges cover every step once, and students that are copies of the teacher sample what it samples."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exact_networks import normal, tiny_denoiser
from support.trainings import NO_DRAWS, fresh_student, loss_of

from sfddm.diffusion.index_sets import make_index_set
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import make_method
from sfddm.methods.one_to_many import OneToMany, OneToManyOptions
from sfddm.networks.base import Condition
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.ensemble import Ensemble
from sfddm.objectives.terms import Batch
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.ancestral import Ancestral
from sfddm.samplers.base import Sampler, sample
from sfddm.samplers.ddim import DDIM as DDIMSampler

SCHEDULE = make_schedule("cosine", 64)
TRAINING = {"images": 64}


def one_to_many(**options: Any) -> OneToMany:
    method = make_method(OneToManyOptions.model_validate({"method": "one-to-many", **options}), SCHEDULE)
    assert isinstance(method, OneToMany)
    return method


def step_noise(k: int) -> torch.Tensor:
    return normal(3, 1, 8, 8, seed=100 + k)


@settings(max_examples=20, deadline=None)
@given(
    students=st.integers(1, 8),
    partition=st.sampled_from(["steps", "log-snr"]),
    steps=st.sampled_from([1, 2, 8, 16]),
    sampler=st.sampled_from([DDIMSampler(0.0, True), DDIMSampler(0.5, False), Ancestral(0.0, True)]),
)
def test_copies_of_the_teacher_sample_exactly_what_the_teacher_samples(
    students: int, partition: str, steps: int, sampler: Sampler
) -> None:
    teacher = tiny_denoiser(SCHEDULE)
    folds = one_to_many(students=students, partition=partition).plan(steps).students
    members = [Denoiser(teacher.network, "epsilon", teacher.steps.subsequence(f.index_set, f.index_set)) for f in folds]
    ensemble = Ensemble(members, [None] * students)
    index_set = make_index_set("uniform", 64, steps)
    x = normal(3, 1, 8, 8)
    with torch.no_grad():
        alone, together = (sample(model, index_set, sampler, x, step_noise) for model in (teacher, ensemble))
    assert torch.equal(alone, together)


def test_each_step_is_answered_by_its_own_student() -> None:
    teacher = tiny_denoiser(SCHEDULE)
    halves = [tuple(range(32)), tuple(range(32, 64))]
    members = [
        Denoiser(tiny_denoiser(seed=i).network, "epsilon", teacher.steps.subsequence(h, h))
        for i, h in enumerate(halves)
    ]
    ensemble = Ensemble(members, [None, None])
    x = normal(2, 1, 8, 8)
    with torch.no_grad():
        for t in (0, 31, 32, 63):
            batch = torch.full((2,), t)
            assert torch.equal(ensemble.predict(x, batch).eps, members[t // 32].predict(x, batch).eps)
            assert ensemble.alpha_bar(t) == SCHEDULE.alphas_bar[t]


@given(students=st.integers(1, 16), partition=st.sampled_from(["steps", "log-snr"]))
@settings(max_examples=30, deadline=None)
def test_the_ranges_cover_every_step_once_in_order(students: int, partition: str) -> None:
    folds = one_to_many(students=students, partition=partition).plan(8).students
    assert [t for fold in folds for t in fold.index_set] == list(range(64))


def test_listed_boundaries_and_their_number() -> None:
    folds = one_to_many(students=3, partition=[10, 40]).plan(8).students
    assert [(fold.index_set[0], fold.index_set[-1]) for fold in folds] == [(0, 9), (10, 39), (40, 63)]
    with pytest.raises(SfddmError, match=r"partition: 3 students need 2 boundaries, 1 are listed"):
        one_to_many(students=3, partition=[10]).plan(8)


def test_the_shared_phase_comes_first_and_every_range_starts_from_it() -> None:
    method = one_to_many(students=2, shared_training=TRAINING)
    shared, *ranges = method.plan(8).trainings
    assert shared.index_set == tuple(range(64))
    assert [fold.start for fold in ranges] == ["shared", "shared"]
    assert shared.options is method.options.shared_training
    assert [fold.options for fold in ranges] == [method.options.training] * 2
    assert method.plan(8).students == tuple(ranges)
    assert method.plan(8).trainings == method.plan(4).trainings, (
        "all steps are trained, so the step count asks for no training of its own"
    )


def test_students_of_a_student_share_its_steps() -> None:
    folds = one_to_many(students=2, student_of="other").plan(8).trainings
    assert [t for fold in folds for t in fold.index_set] == list(make_index_set("uniform", 64, 8))
    assert [fold.name for fold in folds] == ["8.range-0", "8.range-1"]


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
def test_the_loss_is_zero_for_a_copy_and_counts_the_difference_otherwise(prediction: Any) -> None:
    teacher = tiny_denoiser(SCHEDULE, prediction=prediction)
    method = one_to_many(students=2, initialisation="teacher")
    student = fresh_student(method, method.plan(8).trainings[1], teacher)
    x0, noise, k = normal(4, 1, 8, 8).clamp(-1, 1), normal(4, 1, 8, 8, seed=1), torch.tensor([0, 5, 20, 31])
    batch = Batch(x0, noise, k)
    with torch.no_grad():
        assert float(loss_of(method, student, copy.deepcopy(teacher), batch).total) < 1e-9
        other = Denoiser(tiny_denoiser(seed=9).network, prediction, student.steps)
        wrong = loss_of(method, other, teacher, batch).total
        t = student.index_set[k]
        x_t = student.level(t).signal * x0 + student.level(t).sigma * noise
        expected = (other.network(x_t, Condition(t)) - teacher.network(x_t, Condition(t))).square().mean()
    assert float(wrong) == pytest.approx(float(expected), rel=1e-4), "in what the networks themselves predict"


def test_the_feature_term_trains_its_projection_and_vanishes_where_features_agree() -> None:
    teacher = tiny_denoiser(SCHEDULE)
    method = one_to_many(students=1, initialisation="teacher", feature_weight=0.5)
    training = method.plan(8).trainings[0]
    student = fresh_student(method, training, teacher)
    objective = method.objective(training, student, FrozenDenoiser(copy.deepcopy(teacher)))
    projection: Any = objective.auxiliary["projection"]
    batch = Batch(normal(2, 1, 8, 8), normal(2, 1, 8, 8, seed=1), torch.tensor([3, 60]))
    objective(batch, NO_DRAWS).total.backward()
    gradient = projection.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    with torch.no_grad():
        projection.weight.copy_(torch.eye(8).view(8, 8, 1, 1))
        projection.bias.zero_()
        loss = objective(batch, NO_DRAWS)
    assert float(loss.total) < 1e-9


def test_two_students_of_the_same_step_are_refused_and_so_is_a_step_of_nobody() -> None:
    teacher = tiny_denoiser(SCHEDULE)
    members = [Denoiser(teacher.network, "epsilon", teacher.steps.subsequence(s, s)) for s in ((0, 1, 2), (2, 3))]
    with pytest.raises(SfddmError, match="students: 1 and 0 are both responsible for step 2"):
        Ensemble(members, [None, None])
    with pytest.raises(SfddmError, match="no one is responsible for step 5"):
        Ensemble(members[:1], [None]).alpha_bar(5)

"""On-policy training: the states that the student is taught at, against closed forms and the samplers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser, normal, tiny_denoiser
from support.methods import method_of
from support.trainings import NO_DRAWS, GivenDraws, fresh_student, loss_of
from torch import Tensor

from sfddm.diffusion.process import consistency_prediction, q_sample
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.on_policy import OnPolicy, path_state
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch, Networks
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM
from sfddm.spec.load import load_spec, parse_spec

INDICES = (7, 15, 31, 63)
ALL = torch.arange(4)
ON_POLICY = ["trajectory", "progressive", "consistency"]


def policy(name: str, **states: Any) -> OnPolicy:
    method = method_of(name, states=states)
    assert isinstance(method, OnPolicy)
    return method


def exact(index_set: tuple[int, ...] = INDICES) -> tuple[Denoiser, Denoiser]:
    """The exact model of Gaussian pixels at all steps, and the same at some of them."""
    teacher = gaussian_denoiser(make_schedule("cosine", 64), torch.tensor(0.25), 0.5, "v")
    return teacher, Denoiser(teacher.network, "v", teacher.steps.subsequence(index_set, index_set))


def draws(uniform: Tensor, *shape: int) -> GivenDraws:
    return GivenDraws(("state",), normal(1, *shape, seed=5), uniform[None])


def walked_by_hand(z: np.ndarray, stops: list[int]) -> np.ndarray:
    """DDIM along the indices for pixels of N(0.25, 0.5^2), in float64."""
    alphas_bar = make_schedule("cosine", 64).alphas_bar
    for here_index, there_index in pairwise(stops):
        here, there = alphas_bar[here_index], alphas_bar[there_index] if there_index >= 0 else 1.0
        eps = np.sqrt(1 - here) * (z - np.sqrt(here) * 0.25) / (here * 0.25 + 1 - here)
        z = np.sqrt(there) * (z - np.sqrt(1 - here) * eps) / np.sqrt(here) + np.sqrt(1 - there) * eps
    return z


def test_each_image_is_at_its_own_step_of_the_path() -> None:
    teacher, student = exact()
    noise, position = normal(5, 1, 2, 2), torch.tensor([3, 2, 1, 0, -1])
    found = path_state(student, noise, student.index_set, position, None, clip=False)
    down = [63, 31, 15, 7, -1]
    for i, image in enumerate(found.double().numpy()):
        wanted = walked_by_hand(noise[i].double().numpy(), down[: i + 1])
        np.testing.assert_allclose(image, wanted, rtol=0, atol=2e-5)
    finer = path_state(FrozenDenoiser(teacher), noise, student.index_set, position, None, substeps=2, clip=False)
    by_hand = walked_by_hand(noise[2].double().numpy(), [63, 47, 31, 23, 15])
    np.testing.assert_allclose(finer[2].double().numpy(), by_hand, rtol=0, atol=2e-5)


@pytest.mark.parametrize("clip", [True, False])
def test_the_end_of_the_path_is_what_the_sampler_gives(clip: bool) -> None:
    teacher, _ = exact()
    noise = 3 * normal(3, 1, 2, 2)
    found = path_state(teacher, noise, torch.tensor(INDICES), torch.full((3,), -1), None, clip=clip)
    wanted = sample(teacher, INDICES, DDIM(0.0, clip=clip), noise, lambda k: noise)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_the_shares_say_which_source_an_image_has() -> None:
    """Of four images at one step, in the order of their random numbers: teacher, teacher, student, data."""
    method, (teacher, _) = policy("trajectory", data=0.3, teacher=0.4, student=0.3, clip=False), exact()
    wrong = Denoiser(gaussian_denoiser(make_schedule("cosine", 64), torch.tensor(-2.0), 0.1, "v").network, "v",
                     teacher.steps.subsequence(INDICES, INDICES))  # fmt: skip
    batch = Batch(normal(4, 1, 2, 2, seed=1), normal(4, 1, 2, 2), torch.full((4,), 1))
    networks = Networks(wrong, FrozenDenoiser(teacher))
    x = method.state(networks, batch, draws(torch.tensor([0.0, 0.39, 0.69, 0.71]), 4, 1, 2, 2), substeps=2)
    k, index_set = batch.k, wrong.index_set
    by_teacher = path_state(networks.teacher, batch.noise, index_set, k, None, substeps=2, clip=False)
    by_student = path_state(wrong, batch.noise, index_set, k, None, clip=False)
    by_data = q_sample(batch.x0, batch.noise, wrong.level(index_set[k]))
    assert (by_teacher - by_student).abs().max() > 0.1
    torch.testing.assert_close(x, torch.cat([by_teacher[:2], by_student[2:3], by_data[3:]]))


@pytest.mark.parametrize("name", ["trajectory", "progressive"])
@pytest.mark.parametrize("source", ["teacher", "student"])
def test_a_student_that_is_right_everywhere_has_no_loss_on_any_path(name: str, source: str) -> None:
    """For a single image every number of steps follows the same path."""
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    teacher = gaussian_denoiser(make_schedule("cosine", 64), image, 0.0, "x0")
    method = policy(name, data=0.0, **{source: 1.0})
    (training, *_) = method.plan(8).trainings
    student = Denoiser(teacher.network, "x0", teacher.steps.subsequence(training.index_set, training.index_set))
    k = torch.arange(len(training.index_set))
    batch = Batch(torch.full((len(k), 1, 2, 2), torch.nan), normal(len(k), 1, 2, 2), k)
    loss = loss_of(method, student, teacher, batch, draws(torch.full((len(k),), 0.5), len(k), 1, 2, 2))
    assert loss.total < 1e-6


def test_the_target_at_the_students_own_state_is_the_teachers() -> None:
    """One step from the student's wrong state, weighted, by hand in float64."""
    method, (teacher, _) = policy("trajectory", data=0.0, student=1.0, clip=False), exact()
    wrong = gaussian_denoiser(make_schedule("cosine", 64), torch.tensor(-1.0), 0.25, "v")
    student = Denoiser(wrong.network, "v", wrong.steps.subsequence(INDICES, INDICES))
    batch = Batch(torch.full((1, 1, 2, 2), torch.nan), normal(1, 1, 2, 2), torch.tensor([1]))
    found = loss_of(method, student, teacher, batch, draws(torch.tensor([0.5]), 1, 1, 2, 2)).total
    x = path_state(student, batch.noise, student.index_set, batch.k, None, clip=False)
    alphas_bar = make_schedule("cosine", 64).alphas_bar
    here, there = alphas_bar[15], alphas_bar[7]
    arrived = walked_by_hand(x.double().numpy(), [15, 13, 11, 9, 7])
    ratio = np.sqrt((1 - there) / (1 - here))
    target = (arrived - ratio * x.double().numpy()) / (np.sqrt(there) - ratio * np.sqrt(here))
    own = student.predict(x, torch.tensor([15])).x0.double().numpy()
    assert float(found) == pytest.approx(max(1, here / (1 - here)) * np.mean((target - own) ** 2), rel=1e-4)


@pytest.mark.parametrize("name", ON_POLICY)
def test_no_gradient_flows_along_the_path(name: str) -> None:
    """The gradient is that of the loss at the states as they are, whatever led there."""
    method = policy(name, data=0.0, student=1.0)
    (training, *_) = method.plan(8).trainings
    teacher = tiny_denoiser(size=4)
    student = fresh_student(method, training, teacher)
    batch = Batch(normal(2, 1, 4, 4), normal(2, 1, 4, 4, seed=1), torch.tensor([0, 1]))
    given, further = draws(torch.full((2,), 0.5), 2, 1, 4, 4), {"average": FrozenDenoiser(tiny_denoiser(size=4))}
    if name == "consistency":
        average = fresh_student(method, training, teacher)
        further = {"average": FrozenDenoiser(average)}
    networks = Networks(student, FrozenDenoiser(teacher), **further)
    x = method.state(networks, batch, given, method.options.model_dump().get("substeps", 2))
    assert not x.requires_grad
    method.loss(networks, batch, given).total.backward()
    assert any(one.grad is not None and one.grad.any() for one in student.parameters())


def test_consistency_visits_what_two_steps_of_its_sampling_visit() -> None:
    """f of the pure noise under fresh noise; at the noisiest point the noise itself."""
    method = policy("consistency", data=0.0, student=1.0, clip=False)
    (training,) = method.plan(1).trainings
    network = gaussian_denoiser(make_schedule("cosine", 64), torch.tensor(0.25), 0.5, "v").network
    steps = tiny_denoiser(size=4).steps.subsequence(training.index_set, training.index_set)
    student = Denoiser(network, "consistency", steps)
    k = torch.tensor([len(training.index_set) - 1, 5, 0])
    batch = Batch(torch.full((3, 1, 2, 2), torch.nan), normal(3, 1, 2, 2), k)
    given = draws(torch.full((3,), 0.5), 3, 1, 2, 2)
    x = method.state(Networks(student, FrozenDenoiser(student)), batch, given)
    torch.testing.assert_close(x[0], batch.noise[0])
    last = student.index_set[-1].expand(3)
    raw = student.raw(batch.noise, last)
    image = consistency_prediction(raw, batch.noise, student.level(last), student.level(student.index_set[:1])).x0
    wanted = q_sample(image, given.normal("state"), student.level(student.index_set[k]))
    torch.testing.assert_close(x[1:], wanted[1:])


@pytest.mark.parametrize("name", ON_POLICY)
@pytest.mark.parametrize("clip", [True, False])
def test_the_target_is_clipped_with_the_states(name: str, clip: bool) -> None:
    """The teacher sees an image of 3 everywhere; a student that answers 1 is right where that is clipped."""
    method = policy(name, data=0.5, student=0.5, clip=clip)
    (training, *_) = method.plan(8).trainings
    bright, one = (gaussian_denoiser(make_schedule("cosine", 64), torch.tensor(x), 0.0, "x0") for x in (3.0, 1.0))
    student = Denoiser(one.network, "x0", one.steps.subsequence(training.index_set, training.index_set))
    batch = Batch(torch.zeros(4, 1, 2, 2), normal(4, 1, 2, 2), torch.arange(4))
    given = draws(torch.tensor([0.1, 0.2, 0.7, 0.8]), 4, 1, 2, 2)
    loss = loss_of(method, student, bright, batch, given, average=FrozenDenoiser(bright)).total
    assert loss < 1e-6 if clip else loss > 1


@pytest.mark.parametrize("name", ON_POLICY)
@pytest.mark.parametrize("source", ["teacher", "student"])
def test_the_evaluations_are_counted(name: str, source: str) -> None:
    """Over a batch that has every step once, by the networks' own counters."""
    method = policy(name, data=0.0, **{source: 1.0})
    (training, *_) = method.plan(8).trainings
    teacher = tiny_denoiser(size=4)
    student, average = (fresh_student(method, training, teacher) for _ in range(2))
    k = torch.arange(len(training.index_set))
    batch = Batch(normal(len(k), 1, 4, 4), normal(len(k), 1, 4, 4, seed=1), k)
    before = teacher.evaluations
    networks = Networks(student, FrozenDenoiser(teacher), average=FrozenDenoiser(average))
    method.loss(networks, batch, draws(torch.full((len(k),), 0.5), len(k), 1, 4, 4))
    counted = method.evaluations(training)
    stand_still = {"progressive": 0, "trajectory": 1, "consistency": 0}[name]  # steps between indices that are no step
    assert student.evaluations / len(k) == pytest.approx(counted.student)
    asked = (teacher.evaluations - before + average.evaluations) / len(k)
    assert counted.teacher - stand_still <= asked <= counted.teacher


@pytest.mark.parametrize("name", ON_POLICY)
def test_noised_data_alone_draws_nothing_and_has_the_digest_of_before(name: str) -> None:
    method = method_of(name)
    assert isinstance(method, OnPolicy)
    assert method.drawn == ()
    assert "states" not in method.options.model_dump()
    _, student = exact()
    batch = Batch(normal(2, 1, 2, 2), normal(2, 1, 2, 2, seed=1), torch.tensor([0, 3]))
    x = method.state(Networks(student, FrozenDenoiser(student)), batch, NO_DRAWS)
    torch.testing.assert_close(x, q_sample(batch.x0, batch.noise, student.level(student.index_set[batch.k])))


def test_shares_that_do_not_sum_to_one_are_refused_in_a_sentence() -> None:
    spec = load_spec("smoke").model_dump(mode="json")
    spec["methods"]["trajectory"] = {"states": {"data": 0.5, "student": 0.4}}
    with pytest.raises(SfddmError, match=r"trajectory: states: data, teacher and student .* sum to 0\.9"):
        parse_spec(spec, "a test")

"""Trajectory distillation in one fold: where the teacher's path leads, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exact_networks import gaussian_denoiser, normal

from sfddm.diffusion.process import q_sample
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.trajectory import Trajectory, TrajectoryOptions, follow
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Evaluations
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM as DDIMSampler

IMAGE = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)


@settings(max_examples=30)
@given(st.integers(0, 63), st.integers(0, 63), st.integers(1, 80))
def test_for_a_single_image_every_path_arrives_at_the_level_of_its_end(one: int, other: int, substeps: int) -> None:
    """Any number of sub-steps, also more than there are indices between: the noise stays what it was."""
    teacher = gaussian_denoiser(make_schedule("cosine", 64), IMAGE, 0.0, "x0")
    start, arrival = max(one, other), min(one, other) - 1  # -1 is the clean image
    noise = normal(1, 1, 2, 2)
    t = torch.tensor([start])
    x = q_sample(IMAGE, noise, teacher.level(t))
    arrived = follow(FrozenDenoiser(teacher), x, t, torch.tensor([arrival]), substeps)
    wanted = q_sample(IMAGE, noise, teacher.level(torch.tensor([arrival]))) if arrival >= 0 else IMAGE
    torch.testing.assert_close(arrived, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("start", "arrival", "substeps"), [(63, 31, 4), (40, 7, 3), (15, -1, 16), (15, -1, 5), (0, -1, 4)]
)
def test_for_gaussian_data_the_path_is_ddim_on_the_indices_between(start: int, arrival: int, substeps: int) -> None:
    teacher = gaussian_denoiser(make_schedule("linear", 64), torch.tensor(0.25), 0.5, "v")
    stops = [start - (start - arrival) * done // substeps for done in range(substeps + 1)]
    visited = sorted({stop for stop in stops if stop >= 0 and stop != arrival})
    x = normal(3, 1, 1, 1)
    arrived = follow(FrozenDenoiser(teacher), x, torch.full((3,), start), torch.full((3,), arrival), substeps)
    alphas_bar = make_schedule("linear", 64).alphas_bar
    z = x.double().numpy().ravel()
    for here_index, there_index in zip(visited[::-1], [*visited[-2::-1], arrival], strict=True):
        here = alphas_bar[here_index]
        there = alphas_bar[there_index] if there_index >= 0 else 1.0
        eps = np.sqrt(1 - here) * (z - np.sqrt(here) * 0.25) / (here * 0.25 + 1 - here)
        z = np.sqrt(there) * (z - np.sqrt(1 - here) * eps) / np.sqrt(here) + np.sqrt(1 - there) * eps
    np.testing.assert_allclose(arrived.numpy().ravel(), z, rtol=0, atol=2e-5)


def test_a_path_over_every_index_is_the_teachers_own_sampling() -> None:
    teacher = gaussian_denoiser(make_schedule("sigmoid", 64), torch.tensor(0.25), 0.5, "v")
    x = normal(3, 1, 1, 1)
    arrived = follow(FrozenDenoiser(teacher), x, torch.full((3,), 63), torch.full((3,), -1), 64)
    sampled = sample(teacher, tuple(range(64)), DDIMSampler(0.0, clip=False), x, lambda k: x)
    torch.testing.assert_close(arrived, sampled, rtol=0, atol=1e-5)


def test_each_image_of_a_batch_follows_its_own_path() -> None:
    teacher = FrozenDenoiser(gaussian_denoiser(make_schedule("cosine", 64), torch.tensor(0.25), 0.5, "v"))
    x, starts, arrivals = normal(3, 1, 2, 2), torch.tensor([63, 20, 3]), torch.tensor([31, 7, -1])
    whole = follow(teacher, x, starts, arrivals, 4)
    alone = [follow(teacher, x[i : i + 1], starts[i : i + 1], arrivals[i : i + 1], 4) for i in range(3)]
    torch.testing.assert_close(whole, torch.cat(alone), rtol=0, atol=1e-6)


def test_any_index_set_takes_one_fold() -> None:
    index_set = (2, 3, 9, 20, 21, 40, 55, 63)
    method = Trajectory(
        TrajectoryOptions(method="trajectory", index_set=index_set, substeps=3), make_schedule("cosine", 64)
    )
    (training,) = method.plan(8).trainings
    assert (training.index_set, training.teacher) == (index_set, None)
    teacher = gaussian_denoiser(make_schedule("cosine", 64), IMAGE, 0.0, "x0")
    student = Denoiser(teacher.network, "x0", teacher.steps.subsequence(index_set, index_set))
    assert method.objective(training, student, FrozenDenoiser(teacher)).evaluations == Evaluations(1, teacher=3)

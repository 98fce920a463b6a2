"""ECT against its published formula written out, and against the closed-form consistency function of a Gaussian."""

from __future__ import annotations

from itertools import pairwise
from math import exp, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exact_consistency import consistency_denoiser, end_of_path, train_on_points, uniform_of
from support.exact_networks import gaussian_denoiser, normal
from support.trainings import GivenDraws
from torch import Tensor

from sfddm.diffusion.lognormal import lognormal_indices
from sfddm.diffusion.process import CLEAN, prediction_from
from sfddm.diffusion.schedule import Schedule, make_schedule
from sfddm.methods.ect import ECT, ECTOptions, second_index
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch, Evaluations, Loss
from sfddm.runtime.errors import SfddmError

MEAN, DEVIATION = torch.tensor([[-0.5, 0.25], [0.75, 0.0]]).view(1, 1, 2, 2), 0.4
LATE = 10**6  # a stage in which r is the next index below


def ect(schedule: Schedule, **options: Any) -> ECT:
    wide = {"noise_mean": 0.0, "noise_deviation": 4.0, "stage_steps": 1}
    return ECT(ECTOptions.model_validate({"method": "ect", **wide, **options}), schedule)


def taus_of(schedule: Schedule) -> Tensor:
    return torch.from_numpy(schedule.sigma / schedule.signal)


def loss_at(method: ECT, student: Denoiser, teacher: Denoiser, x0: Tensor, t: Tensor, stage: int) -> Loss:
    """Return the loss of images at the indices t, with noise of seed 0."""
    (training,) = method.plan(1).trainings
    noise = normal(len(t), 1, 2, 2)
    draws = GivenDraws(("level",), noise[None], uniform_of(t, method.schedule, 0.0, 4.0)[None])
    objective = method.objective(training, student, FrozenDenoiser(teacher))
    found: Loss = objective(Batch(x0, noise, torch.zeros_like(t), step=stage), draws)
    return found


# --- the levels -----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(0, 12), st.sampled_from([2.0, 4.0, 1.3]), st.sampled_from(["cosine", "sigmoid", "linear"]))
def test_the_second_point_is_the_level_nearest_to_the_published_ratio(stage: int, ratio: float, kind: Any) -> None:
    """Among the levels below the first, the clean image's included; a loop over them, in Python's floats."""
    taus = taus_of(make_schedule(kind, 48))
    found = second_index(taus, torch.arange(48), stage, ratio)
    for t, tau in enumerate(taus.tolist()):
        r = max(0.0, tau * (1 - ratio ** -(stage + 1) * (1 + 8 * exp(-tau) / (1 + exp(-tau)))))
        below = {-1: 0.0} | dict(enumerate(taus[:t].tolist()))
        apart = abs(below[int(found[t])] - r)  # a KeyError where the level is not below
        assert apart <= min(abs(level - r) for level in below.values()) + 1e-12


def test_stage_after_stage_the_second_point_comes_nearer() -> None:
    taus, t = taus_of(make_schedule("cosine", 256)), torch.arange(256)
    stages = [second_index(taus, t, stage, 2.0) for stage in (0, 1, 3, 6, LATE)]
    assert bool((stages[0][taus < 1] == -1).all()), "it starts as a denoiser"
    assert all(bool((one <= other).all()) and bool((one < other).any()) for one, other in pairwise(stages))
    assert torch.equal(stages[-1], t - 1)


def test_levels_fall_on_indices_as_often_as_the_lognormal_distribution_says() -> None:
    from scipy.stats import norm

    schedule, count = make_schedule("cosine", 16), 200_000
    logs = np.log(schedule.sigma / schedule.signal)
    uniform = (torch.arange(count) + 0.5) / count
    found = torch.bincount(lognormal_indices(uniform, taus_of(schedule).float(), -1.1, 2.0), minlength=16) / count
    edges = np.concatenate([[-np.inf], (logs[1:] + logs[:-1]) / 2, [np.inf]])
    np.testing.assert_allclose(found.numpy(), np.diff(norm.cdf(edges, -1.1, 2.0)), atol=1e-4)
    assert int(lognormal_indices(torch.zeros(1), taus_of(schedule).float(), -1.1, 2.0)) == 0


# --- the loss -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second_point", ["data", "teacher"])
@pytest.mark.parametrize("stage", [0, 2, LATE])
def test_the_loss_and_its_gradient_are_the_formula_written_out(second_point: str, stage: int) -> None:
    """For a student that is the exact function of another mean; the target has no gradient."""
    schedule, t = make_schedule("cosine", 32), torch.tensor([0, 1, 7, 16, 25, 30])
    student = consistency_denoiser(schedule, MEAN + 0.3, DEVIATION)
    teacher = gaussian_denoiser(schedule, MEAN, DEVIATION, "v")
    x0, noise = MEAN + DEVIATION * normal(6, 1, 2, 2, seed=3), normal(6, 1, 2, 2).double()
    loss = loss_at(ect(schedule, second_point=second_point), student, teacher, x0, t, stage)
    loss.total.backward()
    taus, second = taus_of(schedule), second_index(taus_of(schedule), t, stage, 2.0)
    totals, slopes = [], []
    for i in range(6):
        bar = float(schedule.alphas_bar[t[i]])
        bar_r, tau_r = (float(schedule.alphas_bar[second[i]]), float(taus[second[i]])) if second[i] >= 0 else (1.0, 0.0)
        x = sqrt(bar) * x0[i].double() + sqrt(1 - bar) * noise[i]
        image, eps = x0[i].double(), noise[i]
        if second_point == "teacher":
            eps = sqrt(1 - bar) * (x - sqrt(bar) * MEAN[0]) / (bar * DEVIATION**2 + 1 - bar)
            image = (x - sqrt(1 - bar) * eps) / sqrt(bar)
        x_r = sqrt(bar_r) * image + sqrt(1 - bar_r) * eps
        target = end_of_path(x_r, bar_r, MEAN[0] + 0.3, DEVIATION) if second[i] >= 0 else x_r
        apart = end_of_path(x, bar, MEAN[0] + 0.3, DEVIATION) - target
        between = float(taus[t[i]]) - tau_r
        totals.append(float(apart.square().mean().sqrt()) / between)
        # f = cos x - sin (v + offset)
        slopes.append(-sqrt(1 - bar) * float(apart.mean() / apart.square().mean().sqrt()) / between)
    assert float(loss.total.detach()) == pytest.approx(np.mean(totals), rel=1e-3)
    offset: Any = student.network.offset
    assert float(offset.grad) == pytest.approx(np.mean(slopes), rel=2e-3)


@pytest.mark.parametrize("second_point", ["data", "teacher"])
@pytest.mark.parametrize("stage", [0, 2, LATE])
def test_for_a_single_image_the_exact_function_has_no_loss_in_any_stage(second_point: str, stage: int) -> None:
    schedule, t = make_schedule("cosine", 64), torch.arange(64)
    method, teacher = ect(schedule, second_point=second_point), gaussian_denoiser(schedule, MEAN, 0.0, "v")
    x0 = MEAN.expand(64, 1, 2, 2)
    exact, wrong = (consistency_denoiser(schedule, MEAN + shift, 0.0) for shift in (0.0, 0.5))
    assert float(loss_at(method, exact, teacher, x0, t, stage).total.detach()) < 1e-4
    assert float(loss_at(method, wrong, teacher, x0, t, stage).total.detach()) > 1e-2


def test_along_the_teachers_path_the_exact_function_has_a_loss_of_first_order() -> None:
    """|| f(x_t) - f(x_(t-1)) || is of second order in the step, and it is divided by the step."""
    losses = []
    for timesteps in (64, 128, 256):
        schedule = make_schedule("cosine", timesteps)
        t = torch.arange(timesteps // 8, timesteps * 3 // 4, timesteps // 8)
        x0 = MEAN + DEVIATION * normal(len(t), 1, 2, 2, seed=3)
        student = consistency_denoiser(schedule, MEAN, DEVIATION)
        teacher = gaussian_denoiser(schedule, MEAN, DEVIATION, "v")
        losses.append(
            float(loss_at(ect(schedule, second_point="teacher"), student, teacher, x0, t, LATE).total.detach())
        )
    assert losses[0] / losses[1] == pytest.approx(2, rel=0.15)
    assert losses[1] / losses[2] == pytest.approx(2, rel=0.1)


@given(st.integers(0, 1000))
def test_without_noise_it_returns_its_input(seed: int) -> None:
    x, raw = normal(1, 1, 2, 2, seed=seed), normal(1, 1, 2, 2, seed=seed + 1)
    assert torch.equal(prediction_from("v", raw, x, CLEAN).x0, x)


# --- the training ---------------------------------------------------------------------------------------------------


def test_one_training_at_all_steps_serves_every_step_count() -> None:
    method = ect(make_schedule("cosine", 64))
    (training,) = method.plan(1).trainings
    assert (training.index_set, training.prediction) == (tuple(range(64)), "v")
    assert all(method.plan(steps).trainings == (training,) for steps in (2, 5, 64))
    assert method.evaluations(training) == Evaluations(student=2, teacher=0)
    assert ect(method.schedule, second_point="teacher").evaluations(training) == Evaluations(student=2, teacher=1)


def test_guidance_of_a_teacher_that_is_not_asked_is_refused() -> None:
    schedule = make_schedule("cosine", 64)
    with pytest.raises(SfddmError, match=r"^guidance_scale: 2 needs second_point: teacher; .* 1 is allowed$"):
        ect(schedule, guidance_scale=2.0).plan(1)
    assert ect(schedule, guidance_scale=2.0, second_point="teacher").plan(1)


@pytest.mark.parametrize("second_point", ["data", "teacher"])
def test_points_come_nearer_to_the_ends_of_their_paths(second_point: str, tmp_path: Path) -> None:
    method = ect(
        make_schedule("cosine", 64), second_point=second_point, noise_mean=1.0, noise_deviation=2.0, stage_steps=100
    )
    before, after, at_once = train_on_points(method, tmp_path)
    assert after < 0.65 * min(before, at_once), (before, after, at_once)

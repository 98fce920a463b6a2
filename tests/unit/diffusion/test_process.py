"""The forward process and the three kinds of prediction, against diffusers and the definition x_t = a x0 + s eps."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.exact_networks import normal
from torch import Tensor

from sfddm.diffusion.process import (
    CLEAN,
    NoiseLevel,
    Prediction,
    PredictionKind,
    ddim_move,
    eps_from_x0,
    mean_absolute_error,
    mean_squared_error,
    prediction_from,
    q_sample,
    signal_to_noise,
    training_target,
    velocity,
    x0_from_eps,
    x0_of_move,
)
from sfddm.diffusion.schedule import make_schedule

KINDS: tuple[PredictionKind, ...] = ("epsilon", "v", "x0")
DIFFUSERS_NAMES = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}
alphas_bar = st.floats(1e-4, 1 - 1e-4)


def level_of(alpha_bar: float) -> NoiseLevel:
    return NoiseLevel(sqrt(alpha_bar), sqrt(1 - alpha_bar))


def level_of_each(values: list[float]) -> NoiseLevel:
    alpha_bar = torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)
    return NoiseLevel(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


def images_and_noise(seed: int, count: int = 3) -> tuple[Tensor, Tensor]:
    return normal(count, 2, 4, 4, seed=seed).double().clamp(-1, 1), normal(count, 2, 4, 4, seed=seed + 1).double()


def assert_close(one: Tensor, other: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@given(st.lists(alphas_bar, min_size=3, max_size=3), st.integers(0, 1000), st.sampled_from(KINDS))
def test_what_a_network_should_say_is_turned_back_into_image_and_noise(
    values: list[float], seed: int, kind: PredictionKind
) -> None:
    x0, noise = images_and_noise(seed)
    level = level_of_each(values)
    x = q_sample(x0, noise, level)
    assert_close(x, torch.stack([sqrt(a) * x0[i] + sqrt(1 - a) * noise[i] for i, a in enumerate(values)]), 1e-12)
    prediction = prediction_from(kind, training_target(kind, x0, noise, level), x, level)
    assert_close(prediction.x0, x0, 1e-9)  # float64 over a smallest signal and sigma of 1e-2
    assert_close(prediction.eps, noise, 1e-9)


@given(alphas_bar, st.integers(0, 1000))
def test_conversions_are_inverses(alpha_bar: float, seed: int) -> None:
    x, eps = images_and_noise(seed)
    level = level_of(alpha_bar)
    x0 = x0_from_eps(x, eps, level)
    assert_close(eps_from_x0(x, x0, level), eps, 1e-9)
    assert_close(q_sample(x0, eps, level), x, 1e-9)
    v = velocity(x0, eps, level)
    assert_close(prediction_from("v", v, x, level).x0, x0, 1e-8)
    assert_close(prediction_from("v", v, x, level).eps, eps, 1e-8)


@given(alphas_bar, st.integers(0, 1000), st.sampled_from(KINDS))
def test_any_output_gives_an_image_and_a_noise_that_explain_x(
    alpha_bar: float, seed: int, kind: PredictionKind
) -> None:
    x, raw = images_and_noise(seed)
    level = level_of(alpha_bar)
    prediction = prediction_from(kind, raw, x, level)
    assert_close(q_sample(prediction.x0, prediction.eps, level), x, 1e-9)


@given(alphas_bar, st.integers(0, 1000))
def test_clipped_predictions_still_explain_x(alpha_bar: float, seed: int) -> None:
    x, eps = images_and_noise(seed)
    level = level_of(alpha_bar)
    clipped = prediction_from("epsilon", 3 * eps, x, level).clipped(x, level)
    assert clipped.x0.abs().max() <= 1
    assert_close(q_sample(clipped.x0, clipped.eps, level), x, 1e-9)


def test_clipping_changes_nothing_inside_the_range() -> None:
    x0, noise = images_and_noise(0)
    level = level_of(0.5)
    x = q_sample(x0, noise, level)
    clipped = Prediction(x0, noise).clipped(x, level)
    assert torch.equal(clipped.x0, x0)
    assert_close(clipped.eps, noise, 1e-12)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_agree_with_diffusers(kind: PredictionKind, clip: bool) -> None:
    """One DDIM step of diffusers gives away the x0 it believes in, and through the step the noise."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    schedule = make_schedule("cosine", 64)
    scheduler: Any = DDIMScheduler(
        num_train_timesteps=64,
        trained_betas=schedule.betas.tolist(),
        prediction_type=DIFFUSERS_NAMES[kind],
        clip_sample=clip,
    )
    scheduler.set_timesteps(64)
    x, raw = normal(2, 1, 4, 4), normal(2, 1, 4, 4, seed=1)
    for t in (0, 7, 31, 55):
        here, there = schedule.alphas_bar[t], schedule.alphas_bar[t - 1] if t else 1.0
        theirs = scheduler.step(raw, t, x, eta=0.0, use_clipped_model_output=clip)
        ours = prediction_from(kind, raw, x, level_of(here))
        if clip:
            ours = ours.clipped(x, level_of(here))
        assert_close(ours.x0, theirs.pred_original_sample, 2e-5)
        assert_close(ddim_move(ours, level_of(there)), theirs.prev_sample, 2e-5)


def test_noising_and_velocity_agree_with_diffusers() -> None:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler: Any = DDIMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    schedule = make_schedule("linear", 1000)
    t = torch.tensor([0, 250, 999])
    level = level_of_each(schedule.alphas_bar[t.numpy()].tolist())
    x0, noise = images_and_noise(3)
    assert_close(q_sample(x0, noise, level), scheduler.add_noise(x0, noise, t), 1e-4)
    assert_close(velocity(x0, noise, level), scheduler.get_velocity(x0, noise, t), 1e-4)


@given(alphas_bar, alphas_bar, st.integers(0, 1000))
def test_the_image_of_a_move_is_the_one_that_makes_ddim_take_it(one: float, other: float, seed: int) -> None:
    here, there = min(one, other) * 0.99, max(one, other)
    z, z_next = images_and_noise(seed)
    x0 = x0_of_move(z, z_next, level_of(here), level_of(there))
    eps = (z - sqrt(here) * x0) / sqrt(1 - here)
    scale = max(1.0, float(x0.abs().max()))
    assert float((sqrt(there) * x0 + sqrt(1 - there) * eps - z_next).abs().max()) < 1e-10 * scale


def test_a_clean_image_holds_no_noise() -> None:
    x0, noise = images_and_noise(0)
    assert torch.equal(q_sample(x0, noise, CLEAN), x0)


def test_errors_are_means_over_pixels_of_each_image() -> None:
    prediction, target = torch.zeros(2, 1, 2, 2), torch.tensor([[[[1.0, -1], [3, -3]]], [[[0.0, 0], [0, 2]]]])
    assert mean_squared_error(prediction, target).tolist() == [5.0, 1.0]
    assert mean_absolute_error(prediction, target).tolist() == [2.0, 0.5]


def test_signal_to_noise_is_a_ratio_of_variances() -> None:
    assert_close(signal_to_noise(level_of_each([0.5, 0.8])), torch.tensor([1.0, 4.0], dtype=torch.float64), 1e-12)

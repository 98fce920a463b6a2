"""BOOT: the teacher's DDIM path is its fixed point, and any other student has the loss of section 2's two terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser
from support.methods import method_of
from support.noise_paths import (
    NOISE,
    SCHEDULE,
    distances_to_the_teacher,
    euler_path,
    exact_teacher,
    exact_x0,
    image_of,
    table_student,
    tau_of,
)
from support.trainings import loss_of

from sfddm.diffusion.schedule import Float64
from sfddm.methods import make_method
from sfddm.methods.boot import BOOT
from sfddm.objectives.terms import Batch

noise = NOISE.double().numpy()[0]


def boot(**options: Any) -> BOOT:
    given = {"method": "boot", "points": 12, "clip_target": False, **options}
    method = make_method(BOOT.Options.model_validate(given), SCHEDULE)
    assert isinstance(method, BOOT)
    return method


def batch(*k: int) -> Batch:
    """Return a batch of the one noise at some positions; its images have no numbers."""
    repeated = NOISE.expand(len(k), -1, -1, -1)
    return Batch(torch.empty(repeated.shape, device="meta"), repeated, torch.tensor(k))


def path_signals(method: BOOT) -> Float64:
    """Return (N, 1, 2, 2) y = X - tau n of Euler's path that starts with y_T = E[x0 | x_T = n]."""
    tau = tau_of()[list(method.path())]
    signal = float(SCHEDULE.signal[-1])
    start = tau[-1] * noise + exact_x0(noise / signal, tau[-1])
    return euler_path(method.path(), start) - tau[:, None, None, None] * noise


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_the_teachers_ddim_path_has_no_loss_and_its_last_signal_is_what_is_sampled(prediction: Any) -> None:
    method = boot()
    (training,) = method.plan(1).trainings
    signals = path_signals(method)
    student = table_student(training, signals, prediction)
    every = batch(*range(len(signals)))
    with torch.no_grad():
        assert float(loss_of(method, student, exact_teacher(prediction), every).total) < 1e-7
        other = table_student(training, signals + 0.1, prediction)
        assert float(loss_of(method, other, exact_teacher(prediction), every).total) > 1e-3
    torch.testing.assert_close(
        image_of(method, student, NOISE)[0].double(), torch.from_numpy(signals[0]), atol=1e-4, rtol=0
    )


def formula(method: BOOT, targets_from: Float64, images: Float64, k: int, clip: bool = False) -> tuple[float, float]:
    """Return L_BS and L_BC of a table of signals at the pair (k, k - 1); y_t, held fixed, is from another table."""
    tau = tau_of()[list(method.path())]
    delta = 1 - tau[k - 1] / tau[k]
    y_t = targets_from[k]
    x0, at_last = exact_x0(y_t + tau[k] * noise, tau[k]), exact_x0(noise / float(SCHEDULE.signal[-1]), tau[-1])
    if clip:
        x0, at_last = np.clip(x0, -1, 1), np.clip(at_last, -1, 1)
    step = np.square(images[k - 1] - (y_t + delta * (x0 - y_t))) / delta**method.options.weight_exponent
    return float(step.mean()), float(np.square(images[-1] - at_last).mean())


@pytest.mark.parametrize("options", [{}, {"boundary_weight": 0.3}, {"weight_exponent": 1.0}, {"clip_target": True}])
def test_it_is_the_two_terms_for_any_student(options: dict[str, Any]) -> None:
    """The cleanest position stands for the pair that ends there."""
    method = boot(**options)
    images = 2 * np.random.default_rng(6).standard_normal((len(method.path()), 1, 2, 2))
    student = table_student(method.plan(1).trainings[0], images)
    for k in range(len(images)):
        steps, boundary = formula(method, images, images, max(k, 1), method.options.clip_target)
        with torch.no_grad():
            found = loss_of(method, student, exact_teacher(), batch(k))
        assert float(found.parts["steps"]) == pytest.approx(steps, rel=1e-4), k
        assert float(found.parts["boundary"]) == pytest.approx(boundary, rel=1e-4), k
        assert float(found.total) == pytest.approx(steps + method.options.boundary_weight * boundary, rel=1e-4), k


def test_only_the_cleaner_end_and_the_boundary_have_a_gradient() -> None:
    """Against central differences in float64 of the formula whose target is held fixed."""
    method, k = boot(), 5
    images = np.random.default_rng(7).standard_normal((len(method.path()), 1, 2, 2))
    student = table_student(method.plan(1).trainings[0], images)
    loss_of(method, student, exact_teacher(), batch(k)).total.backward()
    gradient: Any = student.network.get_parameter("images").grad
    for row in range(len(images)):
        change = np.zeros_like(images)
        change[row, 0, 0, 1] = 1e-5
        up, down = (sum(formula(method, images, images + sign * change, k)) for sign in (1, -1))
        assert float(gradient[row, 0, 0, 1]) == pytest.approx((up - down) / 2e-5, rel=1e-3, abs=1e-6)
    assert [row for row in range(len(images)) if gradient[row].any()] == [k - 1, len(images) - 1]


def test_l1_is_the_mean_of_absolute_values() -> None:
    teacher = gaussian_denoiser(SCHEDULE, torch.tensor(0.25), 0.0, "x0")
    method = boot(distance="l1", weight_exponent=0.0, boundary_weight=0.0)
    images = np.full((len(method.path()), 1, 2, 2), 0.25)
    images[3] += 0.5  # one image: the target of the pair (4, 3) is 0.25
    student = table_student(method.plan(1).trainings[0], images)
    with torch.no_grad():
        assert float(loss_of(method, student, teacher, batch(4)).total) == pytest.approx(0.5, abs=1e-6)


def test_training_without_data_brings_it_nearer_to_the_teachers_samples_from_the_same_noise() -> None:
    before, after = distances_to_the_teacher(boot(clip_target=True), images=128 * 400, learning_rate=5e-3)
    assert after < 0.3 * before


def test_the_evaluations_are_three_of_the_student_and_two_of_the_teacher() -> None:
    method = method_of("boot")
    asked = method.evaluations(method.plan(1).trainings[0])
    assert (asked.student, asked.teacher) == (3, 2)

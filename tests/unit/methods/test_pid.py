"""PID: its residual vanishes on Euler's path of the exact teacher, and is the paper's formula for any other student."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser, normal
from support.methods import method_of
from support.noise_paths import (
    MEAN,
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
from sfddm.methods.pid import PID
from sfddm.networks.denoiser import Denoiser
from sfddm.objectives.terms import Batch


def pid(**options: Any) -> PID:
    method = make_method(PID.Options.model_validate({"method": "pid", **options}), SCHEDULE)
    assert isinstance(method, PID)
    return method


def batch(*k: int) -> Batch:
    """Return a batch of the one noise at some positions; its images have no numbers."""
    noise = NOISE.expand(len(k), -1, -1, -1)
    return Batch(torch.empty(noise.shape, device="meta"), noise, torch.tensor(k))


def arbitrary(method: PID) -> tuple[Float64, Float64]:
    """Return images F (N, 1, 2, 2), and the points X (N, 1, 2, 2) of the paper's trajectory with z = tau_T n."""
    path = method.path()
    images, tau = np.random.default_rng(5).standard_normal((len(path), 1, 2, 2)), tau_of()[list(path)]
    share = (tau / tau[-1])[:, None, None, None]
    return images, share * (tau[-1] * NOISE.double().numpy()) + (1 - share) * images


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_eulers_path_of_the_exact_teacher_has_no_residual_and_is_what_is_sampled(prediction: Any) -> None:
    method = pid(points=12)
    path = method.path()
    tau = tau_of()[list(path)][:, None, None, None]
    noise = NOISE.double().numpy()
    points = euler_path(path, tau[-1] * noise[0])
    images = np.zeros_like(points)
    images[:-1] = (points - tau * noise)[:-1] / (1 - tau / tau[-1])[:-1]
    (training,) = method.plan(1).trainings
    student = table_student(training, images, prediction)
    positions = range(1, len(path))
    assert float(loss_of(method, student, exact_teacher(prediction), batch(*positions)).total.detach()) < 1e-9
    torch.testing.assert_close(
        image_of(method, student, NOISE)[0].double(), torch.from_numpy(points[0]), atol=1e-4, rtol=0
    )
    other = table_student(training, images + 0.1, prediction)
    assert float(loss_of(method, other, exact_teacher(prediction), batch(*positions)).total.detach()) > 1e-3


@pytest.mark.parametrize("distance", ["l2", "l1"])
def test_it_is_the_residual_of_the_paper_for_any_student(distance: str) -> None:
    """X_i - tau_i (X_i - X_j) / (tau_i - tau_j) against E[x0 | X_i]; j is the next cleaner point, 1 for the last."""
    method = pid(points=12, distance=distance)
    images, points = arbitrary(method)
    tau = tau_of()[list(method.path())]
    student = table_student(method.plan(1).trainings[0], images)
    for i in range(len(tau)):
        j = i - 1 if i else 1
        slope = (points[i] - points[j]) / (tau[i] - tau[j])
        residual = points[i] - tau[i] * slope - exact_x0(points[i], tau[i])
        wanted = np.square(residual).mean() if distance == "l2" else np.abs(residual).mean()
        found = float(loss_of(method, student, exact_teacher(), batch(i)).total.detach())
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-5), i


def test_both_evaluations_of_the_student_have_the_gradient_of_the_residual_and_the_teacher_has_none() -> None:
    """Against central differences in float64 of the formula with the teacher's answer held fixed."""
    method, i = pid(points=6), 3
    images, points = arbitrary(method)
    tau = tau_of()[list(method.path())]
    student = table_student(method.plan(1).trainings[0], images)
    loss_of(method, student, exact_teacher(), batch(i)).total.backward()
    target = exact_x0(points[i], tau[i])
    noise = NOISE.double().numpy()[0]

    def loss(table: Float64) -> float:
        x = [tau[k] * noise + (1 - tau[k] / tau[-1]) * table[k] for k in range(len(tau))]
        return float(np.square(x[i] - tau[i] * (x[i] - x[i - 1]) / (tau[i] - tau[i - 1]) - target).mean())

    gradient: Any = student.network.get_parameter("images").grad
    for k in range(len(tau)):
        change = np.zeros_like(images)
        change[k, 0, 1, 0] = 1e-5
        wanted = (loss(images + change) - loss(images - change)) / 2e-5
        assert float(gradient[k, 0, 1, 0]) == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert gradient[i].any()
    assert gradient[i - 1].any()


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_a_teacher_of_x0_or_v_is_a_start_that_says_its_own_image_at_the_last_step(prediction: Any) -> None:
    """So F(n, T) is the teacher's x0 of n, whichever of the two it predicts."""
    teacher = gaussian_denoiser(SCHEDULE, torch.tensor(MEAN), 0.5, prediction)
    path = pid().path()
    student = Denoiser(teacher.network, prediction, teacher.steps.subsequence(path, path), "trajectory")
    noise = normal(3, 1, 2, 2, seed=4)
    t = student.batch_of(63, 3)
    torch.testing.assert_close(student.image_of(noise, t), teacher.predict(noise, t).x0, atol=1e-6, rtol=0)


def test_a_finer_path_ends_nearer_to_the_exact_flow() -> None:
    """The fixed point's own error falls with N: X of a Gaussian is known, its distance to the mean is what shrinks."""
    tau, noise, errors = tau_of(), NOISE.double().numpy()[0], []
    for points in (4, 8, 16, 64):
        path = pid(points=points).path()
        exact = MEAN + (tau[-1] * noise - MEAN) * np.sqrt((0.25 + tau[0] ** 2) / (0.25 + tau[-1] ** 2))
        errors.append(float(np.abs(euler_path(path, tau[-1] * noise)[0] - exact).max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 4


def test_training_without_data_brings_it_nearer_to_the_teachers_samples_from_the_same_noise() -> None:
    before, after = distances_to_the_teacher(pid(), images=128 * 400, learning_rate=5e-3)
    assert after < 0.3 * before


def test_the_evaluations_are_two_of_the_student_and_one_of_the_teacher() -> None:
    method = method_of("pid")
    asked = method.evaluations(method.plan(1).trainings[0])
    assert (asked.student, asked.teacher) == (2, 1)

"""sCD against the closed-form consistency function of a Gaussian, and against exact derivatives in float64."""

from __future__ import annotations

from math import cos, pi, sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.exact_consistency import consistency_denoiser, end_of_path, train_on_points, uniform_of
from support.exact_networks import gaussian_denoiser, normal
from support.exact_walks import path_of
from support.trainings import GivenDraws
from torch import Tensor, nn

from sfddm.data.gaussians import Mixture
from sfddm.diffusion.process import CLEAN, NoiseLevel, prediction_from, q_sample
from sfddm.diffusion.schedule import Schedule, make_schedule
from sfddm.methods.scd import SCD, SCDOptions, angle, normalised, tangent, total_derivative
from sfddm.networks.base import Condition, Network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.steps import Steps
from sfddm.objectives.terms import Batch, Evaluations

MEAN, DEVIATION = torch.tensor([[-0.5, 0.25], [0.75, 0.0]]).view(1, 1, 2, 2), 0.4
WIDE = {"noise_mean": 0.0, "noise_deviation": 4.0}


def scd(schedule: Schedule, **options: Any) -> SCD:
    return SCD(SCDOptions.model_validate({"method": "scd", **WIDE, **options}), schedule)


def noised(model: Denoiser, t: Tensor) -> Tensor:
    x0 = MEAN + DEVIATION * normal(len(t), 1, 2, 2, seed=3)
    return q_sample(x0, normal(len(t), 1, 2, 2), model.level(t))


# --- the consistency function ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.05, 0.7, 30.0])
def test_the_closed_form_is_the_end_of_the_probability_flow(tau: float) -> None:
    """Integrated by scipy from the posterior mean alone."""
    mixture = Mixture(np.array([[0.5, -0.25]]), DEVIATION, np.ones(1), np.zeros(1, dtype=np.int64))
    start = normal(5, 2).double().numpy() * tau
    alpha_bar = 1 / (1 + tau**2)
    wanted = path_of(mixture, start, tau, 1e-7)
    found = end_of_path(torch.from_numpy(start * np.sqrt(alpha_bar)), alpha_bar, torch.tensor([0.5, -0.25]), DEVIATION)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-5)


@given(st.floats(1e-6, pi / 2 - 1e-6), st.integers(0, 1000))
def test_the_network_is_v_and_its_function_is_the_identity_at_theta_0(theta: float, seed: int) -> None:
    x, v = normal(1, 1, 2, 2, seed=seed).double(), normal(1, 1, 2, 2, seed=seed + 1).double()
    f = prediction_from("v", v, x, NoiseLevel(cos(theta), sin(theta))).x0
    torch.testing.assert_close(f, cos(theta) * x - sin(theta) * v)
    assert torch.equal(prediction_from("v", v, x, CLEAN).x0, x)


def exact_tangent(timesteps: int) -> tuple[Tensor, Tensor]:
    """Return theta and the root mean square of g at the exact function, at every index."""
    schedule = make_schedule("cosine", timesteps)
    student, t = consistency_denoiser(schedule, MEAN, DEVIATION), torch.arange(timesteps)
    teacher = FrozenDenoiser(gaussian_denoiser(schedule, MEAN, DEVIATION, "v"))
    level, x = student.level(t), noised(student, t)
    said = teacher.predict(x, t)
    g = tangent(x, student.raw(x, t), teacher.denoiser.raw(x, t), total_derivative(student, said, t, 1), level, 1.0)
    return angle(level).flatten(), g.detach().square().mean((1, 2, 3)).sqrt()


def test_the_tangent_vanishes_at_the_exact_function_to_second_order() -> None:
    """Twice as many steps leave a quarter of it, between the ends; there and at the ends it becomes small."""
    worst = []
    for timesteps in (32, 64, 128):
        theta, g = exact_tangent(timesteps)
        inner = (theta > 0.2) & (theta < 1.4)
        worst.append(float(g[inner].max()))
        assert float(g[1:].max()) < 1.5 / timesteps
    assert worst[0] / worst[1] == pytest.approx(4, rel=0.2)
    assert worst[1] / worst[2] == pytest.approx(4, rel=0.2)
    assert worst[2] < 1e-3


# --- away from the fixed point, against derivatives in float64 -------------------------------------------------------


class Smooth(Network):
    """v(x, theta) = sin(x + 2 theta) + offset, which is no consistency function; float64 where it is asked so."""

    classes = None

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.theta = torch.from_numpy(np.arctan2(schedule.sigma, schedule.signal))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        return smooth(x.double(), self.theta[condition.t].view(-1, 1, 1, 1)) + self.offset


def smooth(x: Tensor, theta: Tensor) -> Tensor:
    return torch.sin(x + 2 * theta)


def wanted_tangent(x: Tensor, theta: Tensor, r: float) -> Tensor:
    """Return r cos df/dtheta - (1 - r) cos^2 (v - dx/dtheta), f differentiated by torch along the exact path."""
    x, a, s = x.double(), theta.cos(), theta.sin()
    surprise = (x - a * MEAN) / (a**2 * DEVIATION**2 + s**2)
    path = a * s * surprise - s * (MEAN + a * DEVIATION**2 * surprise)
    _, change = torch.func.jvp(
        lambda y, angle: angle.cos() * y - angle.sin() * smooth(y, angle), (x, theta), (path, torch.ones_like(theta))
    )
    return r * a * change - (1 - r) * a**2 * (smooth(x, theta) - path)


def far_from_it(timesteps: int) -> tuple[SCD, Denoiser, Denoiser, Tensor, Tensor]:
    schedule = make_schedule("cosine", timesteps)
    student = Denoiser(Smooth(schedule), "v", Steps.of_teacher(schedule))
    teacher = gaussian_denoiser(schedule, MEAN, DEVIATION, "epsilon")
    t = torch.arange(timesteps // 8, timesteps - timesteps // 8, timesteps // 8)
    return scd(schedule, tangent_warmup=100), student, teacher, t, noised(student, t)


@pytest.mark.parametrize("step", [0, 25, 100, 1000])
def test_the_loss_pulls_along_the_normalised_tangent_with_its_weights(step: int) -> None:
    """d/d offset of e^-w / tau || v - sg(v + ghat) ||^2 is -2 e^-w / tau times the mean of ghat; w is not 0 here."""
    method, student, teacher, t, _ = far_from_it(512)
    noise, x0 = normal(len(t), 1, 2, 2), MEAN + DEVIATION * normal(len(t), 1, 2, 2, seed=3)
    (training,) = method.plan(1).trainings
    objective = method.objective(training, student, FrozenDenoiser(teacher))
    weight: Any = objective.auxiliary["weight"]
    with torch.no_grad():
        weight.weight.copy_(torch.linspace(0.3, -0.2, 8))
    draws = GivenDraws(("level",), noise[None], uniform_of(t, method.schedule, 0.0, 4.0)[None])
    loss = objective(Batch(x0, noise, torch.zeros_like(t), step=step), draws)
    loss.total.backward()

    theta = angle(student.level(t)).double()
    g = wanted_tangent(noised(student, t), theta, min(1.0, step / 100))
    size = g.square().mean((1, 2, 3), keepdim=True).sqrt()
    unit = g / (size + 0.1)
    w = sum(float(c) * torch.cos(2 * k * theta.flatten()) for k, c in enumerate(torch.linspace(0.3, -0.2, 8)))
    error, scale = unit.square().mean((1, 2, 3)), torch.exp(-w) / theta.flatten().tan()
    total = float((scale * error + w).mean())
    slope = float((-2 * scale * unit.mean((1, 2, 3))).mean())
    assert float(loss.total.detach()) == pytest.approx(total, rel=2e-3)
    assert float(student.network.offset.grad) == pytest.approx(slope, rel=2e-3)
    pulls = [float(((1 - scale * error) * torch.cos(2 * k * theta.flatten())).mean()) for k in range(8)]
    np.testing.assert_allclose(weight.weight.grad.flatten().numpy(), pulls, rtol=5e-3, atol=2e-3)


@pytest.mark.parametrize(("central", "reach", "ratio"), [(True, 1, 4), (True, 3, 4), (False, 1, 2), (False, 3, 2)])
def test_the_finite_difference_is_the_total_derivative_to_its_order(central: bool, reach: int, ratio: int) -> None:
    worst = []
    for timesteps in (64, 128, 256):
        _, student, teacher, t, x = far_from_it(timesteps)
        frozen, theta = FrozenDenoiser(teacher), angle(student.level(t)).double()
        said = frozen.predict(x, t)
        slope = total_derivative(student, said, t, reach, central)
        v = smooth(x.double(), theta)
        path = student.level(t).signal * said.eps - student.level(t).sigma * said.x0
        g = tangent(x, v, path, slope, student.level(t), 1.0)
        worst.append(float((g - wanted_tangent(x, theta, 1.0)).detach().abs().max()))
    assert worst[0] / worst[1] == pytest.approx(ratio, rel=0.3)
    assert worst[1] / worst[2] == pytest.approx(ratio, rel=0.3)


def test_the_norm_is_a_root_mean_square_of_each_image() -> None:
    g = torch.tensor([3.0, 4.0, 0.0, 0.0]).view(1, 1, 2, 2).repeat(2, 1, 1, 1) * torch.tensor([1.0, 0.0]).view(
        2, 1, 1, 1
    )
    torch.testing.assert_close(normalised(g, 0.5), g / 3.0)  # sqrt(25 / 4) + 0.5


@pytest.mark.parametrize("central", [True, False])
@pytest.mark.parametrize("reach", [1, 5, 100])
def test_the_two_points_lie_on_the_path_as_far_as_it_goes(central: bool, reach: int) -> None:
    """The student says its theta: the derivative is 1 at every index, also at both ends."""
    _, student, teacher, _, _ = far_from_it(16)
    t, seen = torch.arange(16), []

    class Angle(Smooth):
        def forward(self, x: Tensor, condition: Condition) -> Tensor:
            seen.append(condition.t.tolist())
            return self.theta[condition.t].view(-1, 1, 1, 1).expand_as(x)

    said = FrozenDenoiser(teacher).predict(noised(student, t), t)
    model = Denoiser(Angle(make_schedule("cosine", 16)), "v", student.steps)
    slope = total_derivative(model, said, t, reach, central)
    torch.testing.assert_close(slope, torch.ones_like(slope), rtol=1e-4, atol=1e-4)
    width = [max(1, min(i, 15 - i, reach)) for i in range(16)]
    above = [min(15, i + width[i]) if central else max(i, 1) for i in range(16)]
    assert seen == [above, [max(0, i - width[i]) for i in range(16)]]


def test_at_the_first_index_it_learns_the_teachers_own_step_to_the_clean_image() -> None:
    """Else a function that is the same wrong image everywhere would have no loss."""
    schedule, image = make_schedule("cosine", 64), MEAN
    method, teacher = scd(schedule, tangent_warmup=0), gaussian_denoiser(schedule, MEAN, 0.0, "v")
    (training,) = method.plan(1).trainings
    first = Batch(image, normal(1, 1, 2, 2), torch.tensor([0]))
    draws = GivenDraws(("level",), normal(1, 1, 1, 2, 2), torch.zeros(1, 1))  # ln tau is -inf: the first index
    for shift, least, most in ((0.0, 0.0, 1e-4), (0.5, 1.0, 1e3)):
        student = consistency_denoiser(schedule, MEAN + shift, 0.0)
        total = float(method.objective(training, student, FrozenDenoiser(teacher))(first, draws).total.detach())
        assert least <= total < most


def test_for_a_single_image_the_exact_function_has_no_loss_at_any_index() -> None:
    schedule, t = make_schedule("cosine", 64), torch.arange(64)
    method, teacher = scd(schedule, tangent_warmup=0), gaussian_denoiser(schedule, MEAN, 0.0, "v")
    (training,) = method.plan(1).trainings
    noise = normal(64, 1, 2, 2)
    batch = Batch(MEAN.expand(64, 1, 2, 2), noise, t)
    draws = GivenDraws(("level",), noise[None], uniform_of(t, schedule, 0.0, 4.0)[None])
    student = consistency_denoiser(schedule, MEAN, 0.0)
    objective = method.objective(training, student, FrozenDenoiser(teacher))
    assert float(objective(batch, draws).total.detach()) < 1e-4


# --- the training ---------------------------------------------------------------------------------------------------


def test_one_training_at_all_steps_serves_every_step_count() -> None:
    method = scd(make_schedule("cosine", 64))
    (training,) = method.plan(1).trainings
    assert (training.index_set, training.prediction) == (tuple(range(64)), "v")
    assert all(method.plan(steps).trainings == (training,) for steps in (2, 5, 64))
    assert method.evaluations(training) == Evaluations(student=3, teacher=1)


@pytest.mark.parametrize(("difference", "most"), [("central", 0.6), ("backward", 0.35)])
def test_points_come_nearer_to_the_ends_of_their_paths(difference: str, most: float, tmp_path: Path) -> None:
    options = {"noise_deviation": 2.0, "tangent_warmup": 100, "difference": difference, "reach": 4}
    before, after, at_once = train_on_points(scd(make_schedule("cosine", 64), **options), tmp_path)
    assert after < most * min(before, at_once), (before, after, at_once)

"""MeanFlow's identity against the exact flow map of Gaussian data, and its weight against a few lines."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from support.exact_networks import gaussian_denoiser, gaussian_flow, normal
from support.methods import method_of
from support.trainings import GivenDraws

from sfddm.diffusion.flow import flow_time, flow_velocity
from sfddm.diffusion.process import q_sample
from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch, Loss

SCHEDULE = make_schedule("cosine", 1024)
MEAN = torch.tensor(0.25)


def exact(points: int) -> Denoiser:
    return gaussian_flow(SCHEDULE, MEAN, 0.5, tuple(range(1024 // points - 1, 1024, 1024 // points)))


def loss_of(student: Denoiser, k: torch.Tensor, arrival: float, unequal: float = 0.0, **options: float) -> Loss:
    """Return the loss; the network answers in float64, the arithmetic around it is the loss's own."""
    method = method_of("meanflow", timesteps=1024, grid=len(student.index_set), **options)
    (training,) = method.plan(1).trainings
    assert student.steps.index_set == training.index_set
    objective = method.objective(training, student, FrozenDenoiser(gaussian_denoiser(SCHEDULE, MEAN, 0.5, "v")))
    count = len(k)
    batch = Batch(MEAN + 0.5 * normal(count, 1, 2, 2), normal(count, 1, 2, 2, seed=1), k)
    uniform = torch.stack([torch.full((count,), unequal), torch.full((count,), arrival)])
    return objective(batch, GivenDraws(("unequal", "arrival"), torch.zeros(2, count, 1, 2, 2), uniform))


@pytest.mark.parametrize("arrival", [0.0, 0.3])
def test_the_exact_average_velocity_is_the_fixed_point_to_the_order_of_the_difference(arrival: float) -> None:
    """Backward differences are of order 1: at one time of the path, half the grid's step leaves half the error."""
    with torch.no_grad():
        errors = [
            float(loss_of(exact(points), torch.tensor([points * 3 // 4 - 1]), arrival).parts["u"]) ** 0.5
            for points in (16, 32, 64, 128)
        ]
    assert errors[0] > 1e-3
    for coarse, fine in pairwise(errors):
        assert 1.6 < coarse / fine < 2.5


def test_from_the_first_point_the_step_is_the_teachers() -> None:
    """There the exact step differs from it by what one DDIM step loses, and nothing is divided by 0."""
    with torch.no_grad():
        losses = [float(loss_of(exact(points), torch.tensor([0]), 0.0).parts["u"]) ** 0.5 for points in (16, 32, 64)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 0.2


def test_where_r_is_t_the_target_is_the_teachers_velocity() -> None:
    with torch.no_grad():
        assert float(loss_of(exact(16), torch.arange(16), 0.5, unequal=0.9).parts["u"]) < 1e-6
        shifted = exact(16)
        shifted.network.shift = 0.1  # type: ignore[assignment]
        level = shifted.level(shifted.index_set)
        # An error of 0.1 in x0 is one of 0.1 / r in u, in each of four pixels.
        wanted = (4 * (0.1 / flow_time(level)).square()).mean()
        found = loss_of(shifted, torch.arange(16), 0.5, unequal=0.9).parts["u"]
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)


def test_a_wrong_velocity_is_no_fixed_point() -> None:
    wrong = exact(64)
    wrong.network.shift = 0.3  # type: ignore[assignment]
    with torch.no_grad():
        k = torch.arange(8, 64)
        assert float(loss_of(wrong, k, 0.3).parts["u"]) > 10 * float(loss_of(exact(64), k, 0.3).parts["u"])


def test_the_weight_and_the_stopped_gradients() -> None:
    """Only u(z, r, t) itself has a gradient, 2 w (u - target); an x0 that is 1 more is a u that is 1 / r less."""
    student, k = exact(16), torch.tensor([11])
    student.network.shift = 0.2  # type: ignore[assignment]
    loss = loss_of(student, k, 0.4)
    error = float(loss.parts["u"])
    assert float(loss.total.detach()) == pytest.approx(error / (error + 1e-3) ** 0.75, rel=1e-5)
    loss.total.backward()
    teacher = gaussian_denoiser(SCHEDULE, MEAN, 0.5, "v")
    before, t, s = torch.tensor([703]), torch.tensor([767]), torch.tensor([int(0.4 * 12) * 64 - 1])
    z = q_sample(MEAN + 0.5 * normal(1, 1, 2, 2), normal(1, 1, 2, 2, seed=1), student.level(t))
    with torch.no_grad():
        said = teacher.predict(z, t)
        z_before = q_sample(said.x0, said.eps, teacher.level(before))
        u, u_before = (flow_velocity(student.predict(*asked, s)) for asked in ((z, t), (z_before, before)))
    at, at_before, at_s = (float(flow_time(teacher.level(one))) for one in (t, before, s))
    residual = u - said.eps + said.x0 + (at - at_s) * (u - u_before) / (at - at_before)
    assert float(residual.square().sum()) == pytest.approx(error, rel=1e-3)
    wanted = -2 * float(residual.sum()) / at / (error + 1e-3) ** 0.75
    assert float(student.network.weight.grad) == pytest.approx(wanted, rel=1e-3)  # type: ignore[arg-type, union-attr]

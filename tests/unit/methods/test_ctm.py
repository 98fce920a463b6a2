"""CTM's loss against the exact flow map of Gaussian data, and against the equation written out for one image."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from support.exact_networks import gaussian_denoiser, gaussian_flow, normal
from support.methods import method_of
from support.trainings import GivenDraws

from sfddm.diffusion.process import q_sample
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.ctm import positions_below
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch

SCHEDULE = make_schedule("cosine", 256)
MEAN = torch.tensor(0.25)


def batch_of(k: torch.Tensor) -> Batch:
    count = len(k)
    return Batch(MEAN + 0.5 * normal(count, 1, 2, 2), normal(count, 1, 2, 2, seed=1), k)


def draws_of(first: torch.Tensor, second: torch.Tensor) -> GivenDraws:
    return GivenDraws(("arrival", "middle"), torch.zeros(2, len(first), 1, 2, 2), torch.stack([first, second]))


def loss_of(student: Denoiser, k: torch.Tensor, first: float, second: float, **options: float) -> float:
    method = method_of("ctm", timesteps=256, grid=len(student.index_set), denoising_weight=0.0, **options)
    (training,) = method.plan(1).trainings
    assert student.steps.index_set == training.index_set
    teacher = FrozenDenoiser(gaussian_denoiser(SCHEDULE, MEAN, 0.5, "v"))
    objective = method.objective(training, student, teacher)
    uniform = torch.full((len(k),), first), torch.full((len(k),), second)
    with torch.no_grad():
        return float(objective(batch_of(k), draws_of(*uniform)).total)


def exact(points: int) -> Denoiser:
    return gaussian_flow(SCHEDULE, MEAN, 0.5, tuple(range(256 // points - 1, 256, 256 // points)))


def test_the_exact_flow_map_is_the_fixed_point_to_the_order_of_the_teachers_steps() -> None:
    """The teacher's DDIM is of order 1, so that halving its steps halves the root of the loss."""
    k = torch.tensor([7])
    errors = [loss_of(exact(8), k, 0.4, 0.0, substeps=n) ** 0.5 for n in (4, 8, 16, 32)]
    assert errors[0] > 1e-3
    for coarse, fine in pairwise(errors):
        assert 1.8 < coarse / fine < 2.3


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.0), (0.0, 0.99), (0.5, 0.3), (0.99, 0.99)])
def test_only_the_exact_flow_map_is_a_fixed_point(first: float, second: float) -> None:
    k = torch.arange(16)
    assert loss_of(exact(16), k, first, second, substeps=64) < 1e-4
    wrong = exact(16)
    wrong.network.shift = 0.3  # type: ignore[assignment]
    assert loss_of(wrong, k, first, second, substeps=64) > 3e-3


def test_the_denoising_loss_is_the_spread_of_the_image_given_the_noised_one() -> None:
    """E || x0 - E[x0 | x_t] ||^2 = d^2 s^2 / (a^2 d^2 + s^2), and no step but one of no length is asked."""
    method, student, count = method_of("ctm", timesteps=256, grid=8), exact(8), 40000
    (training,) = method.plan(1).trainings
    objective = method.objective(training, student, FrozenDenoiser(gaussian_denoiser(SCHEDULE, MEAN, 0.5, "v")))
    k = torch.full((count,), 3)
    with torch.no_grad():
        loss = objective(batch_of(k), draws_of(torch.zeros(count), torch.zeros(count)))
    parts = loss.parts
    assert float(loss.total) == pytest.approx(float(parts["trajectory"] + parts["denoising"]), rel=1e-6)
    a = float(SCHEDULE.alphas_bar[127])
    assert float(parts["denoising"]) == pytest.approx(0.25 * (1 - a) / (0.25 * a + 1 - a), rel=0.02)


def test_arrival_and_middle_are_uniform_below() -> None:
    k = torch.arange(4).repeat_interleave(4096)
    grid = (torch.arange(4096) + 0.5) / 4096
    s, u = positions_below(k, grid.repeat(4), grid.flip(0).repeat(4))
    for position in range(4):
        at = k == position
        assert s[at].unique(return_counts=True)[1].float().std(correction=0) <= 1
        assert s[at].unique().tolist() == list(range(-1, position))
    assert ((s <= u) & (u < k)).all()
    zero, at_2 = torch.zeros(4), torch.full((4,), 2)
    assert positions_below(at_2, zero, torch.tensor([0.0, 0.34, 0.67, 0.9999999]))[1].tolist() == [-1, 0, 1, 1]


def test_the_gradient_flows_through_the_frozen_step_to_the_clean_image_into_the_student_alone() -> None:
    """G_sg(G(x, t, s), s, 0) of an exact map is linear: the slope in the student's shift follows in closed form."""
    student, method = exact(8), method_of("ctm", timesteps=256, grid=8, denoising_weight=0.0, substeps=1)
    (training,) = method.plan(1).trainings
    teacher = FrozenDenoiser(gaussian_denoiser(SCHEDULE, MEAN, 0.5, "v"))
    objective = method.objective(training, student, teacher)
    k, first = torch.tensor([7]), torch.tensor([0.5])  # s = 3
    batch = batch_of(k)
    loss = objective(batch, draws_of(first, torch.zeros(1)))
    loss.total.backward()
    at = torch.from_numpy(SCHEDULE.alphas_bar)
    a_t, a_s = at[255], at[127]
    slope = a_s.sqrt() - ((1 - a_s) / (1 - a_t)).sqrt() * a_t.sqrt()  # of x_s in the x0 of the step t -> s
    slope = slope * 0.5 / (a_s * 0.25 + 1 - a_s).sqrt()  # of the clean image in x_s
    x = q_sample(batch.x0, batch.noise, student.level(torch.tensor([255]))).double()
    made = 0.25 + 0.5 * (x - a_t.sqrt() * 0.25) / (a_t * 0.25 + 1 - a_t).sqrt()
    eps = (1 - a_t).sqrt() * (x - a_t.sqrt() * 0.25) / (a_t * 0.25 + 1 - a_t)
    x_s = a_s.sqrt() * (x - (1 - a_t).sqrt() * eps) / a_t.sqrt() + (1 - a_s).sqrt() * eps  # u = s: one DDIM step
    target = 0.25 + 0.5 * (x_s - a_s.sqrt() * 0.25) / (a_s * 0.25 + 1 - a_s).sqrt()
    assert float(loss.total.detach()) == pytest.approx(float((made - target).square().mean()), rel=1e-3)
    wanted = (2 * slope * (made - target)).mean()
    assert float(student.network.weight.grad) == pytest.approx(float(wanted), rel=1e-3)  # type: ignore[arg-type, union-attr]
    assert objective.average is not None
    assert all(parameter.grad is None for parameter in objective.average.parameters())

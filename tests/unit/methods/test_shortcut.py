"""Shortcut models: which steps are trained, and both targets against closed forms of Gaussian data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser, gaussian_flow, normal
from support.methods import method_of
from support.trainings import GivenDraws

from sfddm.diffusion.flow import flow_time
from sfddm.diffusion.schedule import Schedule, make_schedule
from sfddm.methods.shortcut import aligned
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch, Loss
from sfddm.runtime.errors import SfddmError

SCHEDULE = make_schedule("cosine", 64)
MEAN = torch.tensor(0.25)
GRID = (15, 31, 47, 63)


def loss_of(student: Denoiser, k: int, *, bootstrap: bool, length: float = 0.0, count: int = 1) -> Loss:
    method = method_of("shortcut", grid=4)
    (training,) = method.plan(1).trainings
    assert student.steps.index_set == training.index_set == GRID
    objective = method.objective(training, student, FrozenDenoiser(gaussian_denoiser(SCHEDULE, MEAN, 0.5, "v")))
    batch = Batch(MEAN + 0.5 * normal(count, 1, 2, 2), normal(count, 1, 2, 2, seed=1), torch.full((count,), k))
    uniform = torch.tensor([[0.0 if bootstrap else 0.125], [length]]).expand(2, count)
    return objective(batch, GivenDraws(("bootstrap", "length"), torch.zeros(2, count, 1, 2, 2), uniform))


def exact() -> Denoiser:
    return gaussian_flow(SCHEDULE, MEAN, 0.5, GRID)


@pytest.mark.parametrize(("k", "length"), [(0, 0.0), (2, 0.0), (3, 0.0), (0, 0.5), (3, 0.9)])
def test_two_exact_steps_are_one_exact_step(k: int, length: float) -> None:
    with torch.no_grad():
        assert float(loss_of(exact(), k, bootstrap=True, length=length, count=8).total) < 1e-6


@pytest.mark.parametrize(("k", "length", "stops"), [(0, 0.0, (1, 0, -1)), (2, 0.0, (3, 2, 1)), (1, 0.5, (3, 1, -1))])
def test_a_wrong_student_is_asked_to_go_where_its_own_two_steps_go(
    k: int, length: float, stops: tuple[int, int, int]
) -> None:
    """By hand, in the flow's coordinates: z' = z - (t - t') u, twice, and the target is (z - z'') / (t - t'')."""
    student = exact()
    student.network.shift = 0.2  # type: ignore[assignment]
    with torch.no_grad():
        found = float(loss_of(student, k, bootstrap=True, length=length).total)
        alphas_bar = [1.0 if stop < 0 else float(SCHEDULE.alphas_bar[GRID[stop]]) for stop in stops]
        r = [np.sqrt(1 - a) / (np.sqrt(a) + np.sqrt(1 - a)) for a in alphas_bar]
        x0, noise = (MEAN + 0.5 * normal(1, 1, 2, 2)).double(), normal(1, 1, 2, 2, seed=1).double()
        start = (1 - r[0]) * x0 + r[0] * noise

        def u(z: torch.Tensor, one: int, other: int) -> torch.Tensor:
            """The exact average velocity of N(m, d^2), whose x0 = z - r u is 0.2 too large."""
            spread = [np.sqrt((1 - time) ** 2 * 0.25 + time**2) for time in (r[one], r[other])]
            arrived = (1 - r[other]) * 0.25 + spread[1] / spread[0] * (z - (1 - r[one]) * 0.25)
            return (z - arrived) / (r[one] - r[other]) - 0.2 / r[one]

        middle = start - (r[0] - r[1]) * u(start, 0, 1)
        end = middle - (r[1] - r[2]) * u(middle, 1, 2)
        wanted = (u(start, 0, 2) - (start - end) / (r[0] - r[2])).square().mean()
    assert wanted > 1e-5
    assert found == pytest.approx(float(wanted), rel=1e-3)


def test_where_both_halves_are_equally_long_the_target_is_the_mean_of_two_velocities() -> None:
    """The published target, on a schedule that is even in the flow's time."""
    times = (np.arange(4) + 1) / 4.001
    signal = (1 - times) / np.hypot(1 - times, times)
    even = Schedule(signal**2)
    student = gaussian_flow(even, MEAN, 0.5, (0, 1, 2, 3))
    student.network.shift = 0.2  # type: ignore[assignment]
    method = method_of("shortcut", grid=4, timesteps=4)
    (training,) = method.plan(1).trainings
    objective = method.objective(training, student, FrozenDenoiser(gaussian_denoiser(even, MEAN, 0.5, "v")))
    x0, noise = MEAN + 0.5 * normal(1, 1, 2, 2), normal(1, 1, 2, 2, seed=1)
    draws = GivenDraws(("bootstrap", "length"), torch.zeros(2, 1, 1, 2, 2), torch.tensor([[0.0], [0.9]]))
    with torch.no_grad():
        found = float(objective(Batch(x0, noise, torch.tensor([0])), draws).total)
        r = [float(flow_time(student.level(torch.tensor([t])))) for t in (3, 1)]
        z = (1 - r[0]) * x0 + r[0] * noise

        def u(z: torch.Tensor, t: int, s: int) -> torch.Tensor:
            level = student.level(torch.tensor([t]))
            said = student.predict(z * (level.signal + level.sigma), torch.tensor([t]), torch.tensor([s]))
            return said.eps - said.x0

        one = u(z, 3, 1)
        mean = (one + u(z - (r[0] - r[1]) * one, 1, -1)) / 2
        wanted = float((u(z, 3, -1) - mean).square().mean())
    assert found == pytest.approx(wanted, rel=1e-2)


@pytest.mark.parametrize("k", range(4))
def test_the_others_learn_the_teachers_own_step(k: int) -> None:
    """Against one DDIM step of the exact teacher, in the flow's velocity: its E[eps - x0 | z]."""
    student = exact()
    student.network.forward = lambda x, condition: torch.zeros_like(x)  # type: ignore[method-assign]
    with torch.no_grad():
        found = float(loss_of(student, k, bootstrap=False).total)
    a = float(SCHEDULE.alphas_bar[GRID[k]])
    r = np.sqrt(1 - a) / (np.sqrt(a) + np.sqrt(1 - a))
    x = np.sqrt(a) * (MEAN + 0.5 * normal(1, 1, 2, 2)) + np.sqrt(1 - a) * normal(1, 1, 2, 2, seed=1)
    x0 = 0.25 + np.sqrt(a) * 0.25 * (x - np.sqrt(a) * 0.25) / (a * 0.25 + 1 - a)
    assert found == pytest.approx(float((x0 / r).square().mean()), rel=1e-4)


def test_steps_of_one_length_tile_the_path() -> None:
    k, uniform = torch.arange(16).repeat(4), torch.tensor([0.0, 0.25, 0.5, 0.99]).repeat_interleave(16)
    start, half = aligned(k, uniform, 16)
    assert half.tolist() == [1] * 16 + [2] * 16 + [4] * 16 + [8] * 16
    assert ((start + 1) % (2 * half) == 0).all()
    assert ((start >= k) & (start - k < 2 * half)).all()
    for d in (1, 2, 4, 8):
        starts, counts = start[half == d].unique(return_counts=True)
        assert starts.tolist() == list(range(2 * d - 1, 16, 2 * d))
        assert set(counts.tolist()) == {2 * d}


def test_only_steps_that_are_trained_can_be_sampled() -> None:
    assert method_of("shortcut", index_set=(7, 15, 31, 63)).index_set(4) == (7, 15, 31, 63)
    with pytest.raises(SfddmError, match=r"index_set: steps must be 2\^n points of the grid long .* from point 64 of"):
        method_of("shortcut", index_set=(15, 63)).plan(2)
    with pytest.raises(SfddmError, match=r"start at multiples of their length, but one goes from point 3 of 64 to poi"):
        method_of("shortcut", index_set=(0, 2, 3, 7, 15, 31, 63)).plan(7)
    with pytest.raises(SfddmError, match=r"grid: must be a power of two, for steps are doubled, got 48"):
        method_of("shortcut", grid=48).plan(1)

"""The deterministic samplers against diffusers' schedulers, and against the exact flow of a mixture of Gaussians."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_walks import ExactDenoiser, path_of
from torch import Tensor

from sfddm.data.gaussians import Mixture
from sfddm.diffusion.index_sets import make_index_set
from sfddm.diffusion.process import Prediction
from sfddm.diffusion.schedule import Float64, make_schedule
from sfddm.samplers.base import Walk, find_sampler
from sfddm.samplers.unipc import weights

MIXTURE = Mixture(
    np.array([[-0.5, 0.2], [0.6, -0.1], [0.1, 0.7]]),
    np.array([0.4, 0.3, 0.35]),
    np.array([0.3, 0.4, 0.3]),
    np.array([0, 1, 2]),
)
NOISE = np.random.default_rng(0).standard_normal((64, 2))


class Recorded(Walk):
    """A walk that keeps the points at which the model was asked, and what it said, in order."""

    def __init__(self, denoiser: ExactDenoiser, index_set: tuple[int, ...]) -> None:
        super().__init__(denoiser, index_set, False, no_noise)  # type: ignore[arg-type]
        self.points: list[tuple[int, Tensor, Prediction]] = []

    def predict(self, x: Tensor, k: int) -> Prediction:
        said = super().predict(x, k)
        self.points.append((k, x, said))
        return said


def no_noise(k: int) -> Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


def walked(name: str, denoiser: ExactDenoiser, index_set: tuple[int, ...]) -> tuple[Recorded, Tensor]:
    walk = Recorded(denoiser, index_set)
    return walk, find_sampler(name)(clip=False).sample(walk, torch.from_numpy(NOISE).view(-1, 2, 1, 1))


# --- diffusers' schedulers ----------------------------------------------------------------------------------------


def scheduler_of(module: str, name: str, steps: int, **config: Any) -> Any:
    """Return a scheduler with ``steps`` timesteps; what it computes with is float64 once its levels are replaced."""
    scheduler = getattr(importlib.import_module(f"diffusers.schedulers.{module}"), name)(**config)
    scheduler.set_timesteps(steps)
    return scheduler


def taus(denoiser: ExactDenoiser, index_set: tuple[int, ...]) -> Tensor:
    """Return (T' + 1,) sigma / signal in the order of the walk, 0 at its end."""
    alphas_bar = denoiser.alphas_bar[list(reversed(index_set))]
    return torch.from_numpy(np.append(np.sqrt(1 / alphas_bar - 1), 0.0))


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 10, 20])
@pytest.mark.parametrize(
    ("name", "module", "scheduler", "config", "tolerance"),
    [
        (
            "dpm-solver",
            "scheduling_dpmsolver_multistep",
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "dpmsolver++", "solver_order": 2},
            1e-6,  # diffusers computes the step itself in float32
        ),
        (
            "unipc",
            "scheduling_unipc_multistep",
            "UniPCMultistepScheduler",
            {"solver_order": 3, "solver_type": "bh2", "predict_x0": True},
            1e-9,
        ),
    ],
    ids=["dpm-solver", "unipc"],
)
def test_every_step_agrees_with_diffusers(
    name: str, module: str, scheduler: str, config: dict[str, Any], tolerance: float, kind: Any, steps: int
) -> None:
    """In float64, on its very timesteps; the cosine schedule starts with hardly any signal."""
    denoiser = ExactDenoiser(MIXTURE, make_schedule(kind, 1024).alphas_bar)
    index_set = make_index_set("linspace", 1024, steps)
    theirs = scheduler_of(module, scheduler, steps, prediction_type="sample", final_sigmas_type="zero", **config)
    theirs.sigmas = taus(denoiser, index_set)
    walk, images = walked(name, denoiser, index_set)
    x = torch.from_numpy(NOISE).view(-1, 2, 1, 1)
    for t, (_, ours, said) in zip(theirs.timesteps, walk.points, strict=True):
        torch.testing.assert_close(ours, x, rtol=tolerance, atol=tolerance)
        x = theirs.step(said.x0, t, x).prev_sample
    torch.testing.assert_close(images, x, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["linear", "sigmoid"])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_heun_agrees_with_diffusers(kind: Any, steps: int) -> None:
    """Both evaluations of a step; diffusers counts in x / signal."""
    denoiser = ExactDenoiser(MIXTURE, make_schedule(kind, 1024).alphas_bar)
    index_set = make_index_set("linspace", 1024, steps)
    theirs = scheduler_of("scheduling_heun_discrete", "HeunDiscreteScheduler", steps, prediction_type="epsilon")
    tau = taus(denoiser, index_set)
    theirs.sigmas = torch.cat([tau[:1], tau[1:-1].repeat_interleave(2), tau[-1:]])
    walk, images = walked("heun", denoiser, index_set)
    scaled = torch.from_numpy(NOISE).view(-1, 2, 1, 1) * torch.sqrt(1 + tau[0] ** 2)
    assert len(theirs.timesteps) == len(walk.points)
    for t, (k, ours, said) in zip(theirs.timesteps, walk.points, strict=True):
        # rounding grows with 1 / signal where a step starts with hardly any
        torch.testing.assert_close(ours / walk.level(k).signal, scaled, rtol=1e-9, atol=1e-12 * float(tau[0]))
        scaled = theirs.step(said.eps, t, scaled).prev_sample
    torch.testing.assert_close(images, scaled, rtol=1e-9, atol=1e-12 * float(tau[0]))


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 12])
def test_ipndm_agrees_with_diffusers_up_to_the_last_step(steps: int) -> None:
    """Its own levels are even angles, x0 is what its last step would extrapolate and ours does not."""
    theirs = scheduler_of("scheduling_ipndm", "IPNDMScheduler", steps)
    angles = np.linspace(1, 0, steps + 1) * np.pi / 2
    angles[0] = np.arctan(500.0)  # theirs starts at pure noise, which no level here is
    theirs.alphas, theirs.betas = torch.from_numpy(np.cos(angles)), torch.from_numpy(np.sin(angles))
    denoiser = ExactDenoiser(MIXTURE, np.square(np.cos(angles[-2::-1])))
    walk, images = walked("ipndm", denoiser, tuple(range(steps)))
    x = torch.from_numpy(NOISE).view(-1, 2, 1, 1)
    for t, (k, ours, said) in zip(theirs.timesteps, walk.points, strict=True):
        torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)
        level = walk.level(k)
        x = theirs.step(level.signal * said.eps - level.sigma * said.x0, t, x).prev_sample
    assert torch.equal(images, walk.points[-1][2].x0)


# --- the exact flow -----------------------------------------------------------------------------------------------

SPACINGS = {"log": (np.log, np.exp), "angle": (np.arctan, np.tan)}


def error_at_the_last_level(name: str, spacing: str, steps: int) -> float:
    """Return the root mean square distance of x / signal from the exact flow, from tau = 10 to 0.05 in ``steps``."""
    there, back = SPACINGS[spacing]
    tau: Float64 = back(np.linspace(there(0.05), there(10.0), steps + 1))
    walk, _ = walked(name, ExactDenoiser.at(MIXTURE, tau), tuple(range(steps + 1)))
    arrived = next(x for k, x, _ in walk.points if k == 0).view(-1, 2).numpy() * np.sqrt(1 + tau[0] ** 2)
    exact = path_of(MIXTURE, NOISE * np.sqrt(1 + tau[-1] ** 2), float(tau[-1]), float(tau[0]))
    return float(np.sqrt(np.square(arrived - exact).mean()))


@pytest.mark.parametrize(
    ("name", "spacing", "order"),
    [
        ("ddim", "log", 1),
        ("ddim", "angle", 1),
        ("heun", "log", 2),
        ("heun", "angle", 2),
        ("dpm-solver", "log", 2),
        ("dpm-solver", "angle", 2),
        ("ipndm", "log", 2),
        ("unipc", "log", 3),
    ],
)
def test_the_error_falls_with_the_order_of_the_method(name: str, spacing: str, order: int) -> None:
    """Twice the steps divide the error by 2 to the order: measured 0.99, 2.02, 2.00, 2.00 and 2.99 in log tau.

    iPNDM's weights are those of equal steps in tau, and its first steps are of lower order: two, though it is called
    iPNDM-4.
    """
    errors = [error_at_the_last_level(name, spacing, steps) for steps in (64, 128)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_the_higher_orders_pay_at_few_steps() -> None:
    errors = {name: error_at_the_last_level(name, "log", 16) for name in ("ddim", "dpm-solver", "ipndm", "unipc")}
    assert errors["ddim"] > 5 * errors["dpm-solver"] > 5 * errors["unipc"]
    assert errors["ddim"] > 5 * errors["ipndm"]


# --- UniPC's weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratios", [(-1.3, -0.4), (-2.0, -0.7, 1.0), (-0.5, 1.0)])
@pytest.mark.parametrize("step", [0.1, 0.8, 3.0])
def test_polynomials_in_lambda_are_integrated_exactly(ratios: tuple[float, ...], step: float) -> None:
    """Where x0 is a polynomial p of (lambda - lambda_k) / h with p(0) = 0, its weighted mean over the step is known.

    x' = (s' / s) x + a' int_0^h e^(u - h) x0 du, so a step with a constant x0 weighs it by 1 - e^-h: what must be
    met is the mean of p with density e^(u - h) / (1 - e^-h) on [0, h].
    """
    nodes, measure = np.polynomial.legendre.leggauss(40)
    u = (nodes + 1) * step / 2
    density = measure * step / 2 * np.exp(u - step) / (1 - np.exp(-step))
    for power in range(1, len(ratios) + 1):
        found = sum(weight / ratio * ratio**power for weight, ratio in zip(weights(ratios, step), ratios, strict=True))
        assert found == pytest.approx(float((density * (u / step) ** power).sum()), rel=1e-9)

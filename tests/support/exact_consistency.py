"""The consistency function of pixels drawn from N(mean, deviation^2), in closed form, as a network that predicts v."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from support.exact_networks import gaussian_denoiser, normal
from torch import Tensor, nn

from sfddm.diffusion.schedule import Schedule
from sfddm.methods.base import Method
from sfddm.methods.options import TrainingOptions
from sfddm.networks.base import Condition, Network
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.steps import Steps
from sfddm.training.loop import Seeds, train


def end_of_path(x: Tensor, alpha_bar: Tensor | float, mean: Tensor | float, deviation: float) -> Tensor:
    """Return where the probability-flow path of x ends, at the clean image, float64.

    x_t ~ N(a m, a^2 d^2 + s^2) at every level, and in one dimension the path keeps the order of points, so it keeps
    (x_t - a m) / sqrt(a^2 d^2 + s^2), which at the clean image is (x_0 - m) / d.
    """
    alpha_bar = torch.as_tensor(alpha_bar, dtype=torch.float64)
    variance = alpha_bar * deviation**2 + 1 - alpha_bar
    return mean + deviation * (x.double() - alpha_bar.sqrt() * mean) / variance.sqrt()


class GaussianConsistency(Network):
    """Says the v with which cos(theta) x - sin(theta) v is the end of the path, plus an offset that has a gradient."""

    classes = None

    def __init__(self, schedule: Schedule, mean: Tensor, deviation: float) -> None:
        super().__init__()
        self.mean, self.deviation, self.alphas_bar = mean.double(), deviation, torch.from_numpy(schedule.alphas_bar)
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        alpha_bar = self.alphas_bar[condition.t].view(-1, 1, 1, 1)
        x0 = end_of_path(x, alpha_bar, self.mean, self.deviation)
        return (alpha_bar.sqrt() * x - x0) / (1 - alpha_bar).sqrt() + self.offset


def consistency_denoiser(schedule: Schedule, mean: Tensor, deviation: float) -> Denoiser:
    """Return the exact consistency function at all steps of ``schedule``."""
    return Denoiser(GaussianConsistency(schedule, mean, deviation), "v", Steps.of_teacher(schedule))


def uniform_of(t: Tensor, schedule: Schedule, mean: float, deviation: float) -> Tensor:
    """Return the (B,) uniform numbers for which ln tau ~ N(mean, deviation^2) falls on the indices t, as float32.

    It takes double precision to undo where far out in the tails float32 cannot name an index; tests use a wide normal.
    """
    tau = torch.from_numpy(schedule.sigma / schedule.signal)[t]
    return torch.special.ndtr((tau.log() - mean) / deviation).float()


def train_on_points(method: Method, folder: Path, learning_rate: float = 5e-3) -> tuple[float, float, float]:
    """Train a fresh perceptron for 400 steps on points of one Gaussian, against its exact teacher; T is 64.

    Returns:
        distances, as a root mean square, from the ends of the teacher's paths in one step of sampling from pure noise:
        of the student before and after the training, and of the teacher's own step.
    """
    mean, deviation, last = torch.tensor([0.4, -0.2]).view(1, 2, 1, 1), 0.3, method.timesteps - 1
    teacher = gaussian_denoiser(method.schedule, mean, deviation, "v")
    network = build_network(PerceptronOptions(kind="mlp", width=32, depth=2).config(1, 2), 0)
    student = Denoiser(network, "v", Steps.of_teacher(method.schedule))
    noise, t = normal(256, 2, 1, 1, seed=9), torch.full((256,), last)
    wanted = end_of_path(noise, float(method.schedule.alphas_bar[last]), mean, deviation)

    def distance(denoiser: Denoiser) -> float:
        with torch.no_grad():
            return float((denoiser.predict(noise, t).x0 - wanted).square().mean().sqrt())

    before = distance(student)
    points = (mean + deviation * normal(2048, 2, 1, 1)).permute(0, 2, 3, 1)
    train(
        method.objective(method.plan(1).trainings[0], student, FrozenDenoiser(teacher)),
        ((points.clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8),
        np.full(len(points), -1),
        TrainingOptions(images=51200, batch_size=128, learning_rate=learning_rate, learning_rate_schedule="cosine"),
        seeds=Seeds(1, 2),
        checkpoint=folder / "checkpoint",
        device=torch.device("cpu"),
        title="points",
    )
    return before, distance(student), distance(teacher)

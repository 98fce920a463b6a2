"""Students that see pure noise: one that says what a table holds, and an exact teacher's path in float64."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from support.exact_networks import gaussian_denoiser, normal
from torch import Tensor

from sfddm.data.gaussians import Mixture
from sfddm.diffusion.process import PredictionKind
from sfddm.diffusion.schedule import Float64, Schedule, make_schedule
from sfddm.methods.base import Method, Training
from sfddm.methods.options import TrainingOptions
from sfddm.networks.base import Condition, Network
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.steps import Steps
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM
from sfddm.training.feed import NoImages
from sfddm.training.loop import Seeds, train

#: Pixels are N(MEAN, DEVIATION^2), independently.
MEAN, DEVIATION = 0.25, 0.5
SCHEDULE = make_schedule("sigmoid", 64)
NOISE = normal(1, 1, 2, 2)


def exact_teacher(prediction: PredictionKind = "x0", schedule: Schedule = SCHEDULE) -> Denoiser:
    return gaussian_denoiser(schedule, torch.tensor(MEAN), DEVIATION, prediction)


def tau_of(schedule: Schedule = SCHEDULE) -> Float64:
    """Return (T,) sigma / signal."""
    tau: Float64 = np.sqrt((1 - schedule.alphas_bar) / schedule.alphas_bar)
    return tau


def exact_x0(point: Float64, tau: float) -> Float64:
    """Return E[x0 | X] of X = x0 + tau eps: pixel by pixel the mean of two Gaussians weighed by their precision."""
    mean: Float64 = (MEAN / DEVIATION**2 + point / tau**2) / (1 / DEVIATION**2 + 1 / tau**2)
    return mean


def euler_path(path: tuple[int, ...], start: Float64) -> Float64:
    """Return (N, ...) the points X of Euler's method for dX / dtau = (X - E[x0 | X]) / tau, from ``start`` on."""
    tau, points = tau_of()[list(path)], [start]
    for i in range(len(path) - 1, 0, -1):
        x = points[-1]
        points.append(x + (tau[i - 1] - tau[i]) * (x - exact_x0(x, tau[i])) / tau[i])
    return np.stack(points[::-1])


class TableNetwork(Network):
    """Says the image F of a table (N, C, H, W), row by row at the indices of a path, as a network of noise would."""

    def __init__(self, path: tuple[int, ...], images: Float64, prediction: PredictionKind, schedule: Schedule) -> None:
        super().__init__()
        self.config, self.classes = {}, None
        self.path, self.prediction = torch.tensor(path), prediction
        self.images = torch.nn.Parameter(torch.from_numpy(images))
        self.signal, self.sigma = float(schedule.signal[-1]), float(schedule.sigma[-1])

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        image = self.images[torch.searchsorted(self.path, condition.t)]
        return image if self.prediction == "x0" else (self.signal * x - image) / self.sigma


def table_student(training: Training, images: Float64, prediction: PredictionKind = "x0") -> Denoiser:
    """Return the student of a training that says these images F."""
    path, network = training.index_set, TableNetwork(training.index_set, images, prediction, SCHEDULE)
    steps = exact_teacher().steps.subsequence(path, path)
    return Denoiser(network, prediction, steps, training.from_noise)


def image_of(method: Method, student: Denoiser, noise: Tensor) -> Tensor:
    """Return what the row samples from noise, not clipped."""
    index_set = method.plan(1).index_set
    assert index_set is not None
    with torch.no_grad():
        return sample(student, index_set, DDIM(clip=False), noise, lambda k: noise)


#: Six Gaussians on a circle.
CIRCLE = Mixture(
    np.stack([0.6 * np.cos(np.arange(6) * np.pi / 3), 0.6 * np.sin(np.arange(6) * np.pi / 3)], axis=1),
    0.1, np.full(6, 1 / 6), np.zeros(6, dtype=np.int64),
)  # fmt: skip


class CircleNetwork(Network):
    """Says E[x0 | x_t] of the mixture CIRCLE, (B, 2, 1, 1)."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.config, self.classes = {}, None
        self.alphas_bar, self.means = torch.from_numpy(schedule.alphas_bar), torch.from_numpy(CIRCLE.means)

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        alpha_bar, points = self.alphas_bar[condition.t][:, None, None], x.flatten(1).double()[:, None]
        a, variance = alpha_bar.sqrt(), alpha_bar * float(CIRCLE.variances[0]) + 1 - alpha_bar
        apart = points - a * self.means  # (B, 6, 2)
        weights = torch.softmax(-(apart.square().sum(2) / variance[..., 0] / 2), dim=1)[..., None]  # (B, 6, 1)
        means = self.means + a * float(CIRCLE.variances[0]) / variance * apart
        return (weights * means).sum(1).float().view_as(x)


def distances_to_the_teacher(method: Method, images: int, learning_rate: float) -> tuple[float, float]:
    """Return the squared distance to the teacher's samples from the same noise, before and after a training."""
    teacher = Denoiser(CircleNetwork(SCHEDULE), "x0", Steps.of_teacher(SCHEDULE))
    (training,) = method.plan(1).trainings
    network = build_network(PerceptronOptions(kind="mlp", width=32, depth=2).config(1, 2), 0)
    steps = teacher.steps.subsequence(training.index_set, training.index_set)
    student = Denoiser(network, "x0", steps, training.from_noise)
    noise = normal(512, 2, 1, 1, seed=9)
    with torch.no_grad():
        wanted = sample(teacher, tuple(range(64)), DDIM(clip=False), noise, lambda k: noise)
    before = (image_of(method, student, noise) - wanted).square().mean()
    options = TrainingOptions(images=images, batch_size=128, learning_rate=learning_rate,
                              learning_rate_schedule="linear", ema=0.98)  # fmt: skip
    with TemporaryDirectory() as folder:
        train(
            method.objective(training, student, FrozenDenoiser(teacher)), NoImages(1, (2, 1, 1)), None, options,
            seeds=Seeds(1, 2), checkpoint=Path(folder) / "c", device=torch.device("cpu"), title="points",
        )  # fmt: skip
    return float(before), float((image_of(method, student, noise) - wanted).square().mean())

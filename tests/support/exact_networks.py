"""Networks whose right answer is known in closed form, and small ones whose answer is arbitrary."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sfddm.diffusion.process import PredictionKind
from sfddm.diffusion.schedule import Schedule, make_schedule
from sfddm.networks.base import Condition, Network
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.kinds.unet import UNetOptions
from sfddm.networks.steps import Steps


class GaussianNetwork(Network):
    """The optimal network for pixels drawn independently from N(mean, deviation^2); deviation 0 is a single image.

    With x_t = a x0 + s eps, x_t is N(a m, a^2 d^2 + s^2) and E[eps | x_t] = s (x_t - a m) / (a^2 d^2 + s^2). For one
    image (d = 0) both E[eps | x_t] and E[x0 | x_t] are exact, so DDIM is exact in any number of steps.
    """

    def __init__(self, schedule: Schedule, mean: Tensor, deviation: float, prediction: PredictionKind) -> None:
        super().__init__()
        self.config, self.classes = {}, None
        self.mean, self.deviation, self.prediction = mean.double(), deviation, prediction
        self.alphas_bar = torch.from_numpy(schedule.alphas_bar)

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        alpha_bar = self.alphas_bar[condition.t].view(-1, 1, 1, 1)
        a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        surprise = (x.double() - a * self.mean) / (alpha_bar * self.deviation**2 + 1 - alpha_bar)
        eps = s * surprise
        x0 = self.mean + a * self.deviation**2 * surprise
        return {"epsilon": eps, "x0": x0, "v": a * eps - s * x0}[self.prediction]


class GaussianFlow(Network):
    """The exact flow map between any two times for pixels drawn from N(mean, deviation^2), as the x0 of a DDIM step.

    The probability flow keeps (x_t - a m) / sqrt(a^2 d^2 + s^2) constant. Of a step of no length it is E[x0 | x_t].
    """

    takes_arrival = True

    def __init__(self, schedule: Schedule, mean: Tensor, deviation: float, shift: float = 0.0) -> None:
        super().__init__()
        self.config, self.classes = {}, None
        self.mean, self.deviation, self.shift = mean.double(), deviation, shift
        self.alphas_bar = torch.tensor([*schedule.alphas_bar, 1.0])  # at -1: the clean image
        self.weight = nn.Parameter(torch.zeros(()))  # so that there is something to train

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        assert condition.arrival is not None
        here, there = (self.alphas_bar[t].view(-1, 1, 1, 1) for t in (condition.t, condition.arrival))
        (a, s), (b, r) = ((value.sqrt(), (1 - value).sqrt()) for value in (here, there))
        spread = [(value * self.deviation**2 + 1 - value).sqrt() for value in (here, there)]
        surprise = (x.double() - a * self.mean) / spread[0]
        arrived = b * self.mean + spread[1] * surprise
        of_step = (arrived - r / s * x) / (b - r / s * a)
        x0 = of_step.where(here != there, self.mean + a * self.deviation**2 * surprise / spread[0])
        return x0 + self.shift + self.weight


def gaussian_flow(schedule: Schedule, mean: Tensor, deviation: float, index_set: tuple[int, ...]) -> Denoiser:
    """Return the exact student of a two-time method, at some of the schedule's steps."""
    steps = Steps.of_teacher(schedule).subsequence(index_set, index_set)
    return Denoiser(GaussianFlow(schedule, mean, deviation), "x0", steps)


def gaussian_denoiser(
    schedule: Schedule, mean: Tensor, deviation: float, prediction: PredictionKind = "epsilon"
) -> Denoiser:
    """Return the exact teacher of all steps of ``schedule``."""
    return Denoiser(GaussianNetwork(schedule, mean, deviation, prediction), prediction, Steps.of_teacher(schedule))


TINY_NETWORK = UNetOptions(channels=8, channel_multipliers=(1, 2), blocks_per_level=1)


def tiny_denoiser(
    schedule: Schedule | None = None, *, prediction: PredictionKind = "epsilon", size: int = 8, seed: int = 0
) -> Denoiser:
    """Return an untrained U-Net over all steps of ``schedule`` (cosine, T = 64), in evaluation mode."""
    schedule = schedule or make_schedule("cosine", 64)
    network = build_network(TINY_NETWORK.config(size, 1), seed)
    return Denoiser(network, prediction, Steps.of_teacher(schedule)).eval()


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Return standard normal float32 numbers, a function of seed and shape."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def random_images(count: int, size: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """Return (count, size, size, 1) uint8 images."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


def weights_of(denoiser: Denoiser) -> dict[str, Tensor]:
    """Return a copy of the network's weights."""
    return {name: value.detach().clone() for name, value in denoiser.network.state_dict().items()}


def assert_same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def first_layer(denoiser: Denoiser) -> nn.Parameter:
    """Return the weights through which the image enters a U-Net; whatever is trained changes them."""
    return denoiser.network.get_parameter("unet.conv_in.weight")


def has_gradient(denoiser: Denoiser) -> bool:
    """Tell whether a gradient reached a U-Net's first layer."""
    gradient = first_layer(denoiser).grad
    return gradient is not None and bool(gradient.any())


def student_schedule(teacher: Schedule, index_set: tuple[int, ...]) -> Schedule:
    """The schedule that a student of the teacher gets, by the way that training takes."""
    return Schedule(Steps.of_teacher(teacher).subsequence(index_set, index_set).alphas_bar)

"""The exact denoiser of a mixture of Gaussians, with classes: a teacher whose score is known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sfddm.data.gaussians import Mixture, posterior_mean
from sfddm.diffusion.schedule import Schedule, make_schedule
from sfddm.networks.base import Condition, Network
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.steps import Steps


class MixtureNetwork(Network):
    """Says E[x0 | x_t] of points (B, 2, 1, 1), of one class or, for label n, of all; a shift makes it wrong."""

    def __init__(self, mixture: Mixture, schedule: Schedule, classes: int | None = None, shift: float = 0.0) -> None:
        super().__init__()
        self.mixture, self.alphas_bar, self.shift = mixture, schedule.alphas_bar, shift
        self.config: dict[str, Any] = {}
        self.classes = classes
        self.weight = nn.Parameter(torch.zeros(1))  # so that there is something to freeze

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        t, labels, classes = condition.t, condition.labels, self.classes
        points, x0 = x.detach().flatten(1).double().numpy(), np.empty((len(x), 2))
        for i in range(len(x)):
            one = None if labels is None or int(labels[i]) == classes else int(labels[i])
            mixture = self.mixture if one is None else self.mixture.given(one)
            x0[i] = posterior_mean(mixture, points[i : i + 1], float(self.alphas_bar[int(t[i])]))[0]
        return torch.from_numpy(x0 + self.shift).float().view_as(x)


def mixture_denoiser(
    mixture: Mixture, *, timesteps: int = 64, classes: int | None = None, shift: float = 0.0
) -> Denoiser:
    """Return the exact teacher of a mixture on a cosine schedule, predicting x0."""
    schedule = make_schedule("cosine", timesteps)
    return Denoiser(MixtureNetwork(mixture, schedule, classes, shift), "x0", Steps.of_teacher(schedule))


def two_islands(distance: float = 0.5, sigma: float = 0.05) -> Mixture:
    """Return two classes, one left and one right of the middle."""
    means = np.array([[-distance, 0.0], [distance, 0.0]])
    return Mixture(means, sigma, np.array([0.5, 0.5]), np.array([0, 1]))

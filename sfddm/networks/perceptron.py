"""A small residual perceptron with time and class embeddings, for points. It needs torch alone: it starts quickly."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from sfddm.networks.base import Condition, Network
from sfddm.networks.times import FREQUENCIES, SECOND_TIME, SecondTime, sinusoids

#: Sines and cosines of period 2, 1 and 1/2: without them a small network smooths over what lies close together.
_OCTAVES = 3


class Perceptron(Network):
    """``depth`` residual blocks of ``width`` units between a linear map in and one out.

    The map in sees each coordinate and its sines and cosines (Fourier features, Tancik et al. 2020).

    Attributes:
        config: from which ``Perceptron(config)`` builds the same network: ``kind``, ``sample_size``, ``in_channels``,
            ``width``, ``depth`` and ``classes`` (None, or n; label n then means "no class"); with ``second_time``, it
            is also told where a step goes.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = dict(config)
        self.classes = config["classes"]
        self.feature_width = self.bottleneck_width = config["width"]
        width, inputs = config["width"], config["in_channels"] * config["sample_size"] ** 2
        self.enter = nn.Linear((1 + 2 * _OCTAVES) * inputs, width)
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = None if self.classes is None else nn.Embedding(self.classes + 1, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(config["depth"]))
        self.out = nn.Linear(width, inputs)
        self.takes_arrival = bool(config.get(SECOND_TIME))
        self.arrival = SecondTime(width) if self.takes_arrival else None  # last: the others draw the same weights

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """Return the raw output, (B, C, H, W); without labels, that of "no class"."""
        embedding = self.time(sinusoids(condition.t))  # (B, width)
        if self.labels is not None:
            labels = condition.labels
            if labels is None:
                labels = torch.full((len(x),), self.config["classes"], device=x.device)
            embedding = embedding + self.labels(labels)
        elif condition.labels is not None:
            raise ValueError("class labels are given to a network without classes")
        if self.arrival is not None:
            embedding = embedding + self.arrival(condition.arrival)
        hidden = self.enter(fourier_features(x.flatten(1)))  # (B, width)
        for block in self.blocks:
            hidden = block(hidden, embedding)
        output: Tensor = self.out(silu(hidden))  # (B, C H W)
        return output.view_as(x)

    def last_layer(self) -> nn.Module:
        """Return the linear map out."""
        return self.out

    def middle(self) -> nn.Module:
        """Return the last block."""
        return self.blocks[-1]

    def linear_map(self, inputs: int, outputs: int) -> nn.Module:
        """Return a linear map."""
        return nn.Linear(inputs, outputs)


class _Block(nn.Module):
    """hidden + second(silu(first(silu(hidden)) + embedding)), all (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        moved: Tensor = hidden + self.second(silu(self.first(silu(hidden)) + embedding))
        return moved


def fourier_features(x: Tensor) -> Tensor:
    """Return (B, 7 D): the (B, D) coordinates, then their sines and cosines at pi, 2 pi and 4 pi."""
    angles = [pi * 2**octave * x for octave in range(_OCTAVES)]
    return torch.cat([x, *(angle.sin() for angle in angles), *(angle.cos() for angle in angles)], dim=1)

"""A small residual perceptron with time and class embeddings, for points. It needs torch alone: it starts quickly."""

from __future__ import annotations

from math import log, pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

_FREQUENCIES = 32
_LONGEST_PERIOD = 10_000.0
#: Waves of each coordinate, of period 2, 1 and 1/2: without them a small network smooths over what lies close together.
_OCTAVES = 3


class MLP(nn.Module):
    """``depth`` residual blocks of ``width`` units between a linear map in and one out.

    The map in sees each coordinate and its sines and cosines (Fourier features, Tancik et al. 2020).

    Attributes:
        config: from which ``MLP(config)`` builds the same network, as plain JSON: ``kind`` "mlp", ``sample_size``,
            ``in_channels``, ``width``, ``depth`` and ``classes`` (None, or n; label n then means "no class").
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = dict(config)
        width, inputs = config["width"], config["in_channels"] * config["sample_size"] ** 2
        self.enter = nn.Linear((1 + 2 * _OCTAVES) * inputs, width)
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = None if config["classes"] is None else nn.Embedding(config["classes"] + 1, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(config["depth"]))
        self.out = nn.Linear(width, inputs)

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return the raw output, (B, C, H, W).

        Args:
            x: (B, C, H, W) float32, about [-1, 1].
            t: (B,) steps, as numbers.
            class_labels: (B,) int64 in [0, classes]; None stands for "no class" throughout.

        Raises:
            ValueError: the network is unconditional and labels are given.
        """
        embedding = self.time(sinusoids(t))  # (B, width)
        if self.classes is not None:
            if class_labels is None:
                class_labels = torch.full((len(x),), self.config["classes"], device=x.device)
            embedding = embedding + self.classes(class_labels)
        elif class_labels is not None:
            raise ValueError("class labels are given to a network without classes")
        hidden = self.enter(waves(x.flatten(1)))  # (B, width)
        for block in self.blocks:
            hidden = block(hidden, embedding)
        output: Tensor = self.out(silu(hidden))  # (B, C H W)
        return output.view_as(x)


class _Block(nn.Module):
    """hidden + second(silu(first(silu(hidden)) + embedding)), all (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        moved: Tensor = hidden + self.second(silu(self.first(silu(hidden)) + embedding))
        return moved


def waves(x: Tensor) -> Tensor:
    """Return (B, 7 D): the (B, D) coordinates, then their sines and cosines at pi, 2 pi and 4 pi."""
    angles = [pi * 2**octave * x for octave in range(_OCTAVES)]
    return torch.cat([x, *(angle.sin() for angle in angles), *(angle.cos() for angle in angles)], dim=1)


def sinusoids(t: Tensor) -> Tensor:
    """Return (B, 64) the sines and cosines of (B,) numbers at frequencies from 1 to almost 1/10,000.

    Vaswani et al. 2017, section 3.5, as in Ho et al. 2020, appendix B.
    """
    places = torch.arange(_FREQUENCIES, device=t.device, dtype=torch.float32)
    angles = t.float()[:, None] * torch.exp(-log(_LONGEST_PERIOD) / _FREQUENCIES * places)  # (B, 32)
    return torch.cat([angles.sin(), angles.cos()], dim=1)

"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MovingAverage:
    """A float32 average of a network's parameters, whose decay starts at 1/10 and rises as (1 + step) / (10 + step).

    Args:
        network: the network that is followed.
        decay: the largest weight of the past.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters: list[Tensor] = list(network.parameters())
        self.average = [parameter.detach().clone().float() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step ``step`` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, self.parameters, 1 - decay)

    @torch.no_grad()
    def copy_to_network(self) -> None:
        """Give the network the averaged weights."""
        for parameter, average in zip(self.parameters, self.average, strict=True):
            parameter.copy_(average)

    def load(self, average: list[Tensor]) -> None:
        """Put back an average that a checkpoint held."""
        for mine, saved in zip(self.average, average, strict=True):
            mine.copy_(saved)

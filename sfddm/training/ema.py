"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MovingAverage:
    """A float32 average of a network's parameters.

    Args:
        network: the network that is followed.
        decay: the weight of the past.
        into: a copy of the network that holds the average; None keeps it in tensors of its own.
        ramp: let the decay start at 1/10 and rise as (1 + step) / (10 + step) until ``decay``.
    """

    def __init__(self, network: nn.Module, decay: float, *, into: nn.Module | None = None, ramp: bool = True) -> None:
        self.decay, self.ramp = decay, ramp
        self.parameters: list[Tensor] = list(network.parameters())
        if into is None:
            self.average = [parameter.detach().clone().float() for parameter in self.parameters]
        else:
            self.average = [parameter.data for parameter in into.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step ``step`` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.ramp else self.decay
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

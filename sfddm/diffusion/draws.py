"""The random numbers that a loss draws besides its batch, by name."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sfddm.diffusion.randomness import further_noise

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Draws:
    """One normal image and one uniform number a name and image: functions of (seed, step) and of the names.

    Args:
        names: in their order; the order is part of what the numbers are a function of.
        seed: the training's own.
        step: the step, from 0.
        shape: (B, C, H, W) of the whole batch, over all processes.
        device: where the tensors live.
        share: this process's part of the batch.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        seed: int,
        step: int,
        shape: tuple[int, ...],
        device: torch.device,
        share: slice = slice(None),
    ) -> None:
        self._names, self._share = names, share
        self._asked = (seed, step, len(names), shape, device)

    @cached_property
    def _numbers(self) -> tuple[Tensor, Tensor]:
        return further_noise(*self._asked)

    def normal(self, name: str) -> Tensor:
        """Return (B, C, H, W) standard normal numbers."""
        return self._numbers[0][self._names.index(name), self._share]

    def uniform(self, name: str) -> Tensor:
        """Return (B,) numbers, uniform in [0, 1)."""
        return self._numbers[1][self._names.index(name), self._share]

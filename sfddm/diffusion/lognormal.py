"""Noise levels drawn from a lognormal distribution and moved to the nearest of a teacher's indices."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def lognormal_indices(uniform: Tensor, taus: Tensor, mean: float, deviation: float) -> Tensor:
    """Return (B,) indices of the levels nearest, in ln tau, to draws of ln tau ~ N(mean, deviation^2).

    Karras et al. 2022 (arXiv 2206.00364) draw tau from this distribution; moving it to an index is our choice for a
    teacher with T discrete steps. All that lies beyond the first or the last level falls on that level.

    Args:
        uniform: (B,) uniform in [0, 1).
        taus: (T,) sigma / signal, increasing.
        mean: of ln tau.
        deviation: its standard deviation, positive.
    """
    import torch

    drawn = mean + deviation * sqrt(2) * torch.erfinv(2 * uniform - 1)  # (B,), -inf for 0
    return nearest(drawn, taus.log())


def nearest(values: Tensor, among: Tensor) -> Tensor:
    """Return (B,) the positions of the nearest of (N,) increasing numbers to each of ``values`` (B,)."""
    import torch

    return torch.bucketize(values, (among[1:] + among[:-1]) / 2)

"""Noise schedules, in float64.

A schedule is its cumulative ``alphas_bar``, shape ``(T,)``, strictly decreasing within (0, 1). Everything else is
derived from it. A student's schedule is the teacher's at an increasing set of indices (SFDDM, section 3.3), so that the
student's marginal at its step k is the teacher's marginal at ``index_set[k]``, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfddm.runtime.errors import SfddmError

Float64 = NDArray[np.float64]
ScheduleKind = Literal["linear", "cosine", "sigmoid"]


@dataclass(frozen=True)
class Schedule:
    """A forward process, given by its cumulative alphas.

    Attributes:
        alphas_bar: (T,) float64, strictly decreasing, each in (0, 1).

    Raises:
        SfddmError: ``alphas_bar`` is empty, leaves (0, 1) or does not decrease strictly.
    """

    alphas_bar: Float64

    def __post_init__(self) -> None:
        alphas_bar = self.alphas_bar
        if alphas_bar.ndim != 1 or len(alphas_bar) == 0 or alphas_bar.dtype != np.float64:
            raise SfddmError("a schedule needs a non-empty vector of float64 cumulative alphas")
        if not (np.all(alphas_bar > 0) and np.all(alphas_bar < 1) and np.all(np.diff(alphas_bar) < 0)):
            raise SfddmError("the cumulative alphas of a schedule must fall strictly and stay between 0 and 1")

    @property
    def timesteps(self) -> int:
        """T, the number of steps."""
        return len(self.alphas_bar)

    @property
    def alphas(self) -> Float64:
        """(T,) per-step alphas: ``alphas_bar[k] / alphas_bar[k - 1]``, with 1 before the first."""
        alphas: Float64 = self.alphas_bar / np.concatenate([[1.0], self.alphas_bar[:-1]])
        return alphas

    @property
    def betas(self) -> Float64:
        """(T,) ``1 - alphas``, the variance added in each step."""
        return 1.0 - self.alphas

    @property
    def signal(self) -> Float64:
        """(T,) ``sqrt(alphas_bar)``: the factor on x0."""
        return np.sqrt(self.alphas_bar)

    @property
    def sigma(self) -> Float64:
        """(T,) ``sqrt(1 - alphas_bar)``: the factor on the noise."""
        return np.sqrt(1.0 - self.alphas_bar)


def make_schedule(
    kind: ScheduleKind,
    timesteps: int,
    *,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    cosine_offset: float = 0.008,
    sigmoid_start: float = -3.0,
    sigmoid_end: float = 3.0,
    sigmoid_tau: float = 1.0,
    max_beta: float = 0.999,
) -> Schedule:
    """Build a noise schedule of ``timesteps`` steps.

    ``linear``: betas from ``beta_start`` to ``beta_end`` (Ho et al. 2020, section 4), scaled by 1000/T so that the
    total noise does not depend on T. ``cosine``: Nichol & Dhariwal 2021, eq. 17. ``sigmoid``: Jabri et al. 2022,
    appendix B; start -3, end 3 and tau 1 are the released SFDDM code's defaults. Betas are capped at ``max_beta``.

    Raises:
        SfddmError: ``timesteps`` is below 1, or the result does not fall strictly within (0, 1).
    """
    if timesteps < 1:
        raise SfddmError(f"schedule.timesteps: must be at least 1, got {timesteps}")
    if kind == "linear":
        scale = 1000.0 / timesteps
        betas = np.linspace(beta_start * scale, beta_end * scale, timesteps)
    else:
        time = np.linspace(0.0, 1.0, timesteps + 1)
        if kind == "cosine":
            level = np.cos((time + cosine_offset) / (1.0 + cosine_offset) * np.pi / 2) ** 2
        else:
            low, high = _logistic(sigmoid_start / sigmoid_tau), _logistic(sigmoid_end / sigmoid_tau)
            position = (time * (sigmoid_end - sigmoid_start) + sigmoid_start) / sigmoid_tau
            level = (high - _logistic(position)) / (high - low)
        betas = 1.0 - level[1:] / level[:-1]
    return Schedule(np.cumprod(1.0 - np.minimum(betas, max_beta), dtype=np.float64))


def _logistic(value: float | Float64) -> Float64:
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(value, dtype=np.float64))))

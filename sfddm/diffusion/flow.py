"""The rectified flow of a variance-preserving process: the same points, scaled, at another time. Pure functions.

A point z = (1 - r) x0 + r eps is c x with c = sqrt((1 - r)^2 + r^2), at the level with signal (1 - r) / c and sigma
r / c. Its velocity is eps - x0 at the same point, so that every such teacher is a flow teacher, and a DDIM step is an
Euler step of the flow: both go straight on with the predicted x0 and eps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfddm.diffusion.process import NoiseLevel, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def flow_time(level: NoiseLevel) -> Tensor | float:
    """Return the flow's time r = sigma / (signal + sigma) of a level: 0 is clean, 1 is noise."""
    return level.sigma / (level.signal + level.sigma)


def flow_level(r: Tensor | float) -> NoiseLevel:
    """Return the level at the flow's time r in [0, 1]."""
    scale = ((1 - r) ** 2 + r**2) ** 0.5
    return NoiseLevel((1 - r) / scale, r / scale)


def flow_point(x: Tensor, level: NoiseLevel) -> Tensor:
    """Return z of a noised image x at a level; both (B, C, H, W). The scale c is 1 / (signal + sigma)."""
    return x / (level.signal + level.sigma)


def flow_velocity(prediction: Prediction) -> Tensor:
    """Return u = eps - x0, (B, C, H, W): of a step, the average velocity along it."""
    return prediction.eps - prediction.x0


def x0_of_velocity(u: Tensor, z: Tensor, r: Tensor | float) -> Tensor:
    """Return the x0 with which the velocity u leads on from z at the flow's time r: z - r u. All (B, C, H, W)."""
    return z - r * u

"""Multistep consistency sampling (Song et al. 2023, arXiv 2303.01469, Algorithm 1)."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from sfddm.diffusion.process import NoiseLevel, Prediction, q_sample
from sfddm.samplers.base import Sampler, Walk

if TYPE_CHECKING:
    from torch import Tensor


class ConsistencySampler(Sampler):
    """Predict the image, noise it afresh to the next level, predict again."""

    name = "consistency"
    title = "consistency"

    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """One evaluation a step; after the last one the image stays clean."""
        for k in walk.positions:
            prediction = walk.predict(x, k)
            x = consistency_step(prediction, walk.alpha_bar(k - 1), walk.step_noise(k) if k else None)
        return x


def consistency_step(prediction: Prediction, alpha_bar_next: float, noise: Tensor | None) -> Tensor:
    """Noise the predicted image afresh (Song et al. 2023, Algorithm 1); the last step leaves it clean.

    Args:
        prediction: x0 at the current level, (B, C, H, W).
        alpha_bar_next: cumulative alpha of the next level; 1 ends.
        noise: (B, C, H, W) standard normal.
    """
    if noise is None:
        return prediction.x0
    return q_sample(prediction.x0, noise, NoiseLevel(sqrt(alpha_bar_next), sqrt(1 - alpha_bar_next)))

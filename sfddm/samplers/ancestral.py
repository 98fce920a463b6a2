"""Ancestral sampling (Ho, Jain & Abbeel 2020, arXiv 2006.11239): every step draws from the posterior."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from sfddm.diffusion.process import Prediction
from sfddm.samplers.base import Sampler, Walk

if TYPE_CHECKING:
    from torch import Tensor


class Ancestral(Sampler):
    """With the smaller of the two variances of Ho et al., beta-tilde."""

    name = "ancestral"
    title = "ancestral"

    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """One evaluation a step; the last step draws no noise."""
        for k in walk.positions:
            prediction = walk.predict(x, k)
            noise = walk.step_noise(k) if k else None
            x = ancestral_step(x, prediction, walk.alpha_bar(k), walk.alpha_bar(k - 1), noise)
        return x


def ancestral_step(
    x: Tensor, prediction: Prediction, alpha_bar: float, alpha_bar_next: float, noise: Tensor | None
) -> Tensor:
    """Draw from the posterior q(x_next | x, x0): Ho et al. 2020, eqs. 6 and 7, variance beta-tilde.

    Args:
        x: (B, C, H, W) the current images.
        prediction: x0 and eps at the current level.
        alpha_bar: cumulative alpha of the current level, in (0, 1).
        alpha_bar_next: that of the cleaner level, in (alpha_bar, 1]; 1 ends at x0, without noise.
        noise: (B, C, H, W) standard normal.
    """
    alpha = alpha_bar / alpha_bar_next
    beta = 1 - alpha
    mean = (
        sqrt(alpha_bar_next) * beta / (1 - alpha_bar) * prediction.x0
        + sqrt(alpha) * (1 - alpha_bar_next) / (1 - alpha_bar) * x
    )
    variance = beta * (1 - alpha_bar_next) / (1 - alpha_bar)
    return mean if variance == 0 or noise is None else mean + sqrt(variance) * noise

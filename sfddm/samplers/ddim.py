"""DDIM (Song, Meng & Ermon 2021, arXiv 2010.02502): Euler steps in x / signal over sigma / signal."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from sfddm.diffusion.process import Prediction
from sfddm.samplers.base import Sampler, Walk

if TYPE_CHECKING:
    from torch import Tensor


class DDIM(Sampler):
    """With any eta: 0 is deterministic, 1 has the variance of ancestral sampling."""

    name = "ddim"
    title = "DDIM"
    takes_eta = True

    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """One evaluation a step."""
        for k in walk.positions:
            prediction = walk.predict(x, k)
            noise = walk.step_noise(k) if self.eta > 0 and k else None
            x = ddim_step(prediction, walk.alpha_bar(k), walk.alpha_bar(k - 1), self.eta, noise)
        return x


def ddim_step(
    prediction: Prediction,
    alpha_bar: float,
    alpha_bar_next: float,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Step from a level to a cleaner one: DDIM (Song et al. 2021), eq. 12 with the sigma of eq. 16.

    Args:
        prediction: x0 and eps at the current level, each (B, C, H, W).
        alpha_bar: cumulative alpha of the current level, in (0, 1).
        alpha_bar_next: that of the cleaner level, in (alpha_bar, 1]; 1 ends at x0.
        eta: 0 is deterministic, 1 has the variance of ancestral sampling.
        noise: (B, C, H, W) standard normal; needed when eta > 0.
    """
    sigma = eta * sqrt((1 - alpha_bar_next) / (1 - alpha_bar)) * sqrt(1 - alpha_bar / alpha_bar_next)
    direction = sqrt(max(1 - alpha_bar_next - sigma**2, 0.0))
    x_next = sqrt(alpha_bar_next) * prediction.x0 + direction * prediction.eps
    return x_next if sigma == 0 or noise is None else x_next + sigma * noise

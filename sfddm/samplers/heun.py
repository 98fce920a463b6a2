"""Heun's method (Karras et al. 2022, arXiv 2206.00364, Algorithm 1 without churn), of second order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfddm.diffusion.process import prediction_from
from sfddm.samplers.base import Sampler, Walk
from sfddm.samplers.ddim import ddim_step

if TYPE_CHECKING:
    from torch import Tensor


class Heun(Sampler):
    """A DDIM step, then the same step again with the mean of the noise predicted at its two ends.

    Its steps are linear in tau = sigma / signal, as in EDM, whose tau starts at 80. Where x_T holds almost no signal,
    tau starts in the thousands, and the first step magnifies any change of the predicted image by its length over twice
    the tau where it ends: give such a model an index set that starts lower.
    """

    name = "heun"
    title = "Heun"

    def evaluations(self, steps: int) -> int:
        """Two a step, one in the last."""
        return 2 * steps - 1

    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """Two evaluations a step, one in the last: 2 T' - 1."""
        for k in walk.positions:
            here, there = walk.alpha_bar(k), walk.alpha_bar(k - 1)
            prediction = walk.predict(x, k)
            x_next = ddim_step(prediction, here, there)
            if k:
                eps = (prediction.eps + walk.predict(x_next, k - 1).eps) / 2
                x_next = ddim_step(prediction_from("epsilon", eps, x, walk.level(k)), here, there)
            x = x_next
        return x

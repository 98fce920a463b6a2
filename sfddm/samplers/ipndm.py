"""iPNDM (Zhang & Chen 2023, arXiv 2204.13902): DDIM with a noise extrapolated from the steps before.

The step to the clean image is DDIM's. The released code has none: it stops at tau = 0.002. diffusers extrapolates
there, too, which at 5 to 8 evenly spread steps can triple the error, for the weights are those of equal steps in tau.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfddm.diffusion.process import prediction_from
from sfddm.samplers.base import Sampler, Walk
from sfddm.samplers.ddim import ddim_step

if TYPE_CHECKING:
    from torch import Tensor

#: Adams-Bashforth weights of the noise now and before, of orders 1 to 4; they are those of equal steps.
ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


class IPNDM(Sampler):
    """With the weights of order 4 where the past suffices."""

    name = "ipndm"
    title = "iPNDM"

    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """One evaluation a step."""
        past: list[Tensor] = []  # the newest first
        for k in walk.positions:
            prediction = walk.predict(x, k)
            past = [prediction.eps, *past[:3]]
            if len(past) > 1 and k:
                weighted = [weight * eps for weight, eps in zip(ADAMS_BASHFORTH[len(past) - 1], past, strict=True)]
                eps = sum(weighted[1:], start=weighted[0])
                prediction = prediction_from("epsilon", eps, x, walk.level(k))
            x = ddim_step(prediction, walk.alpha_bar(k), walk.alpha_bar(k - 1))
        return x

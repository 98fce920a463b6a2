"""DDIM from noise scaled to the first step's level, as variance-exploding samplers start: x / signal = tau n."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfddm.samplers.base import Sampler, Walk
from sfddm.samplers.ddim import DDIM

if TYPE_CHECKING:
    from torch import Tensor


class ScaledDDIM(Sampler):
    """For a model that was trained to see no signal at its noisiest step, whatever that step's level.

    tau = sigma / signal, so x = signal tau n = sigma n. At the last of a teacher's steps, where sigma is almost 1, this
    is almost DDIM.
    """

    name = "ddim-scaled"
    title = "DDIM, scaled noise"

    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """One evaluation a step."""
        first = walk.level(walk.positions[0])
        return DDIM(self.eta, self.clip).sample(walk, first.sigma * x)

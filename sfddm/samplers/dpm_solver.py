"""DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, Algorithm 2): DDIM with an x0 extrapolated from the last two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfddm.diffusion.process import prediction_from
from sfddm.samplers.base import Sampler, Walk
from sfddm.samplers.ddim import ddim_step

if TYPE_CHECKING:
    from torch import Tensor


class DPMSolver(Sampler):
    """Of second order in lambda = log(signal / sigma); the first step, and that to the clean image, are DDIM's."""

    name = "dpm-solver"
    title = "DPM-Solver++(2M)"

    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """One evaluation a step."""
        before: Tensor | None = None
        for k in walk.positions:
            prediction = walk.predict(x, k)
            x0 = prediction.x0
            if before is not None and k:
                now = walk.half_log_snr(k)
                growth = (walk.half_log_snr(k - 1) - now) / (now - walk.half_log_snr(k + 1))
                extrapolated = x0 + growth / 2 * (x0 - before)
                prediction = prediction_from("x0", extrapolated, x, walk.level(k))
            before = x0
            x = ddim_step(prediction, walk.alpha_bar(k), walk.alpha_bar(k - 1))
        return x

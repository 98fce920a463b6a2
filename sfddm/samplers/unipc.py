"""UniPC (Zhao et al. 2023, arXiv 2302.04867): a predictor, and a corrector that costs no evaluation of its own.

With B(h) = e^h - 1 ("bh2") and a network that predicts x0, both are DDIM steps with another x0: that of the step, and
differences to those before it (predictor) and to the one found at its end (corrector), weighted so that polynomials in
lambda = log(signal / sigma) are integrated exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import expm1, factorial
from typing import TYPE_CHECKING

import numpy as np

from sfddm.diffusion.process import prediction_from
from sfddm.samplers.base import Sampler, Walk
from sfddm.samplers.ddim import ddim_step

if TYPE_CHECKING:
    from torch import Tensor

ORDER = 3


class UniPC(Sampler):
    """Of order 3; lower in the first steps, for want of a past, and in the last, which end where lambda is infinite."""

    name = "unipc"
    title = "UniPC"

    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """One evaluation a step: the corrector uses that of the next step."""
        past: list[Tensor] = []  # x0 at k + 1, k + 2, ..., as predicted there
        start = x
        for k in walk.positions:
            x0 = walk.predict(x, k).x0
            if past:
                x = move(walk, k + 1, start, past, found=x0)
            past = [x0, *past][: min(ORDER, k + 1)]
            start, x = x, move(walk, k, x, past)
        return x


def move(walk: Walk, k: int, x: Tensor, past: Sequence[Tensor], found: Tensor | None = None) -> Tensor:
    """Step from position k to k - 1.

    Args:
        walk: what is walked down.
        k: the position.
        x: (B, C, H, W) images there.
        past: x0 predicted at k, k + 1, ...; as many as the order, one where k = 0.
        found: x0 predicted where the step ends, for the corrector.
    """
    first = past[0]
    ends = [*range(k + 1, k + len(past)), *([] if found is None else [k - 1])]  # positions beside k
    x0 = first
    if ends:
        here = walk.half_log_snr(k)
        step = walk.half_log_snr(k - 1) - here
        ratios = [(walk.half_log_snr(end) - here) / step for end in ends]
        others = [*past[1:], *([] if found is None else [found])]
        for weight, ratio, other in zip(weights(ratios, step), ratios, others, strict=True):
            x0 = x0 + weight / ratio * (other - first)
    return ddim_step(prediction_from("x0", x0, x, walk.level(k)), walk.alpha_bar(k), walk.alpha_bar(k - 1))


def weights(ratios: Sequence[float], step: float) -> list[float]:
    """Return the weights of the difference quotients: Zhao et al. 2023, eq. 5 and Theorem 3.1, with B(h) = e^h - 1.

    A single one is 1/2, as in the released code.

    Args:
        ratios: (n,) distances in lambda to where the differences are taken, in units of the step.
        step: h, the step in lambda.
    """
    if len(ratios) == 1:
        return [0.5]
    powers = np.vander(ratios, increasing=True).T  # (n, n), row i: ratio^i
    total, phi = expm1(-step), expm1(-step)
    right = []
    for i in range(1, len(ratios) + 1):
        phi = phi / -step - 1 / factorial(i)
        right.append(phi * factorial(i) / total)
    return [float(weight) for weight in np.linalg.solve(powers, right)]

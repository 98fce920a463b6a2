"""Reverse processes: DDIM with any eta, ancestral sampling, and multistep consistency sampling.

All walk down an index set of the model's own steps; the levels come from its float64 schedule as plain numbers, so
that a step loses nothing to rounding before it meets the images.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING

from sfddm.diffusion.process import NoiseLevel, Prediction, q_sample

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.methods.base import Sampler
    from sfddm.networks.denoiser import Denoiser
    from sfddm.networks.ensemble import Ensemble

#: (step position k) -> (B, C, H, W) standard normal noise for the step that leaves k.
StepNoise = Callable[[int], "Tensor"]


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


def sample(
    denoiser: Denoiser | Ensemble, index_set: tuple[int, ...], sampler: Sampler, x: Tensor, step_noise: StepNoise
) -> Tensor:
    """Walk from noise to images along ``index_set``, one network evaluation a step.

    Args:
        denoiser: the model; it stands for every index of ``index_set``.
        index_set: (T',) increasing teacher indices; walked from the last to the first, then to the clean image.
        sampler: DDIM or ancestral, eta, clipping.
        x: (B, C, H, W) standard normal noise.
        step_noise: noise of the random steps; not called by a deterministic sampler.

    Returns:
        (B, C, H, W) images, in [-1, 1] when the sampler clips.
    """
    levels = [denoiser.alpha_bar(t) for t in index_set]
    random = sampler.kind != "ddim" or sampler.eta > 0
    for k in reversed(range(len(index_set))):
        t = denoiser.batch_of(index_set[k], len(x))  # (B,)
        prediction = denoiser.predict(x, t)
        here, there = levels[k], levels[k - 1] if k else 1.0
        if sampler.clip:
            prediction = prediction.clipped(x, NoiseLevel(sqrt(here), sqrt(1 - here)))
        noise = step_noise(k) if random and k else None
        if sampler.kind == "ancestral":
            x = ancestral_step(x, prediction, here, there, noise)
        elif sampler.kind == "consistency":
            x = consistency_step(prediction, there, noise)
        else:
            x = ddim_step(prediction, here, there, sampler.eta, noise)
    return x

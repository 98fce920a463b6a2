"""The forward process and the three ways to say what a network predicts. Pure functions; nothing here draws noise.

Notation of Salimans & Ho 2022: x_t = alpha x0 + sigma eps, with alpha = sqrt(alphas_bar_t) (``signal`` here, since the
SFDDM paper's alpha is cumulative) and sigma = sqrt(1 - alphas_bar_t).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

PredictionKind = Literal["epsilon", "v", "x0", "consistency"]
#: What a network that sees pure noise n and a step t makes of them: y_t ("signal") or y_t + tau_t n ("trajectory") of
#: a path signal_t y_t + sigma_t n of the teacher, tau = sigma / signal.
FromNoise = Literal["signal", "trajectory"]


@dataclass(frozen=True)
class NoiseLevel:
    """How much signal and noise a noised image holds; signal^2 + sigma^2 = 1.

    Attributes:
        signal: (B, 1, 1, 1), or a number for a whole batch: sqrt(alphas_bar).
        sigma: likewise: sqrt(1 - alphas_bar).
    """

    signal: Tensor | float
    sigma: Tensor | float


#: The level of a clean image.
CLEAN = NoiseLevel(1.0, 0.0)


@dataclass(frozen=True)
class Prediction:
    """What a network says of a noised image; the two agree: x_t = signal x0 + sigma eps.

    Attributes:
        x0: (B, C, H, W) the clean image, about [-1, 1].
        eps: (B, C, H, W) the noise.
    """

    x0: Tensor
    eps: Tensor

    def clipped(self, x: Tensor, level: NoiseLevel) -> Prediction:
        """Clip x0 to [-1, 1] and derive the noise again, so that both still explain ``x`` (B, C, H, W)."""
        x0 = self.x0.clamp(-1.0, 1.0)
        return Prediction(x0, eps_from_x0(x, x0, level))


def q_sample(x0: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
    """Draw x_t from q(x_t | x0) (Ho et al. 2020, eq. 4). All (B, C, H, W)."""
    return level.signal * x0 + level.sigma * noise


def x0_from_eps(x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """Return the clean image that noise ``eps`` implies; ill-conditioned where the signal is near 0."""
    return (x - level.sigma * eps) / level.signal


def eps_from_x0(x: Tensor, x0: Tensor, level: NoiseLevel) -> Tensor:
    """Return the noise that the clean image ``x0`` implies; ill-conditioned where sigma is near 0."""
    return (x - level.signal * x0) / level.sigma


def velocity(x0: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """Return v = signal eps - sigma x0 (Salimans & Ho 2022, section 4)."""
    return level.signal * eps - level.sigma * x0


def prediction_from(kind: PredictionKind, raw: Tensor, x: Tensor, level: NoiseLevel) -> Prediction:
    """Turn a network's raw output at ``x`` into both x0 and eps. All (B, C, H, W)."""
    if kind == "epsilon":
        return Prediction(x0_from_eps(x, raw, level), raw)
    if kind == "x0":
        return Prediction(raw, eps_from_x0(x, raw, level))
    return Prediction(level.signal * x - level.sigma * raw, level.sigma * x + level.signal * raw)


def consistency_prediction(raw: Tensor, x: Tensor, level: NoiseLevel, smallest: NoiseLevel) -> Prediction:
    """Turn a network's raw output into a consistency function, whose x0 at the ``smallest`` level is x / signal.

    Song et al. 2023, eq. 5 and appendix C with sigma_data = 1, at noise tau = sigma / signal: c_skip =
    1 / ((tau - tau_min)^2 + 1), c_out = (tau - tau_min) / sqrt(tau^2 + 1), and F minus the raw output, so that with
    tau_min = 0 the raw output is v. All (B, C, H, W).
    """
    beyond = level.sigma / level.signal - smallest.sigma / smallest.signal
    x0 = x / level.signal / (beyond * beyond + 1) - beyond * level.signal * raw  # 1 / sqrt(tau^2 + 1) is the signal
    return Prediction(x0, eps_from_x0(x, x0, level))


def image_of_noise(kind: PredictionKind, raw: Tensor, noise: Tensor, last: NoiseLevel) -> Tensor:
    """Return F, the image that the raw output for pure noise means, whatever step the network was told. (B, C, H, W).

    It is the x0 that the same output for this noise would mean at the ``last`` level, so that a student with its
    teacher's weights says the teacher's x0 there: the output itself for x0, almost minus it for v. An output that
    predicts epsilon is divided by the last level's signal, and is of no use. Our choice; the papers' networks say F.
    """
    return prediction_from(kind, raw, noise, last).x0


def signal_of_trajectory(image: Tensor, level: NoiseLevel, last: NoiseLevel) -> Tensor:
    """Return y_t = (1 - tau_t / tau_T) F, which is 0 at the ``last`` level whatever F says. (B, C, H, W).

    The trajectory y_t + tau_t n is then PID's (Tee et al. 2024): (tau_t / tau_T) z + (1 - tau_t / tau_T) F with
    z = tau_T n.
    """
    share = (level.sigma / level.signal) / (last.sigma / last.signal)
    return (1 - share) * image


def prediction_of_noise(
    what: FromNoise, image: Tensor, noise: Tensor, level: NoiseLevel, last: NoiseLevel
) -> Prediction:
    """Return the image that a network of noise stands for at ``level``, as x0. All (B, C, H, W).

    x0 and eps agree on the point of the path, signal x0 + sigma eps, and not on the noise that the network saw. A point
    of the trajectory is shown as it is, with all its noise in x0.

    Args:
        what: of the path.
        image: F.
        noise: n.
        level: of the step t that the network was told.
        last: of the noisiest step.
    """
    if what == "signal":
        return Prediction(image, noise)
    signal = signal_of_trajectory(image, level, last)
    return Prediction(signal + level.sigma / level.signal * noise, noise.new_zeros(noise.shape))


def training_target(kind: PredictionKind, x0: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
    """Return what a network of this kind should output at q_sample(x0, noise, level). (B, C, H, W)."""
    if kind == "epsilon":
        return noise
    return x0 if kind == "x0" else velocity(x0, noise, level)


def ddim_move(prediction: Prediction, level: NoiseLevel) -> Tensor:
    """Take a deterministic DDIM step to ``level`` (Song et al. 2021, eq. 12 with sigma 0). All (B, C, H, W).

    It re-noises the predicted image with the predicted noise, so it is q_sample of the two.
    """
    return q_sample(prediction.x0, prediction.eps, level)


def x0_of_move(z: Tensor, z_next: Tensor, level: NoiseLevel, level_next: NoiseLevel) -> Tensor:
    """Return the x0 with which one DDIM step from z at ``level`` arrives at z_next at ``level_next``, a cleaner one.

    Salimans & Ho 2022, Algorithm 2: (z'' - (sigma''/sigma) z) / (alpha'' - (sigma''/sigma) alpha). All (B, C, H, W).
    """
    ratio = level_next.sigma / level.sigma
    return (z_next - ratio * z) / (level_next.signal - ratio * level.signal)


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Return (B,) the mean over pixels of the squared difference of two (B, C, H, W)."""
    return (prediction - target).square().flatten(1).mean(1)


def mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Return (B,) the mean over pixels of the absolute difference of two (B, C, H, W)."""
    return (prediction - target).abs().flatten(1).mean(1)


def signal_to_noise(level: NoiseLevel) -> Tensor:
    """Return (B,) signal^2 / sigma^2 of a level given as tensors (B, 1, 1, 1)."""
    ratio = level.signal / level.sigma
    return (ratio * ratio).flatten(1).mean(1)  # type: ignore[union-attr]

"""A mixture of isotropic Gaussians with classes: a data set whose noised density, score and denoiser are known exactly.

If x0 comes from component m, N(mu_m, s_m^2 I), then x_t = sqrt(abar) x0 + sqrt(1 - abar) eps comes from
N(sqrt(abar) mu_m, v_m I) with v_m = abar s_m^2 + 1 - abar. All else follows by Bayes' rule over the components; what is
conditional on classes is the same of a smaller mixture (``Mixture.given``). Everything is float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfddm.diffusion.schedule import Float64
from sfddm.runtime.errors import SfddmError


@dataclass(frozen=True)
class Mixture:
    """M components in D dimensions.

    Attributes:
        means: (M, D).
        sigma: (M,) standard deviation of each component, or one number for all; positive.
        weights: (M,) positive, with sum 1.
        classes: (M,) int64, the class of each component.

    Raises:
        SfddmError: shapes differ, a deviation or weight is not positive, or the weights do not sum to 1.
    """

    means: Float64
    sigma: Float64 | float
    weights: Float64
    classes: NDArray[np.int64]

    def __post_init__(self) -> None:
        components = (len(self.means),)
        if self.means.ndim != 2 or np.shape(self.sigma) not in ((), components):
            raise SfddmError("a mixture needs means (M, D) and one deviation, or one for each component")
        if not self.weights.shape == self.classes.shape == components:
            raise SfddmError("a mixture needs one weight and one class for each component")
        if np.any(np.asarray(self.sigma) <= 0) or np.any(self.weights <= 0) or abs(self.weights.sum() - 1) > 1e-9:
            raise SfddmError("a mixture's deviations and weights must be positive, and its weights sum to 1")

    @property
    def variances(self) -> Float64:
        """(M,) the squared deviations."""
        return np.broadcast_to(np.square(self.sigma, dtype=np.float64), (len(self.means),))

    def class_weights(self) -> dict[int, float]:
        """Return the probability of each class."""
        return {int(c): float(self.weights[self.classes == c].sum()) for c in np.unique(self.classes)}

    def given(self, classes: int | Iterable[int]) -> Mixture:
        """Return the mixture conditional on a class, or on one of several classes.

        Raises:
            SfddmError: no component is of these classes.
        """
        wanted = [classes] if isinstance(classes, int) else list(classes)
        kept = np.isin(self.classes, wanted)
        if not kept.any():
            raise SfddmError(f"the mixture has no component of class {', '.join(map(str, wanted))}")
        weights = self.weights[kept] / self.weights[kept].sum()
        return Mixture(self.means[kept], np.sqrt(self.variances[kept]), weights, self.classes[kept])


def petals(classes: int = 8, modes: int = 4, sigma: float = 0.04, turn: float = 0.9) -> Mixture:
    """Return a mixture in the plane whose classes are the arms of a spiral, each a row of ``modes`` components.

    The arms start 0.3 from the middle and end at 0.8, turned by ``turn`` radians on the way, so that with the default
    deviation every component lies within [-1, 1]^2 to five deviations. One arm is a short curve, which a
    small one-step generator can follow; all of them together are 32 islands, between which it has to tear the plane.
    """
    along = np.linspace(0.0, 1.0, modes)  # (modes,)
    radius = 0.3 + 0.5 * along
    angle = 2 * np.pi * np.arange(classes)[:, None] / classes + turn * along  # (classes, modes)
    means = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1, 2)
    count = classes * modes
    return Mixture(means, sigma, np.full(count, 1 / count), np.repeat(np.arange(classes), modes))


def sample_mixture(mixture: Mixture, count: int, generator: np.random.Generator) -> tuple[Float64, NDArray[np.int64]]:
    """Draw ``count`` points of the clean mixture; returns points (N, D) and the classes they come from (N,)."""
    component = generator.choice(len(mixture.means), size=count, p=mixture.weights)  # (N,)
    noise = generator.standard_normal((count, mixture.means.shape[1]))
    points = mixture.means[component] + np.sqrt(mixture.variances[component])[:, None] * noise
    return points, mixture.classes[component]


def log_density(mixture: Mixture, x: Float64, alpha_bar: float) -> Float64:
    """Return (N,) log q_t of points x (N, D) at the noise level ``alpha_bar`` in [0, 1]; 1 is the clean data."""
    return _log_sum(_log_joint(mixture, x, alpha_bar))


def responsibilities(mixture: Mixture, x: Float64, alpha_bar: float) -> Float64:
    """Return (N, M) the probability that x_t = x (N, D) comes from each component; rows sum to 1."""
    joint = _log_joint(mixture, x, alpha_bar)
    return np.exp(joint - _log_sum(joint)[:, None])


def class_probabilities(mixture: Mixture, x: Float64, alpha_bar: float) -> dict[int, Float64]:
    """Return for each class (N,) the probability that x_t = x (N, D) comes from it."""
    of_components = responsibilities(mixture, x, alpha_bar)
    return {c: of_components[:, mixture.classes == c].sum(axis=1) for c in mixture.class_weights()}


def score(mixture: Mixture, x: Float64, alpha_bar: float) -> Float64:
    """Return (N, D) the gradient of log q_t at x (N, D): sum_m r_m(x) (sqrt(abar) mu_m - x) / v_m."""
    share = responsibilities(mixture, x, alpha_bar) / _noised_variances(mixture, alpha_bar)  # (N, M)
    gradient: Float64 = np.sqrt(alpha_bar) * share @ mixture.means - share.sum(axis=1, keepdims=True) * x
    return gradient


def posterior_mean(mixture: Mixture, x: Float64, alpha_bar: float) -> Float64:
    """Return (N, D) E[x0 | x_t = x]: sum_m r_m(x) (mu_m + sqrt(abar) s_m^2 / v_m (x - sqrt(abar) mu_m)).

    It is what a perfect denoiser of this data predicts.
    """
    of_components = responsibilities(mixture, x, alpha_bar)
    gain = np.sqrt(alpha_bar) * mixture.variances / _noised_variances(mixture, alpha_bar)  # (M,)
    shrunk = (1 - np.sqrt(alpha_bar) * gain)[:, None] * mixture.means
    mean: Float64 = of_components @ shrunk + (of_components @ gain)[:, None] * x
    return mean


def expected_noise(mixture: Mixture, x: Float64, alpha_bar: float) -> Float64:
    """Return (N, D) E[eps | x_t = x] = -sqrt(1 - abar) times the score."""
    noise: Float64 = -np.sqrt(1 - alpha_bar) * score(mixture, x, alpha_bar)
    return noise


def _noised_variances(mixture: Mixture, alpha_bar: float) -> Float64:
    return alpha_bar * mixture.variances + 1 - alpha_bar


def _log_joint(mixture: Mixture, x: Float64, alpha_bar: float) -> Float64:
    """Return (N, M) log of weight times density of each component at x (N, D)."""
    variance = _noised_variances(mixture, alpha_bar)
    difference = x[:, None, :] - np.sqrt(alpha_bar) * mixture.means  # (N, M, D)
    squared = np.square(difference).sum(axis=2)
    joint: Float64 = np.log(mixture.weights) - 0.5 * (squared / variance + x.shape[1] * np.log(2 * np.pi * variance))
    return joint


def _log_sum(joint: Float64) -> Float64:
    """Return (N,) the logarithm of the sum of exponentials over (N, M), without overflow."""
    largest = joint.max(axis=1)
    return np.asarray(largest + np.log(np.exp(joint - largest[:, None]).sum(axis=1)))

"""The analytic mixture, against torch's own distributions, numerical integration, Monte Carlo and Bayes' rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from sfddm.data.gaussians import (
    Mixture,
    class_probabilities,
    expected_noise,
    log_density,
    petals,
    posterior_mean,
    responsibilities,
    sample_mixture,
    score,
)
from sfddm.diffusion.schedule import Float64
from sfddm.runtime.errors import SfddmError

levels = st.floats(0.0, 1.0) | st.sampled_from([0.0, 1e-9, 1.0])
seeds = st.integers(0, 10_000)


def random_mixture(seed: int, dimensions: int = 2) -> Mixture:
    draw = np.random.default_rng(seed)
    count = int(draw.integers(2, 9))
    weights = draw.uniform(0.1, 1.0, count)
    classes = np.concatenate([[0, 1], draw.integers(0, 3, count - 2)])
    return Mixture(
        draw.uniform(-1, 1, (count, dimensions)), draw.uniform(0.05, 0.5, count), weights / weights.sum(), classes
    )


def points(seed: int, count: int = 7) -> Float64:
    return np.random.default_rng(seed + 1).normal(size=(count, 2))


def torch_log_density(mixture: Mixture, x: Tensor, alpha_bar: float) -> Tensor:
    """The same density by torch: x_t is a sum of two independent Gaussians, so their variances add."""
    deviation = torch.tensor(np.sqrt(alpha_bar * mixture.variances + (1 - alpha_bar)))[:, None].expand(-1, 2)
    components = Independent(Normal(alpha_bar**0.5 * torch.tensor(mixture.means), deviation), 1)
    return MixtureSameFamily(Categorical(torch.tensor(mixture.weights)), components).log_prob(x)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_density_and_score_are_those_of_torch(seed: int, alpha_bar: float) -> None:
    mixture, x = random_mixture(seed), points(seed)
    given_x = torch.tensor(x, requires_grad=True)
    wanted = torch_log_density(mixture, given_x, alpha_bar)
    (gradient,) = torch.autograd.grad(wanted.sum(), given_x)
    np.testing.assert_allclose(log_density(mixture, x, alpha_bar), wanted.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(score(mixture, x, alpha_bar), gradient.numpy(), rtol=1e-9, atol=1e-9)
    noise = expected_noise(mixture, x, alpha_bar)
    np.testing.assert_allclose(noise, -np.sqrt(1 - alpha_bar) * gradient.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("alpha_bar", [0.01, 0.5, 0.95])
def test_posterior_mean_is_the_integral(alpha_bar: float) -> None:
    mixture, x = random_mixture(4), points(4, count=3)
    axis = np.linspace(-4, 4, 801)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # of x0; the steps are equal, so a sum will do
    clean = torch_log_density(mixture, torch.tensor(grid), 1.0).exp().numpy()
    for k in range(len(x)):
        likelihood = np.exp(-np.square(x[k] - np.sqrt(alpha_bar) * grid).sum(axis=1) / (2 * (1 - alpha_bar)))
        wanted = (clean * likelihood) @ grid / (clean * likelihood).sum()
        np.testing.assert_allclose(posterior_mean(mixture, x[k : k + 1], alpha_bar)[0], wanted, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(1e-3, 1.0))
def test_x0_and_noise_explain_the_point(seed: int, alpha_bar: float) -> None:
    mixture, x = random_mixture(seed), points(seed)
    again = np.sqrt(alpha_bar) * posterior_mean(mixture, x, alpha_bar)
    again += np.sqrt(1 - alpha_bar) * expected_noise(mixture, x, alpha_bar)
    np.testing.assert_allclose(again, x, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_classes_mix_back_to_the_whole(seed: int, alpha_bar: float) -> None:
    mixture, x = random_mixture(seed), points(seed)
    prior = mixture.class_weights()
    assert sum(prior.values()) == pytest.approx(1)
    shares = class_probabilities(mixture, x, alpha_bar)
    parts = {c: mixture.given(c) for c in prior}
    density = sum(prior[c] * np.exp(log_density(part, x, alpha_bar)) for c, part in parts.items())
    np.testing.assert_allclose(density, np.exp(log_density(mixture, x, alpha_bar)), rtol=1e-9)
    for c, part in parts.items():  # Bayes' rule
        np.testing.assert_allclose(shares[c] * density, prior[c] * np.exp(log_density(part, x, alpha_bar)), rtol=1e-9)
    for function in (score, posterior_mean, expected_noise):
        mixed = sum(shares[c][:, None] * function(part, x, alpha_bar) for c, part in parts.items())
        np.testing.assert_allclose(mixed, function(mixture, x, alpha_bar), rtol=1e-8, atol=1e-8)


def test_a_subset_of_classes_is_a_mixture_of_them() -> None:
    mixture, x = petals(), points(0)
    some = mixture.given((1, 5, 6))
    assert set(some.classes) == {1, 5, 6}
    assert some.weights == pytest.approx(1 / 12)
    parts = [np.exp(log_density(mixture.given(c), x, 0.7)) / 3 for c in (1, 5, 6)]
    np.testing.assert_allclose(sum(parts), np.exp(log_density(some, x, 0.7)))
    np.testing.assert_allclose(score(mixture.given(range(8)), x, 0.7), score(mixture, x, 0.7))


def test_far_from_everything_nothing_overflows() -> None:
    mixture, x = petals(), np.array([[1e3, -1e3], [0.0, 0.0]])
    for alpha_bar in (1e-12, 0.5, 1.0):
        assert np.isfinite(score(mixture, x, alpha_bar)).all()
        np.testing.assert_allclose(responsibilities(mixture, x, alpha_bar).sum(axis=1), 1)


def test_without_signal_the_point_says_nothing() -> None:
    mixture = random_mixture(9)
    found = posterior_mean(mixture, points(9), 0.0)
    np.testing.assert_allclose(found, np.broadcast_to(mixture.weights @ mixture.means, found.shape))


def test_samples_have_the_mixtures_moments_and_classes() -> None:
    mixture = random_mixture(2)
    drawn, classes = sample_mixture(mixture, 200_000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(axis=0), mixture.weights @ mixture.means, atol=0.01)
    second = mixture.weights @ (np.square(mixture.means) + mixture.variances[:, None])
    np.testing.assert_allclose(np.square(drawn).mean(axis=0), second, atol=0.01)
    for c, weight in mixture.class_weights().items():
        assert (classes == c).mean() == pytest.approx(weight, abs=0.01)
        part = mixture.given(c)
        np.testing.assert_allclose(drawn[classes == c].mean(axis=0), part.weights @ part.means, atol=0.02)
    again, _ = sample_mixture(mixture, 200_000, np.random.default_rng(0))
    assert np.array_equal(drawn, again)


def test_petals_lie_in_the_square_and_apart() -> None:
    mixture = petals()
    assert mixture.means.shape == (32, 2)
    assert np.bincount(mixture.classes).tolist() == [4] * 8
    assert np.linalg.norm(mixture.means, axis=1).max() + 5 * np.max(mixture.sigma) <= 1 + 1e-12
    apart = np.linalg.norm(mixture.means[:, None] - mixture.means, axis=2) + np.eye(32)
    assert apart.min() > 4.5 * np.max(mixture.sigma)


@pytest.mark.parametrize(
    "parts",
    [
        (np.zeros((2, 2)), np.ones(3), np.full(2, 0.5), np.zeros(2, int)),
        (np.zeros((2, 2)), 0.0, np.full(2, 0.5), np.zeros(2, int)),
        (np.zeros((2, 2)), 1.0, np.full(2, 0.6), np.zeros(2, int)),
        (np.zeros((2, 2)), 1.0, np.full(2, 0.5), np.zeros(3, int)),
    ],
)
def test_what_is_no_mixture_is_refused(parts: tuple[Float64, Float64 | float, Float64, np.ndarray]) -> None:
    with pytest.raises(SfddmError, match="mixture"):
        Mixture(*parts)
    with pytest.raises(SfddmError, match="no component of class 9"):
        petals().given(9)

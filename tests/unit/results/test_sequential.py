"""Confidence sequences: held against numerical integration, and against what happens when one stops at will."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from sfddm.results.sequential import critical_t, evidence, p_value
from sfddm.results.statistics import Difference, Estimate, difference, mean_over_seeds

PATHS, FEWEST, MOST, CONFIDENCE = 2000, 3, 10, 0.95


def excluded(interval: Estimate, value: float) -> bool:
    return interval.low is not None and interval.high is not None and not interval.low <= value <= interval.high


def test_stopping_at_the_first_interval_without_0_is_no_error_of_more_than_the_level() -> None:
    """Over 2,000 studies without a difference, looked at after 3, 4, ..., 10 seeds; Student's interval is no such."""
    generator = np.random.default_rng(0)
    found = {"sequence": 0, "student": 0}
    for values in generator.normal(0, 3, (PATHS, MOST)).tolist():
        found["sequence"] += any(excluded(interval(values[:n]), 0) for n in range(FEWEST, MOST + 1))
        found["student"] += any(excluded(student(values[:n]), 0) for n in range(FEWEST, MOST + 1))
    assert found["sequence"] / PATHS <= 0.05
    assert found["student"] / PATHS > 0.1


def test_it_holds_on_a_long_way_too() -> None:
    generator = np.random.default_rng(1)
    paths = generator.normal(5, 0.1, (400, 200)).tolist()
    wrong = sum(any(excluded(interval(values[:n]), 5) for n in range(2, 201)) for values in paths)
    assert wrong / len(paths) <= 0.05


def test_a_difference_is_found() -> None:
    generator = np.random.default_rng(2)
    paths = generator.normal(3, 1, (200, MOST)).tolist()
    assert sum(excluded(interval(values), 0) for values in paths) > 190


@pytest.mark.parametrize("values", [(1.3, -0.4), (0.5, 0.9, 0.2), (2.0, 1.0, 3.5, -1.0)])
def test_the_evidence_is_the_ratio_of_the_two_integrals(values: Sequence[float]) -> None:
    """Over effect and scale, by sums over a fine grid of the densities themselves."""
    variance, mean = 2.0, 0.1
    moved = np.array(values) - mean
    effects, log_scales = np.linspace(-9, 9, 601)[:, None], np.linspace(-8, 12, 1501)
    scales = np.exp(log_scales)  # d sigma / sigma is d log sigma

    def likelihood(effect: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.prod([norm.pdf(one, scales * effect, scales) for one in moved], axis=0)

    weights = norm.pdf(effects, 0, variance**0.5) * (effects[1] - effects[0])  # of the effects, summing to 1
    ratio = (likelihood(effects) * weights).sum() / likelihood(0.0).sum()
    assert evidence(values, mean, variance) == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_ends_of_an_interval_are_where_the_evidence_reaches_its_bound(count: int, confidence: float) -> None:
    values = np.random.default_rng(count).normal(7, 2, count)
    half = critical_t(count, confidence, 50.0) * values.std(ddof=1) / count**0.5
    for end in (values.mean() - half, values.mean() + half):
        assert evidence(values.tolist(), end, 50.0) == pytest.approx(1 / (1 - confidence))
    assert evidence(values.tolist(), values.mean(), 50.0) < 1


@pytest.mark.parametrize("values", [[1.0, 4.0, 2.0], [0.2, 0.1, -0.4, 0.3], [2.0, 2.0, 2.0]])
def test_the_p_value_is_one_over_the_evidence_against_0(values: list[float]) -> None:
    found = interval(values)
    assert found.p_value == pytest.approx(min(1, 1 / evidence(values, 0)))
    spread = np.std(values, ddof=1)
    t = np.mean(values) / spread * len(values) ** 0.5 if spread else np.inf
    assert p_value(t, len(values)) == pytest.approx(found.p_value)


def test_too_few_values_say_nothing() -> None:
    assert evidence([3.0], 1.0) == pytest.approx(1)
    assert critical_t(1, CONFIDENCE) == np.inf
    found = interval([3.0, 4.0])
    assert (found.value, found.low, found.high, found.p_value, found.side) == (3.5, None, None, None, 0)
    assert evidence([2.0, 2.0], 2.0) == 1


def test_it_moves_and_grows_with_the_values() -> None:
    values = [1.0, 4.0, 2.0, 2.5]
    one, other = (interval(some) for some in (values, [3 * v - 5 for v in values]))
    assert one.low is not None
    assert other.low is not None
    assert other.low == pytest.approx(3 * one.low - 5)


def interval(values: list[float]) -> Difference:
    pairs = [(Estimate(value, None, None), Estimate(0.0, None, None)) for value in values]
    return difference(pairs, CONFIDENCE, anytime=True)


def student(values: list[float]) -> Estimate:
    return mean_over_seeds([Estimate(value, None, None) for value in values], CONFIDENCE)

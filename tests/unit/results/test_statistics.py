"""Student's t against the formula written out with scipy.stats, and intervals of differences."""

import numpy as np
import pytest
from scipy import stats

from sfddm.results.statistics import Estimate, difference, mean_over_seeds, overlap, t_quantile


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_mean_over_seeds_has_scipys_interval(count: int, confidence: float) -> None:
    values = np.random.default_rng(count).normal(5, 2, count)
    mean = mean_over_seeds([Estimate(float(value), 0.0, 0.0) for value in values], confidence)
    low, high = stats.t.interval(confidence, count - 1, values.mean(), stats.sem(values))
    assert (mean.value, mean.low, mean.high) == pytest.approx((values.mean(), low, high), rel=1e-12)
    assert t_quantile(count - 1, confidence) == pytest.approx(stats.t.ppf((1 + confidence) / 2, count - 1))


def test_one_seed_keeps_the_interval_of_its_score() -> None:
    one = Estimate(1.0, 0.5, None)
    assert mean_over_seeds([one], 0.95) == one


def test_paired_differences_are_what_a_paired_t_test_tells_apart() -> None:
    generator = np.random.default_rng(1)
    left, right = generator.normal(10, 5, 6), generator.normal(9, 5, 6)
    pairs = [(Estimate(float(a), None, None), Estimate(float(b), None, None)) for a, b in zip(left, right, strict=True)]
    found = difference(pairs, 0.9, scale=1.1, offset=0.5)
    interval = stats.ttest_1samp(left - 1.1 * right - 0.5, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.seeds, found.equal) == (6, False)


def test_with_one_seed_zero_is_outside_exactly_where_the_intervals_are_apart() -> None:
    for shift in (0.0, 1.9, 2.1, -2.1):
        left, right = Estimate(shift, shift - 1, shift + 1), Estimate(0.0, -1.0, 1.0)
        found = difference([(left, right)], 0.95)
        assert found.low is not None
        assert found.high is not None
        assert (found.low <= 0 <= found.high) == overlap(left, right)
        assert found.equal == (shift == 0)
    assert difference([(left, Estimate(0.0, None, None))], 0.95).low is None
    assert not overlap(left, Estimate(0.0, None, None))

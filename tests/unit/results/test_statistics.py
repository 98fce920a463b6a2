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


def test_one_seed_has_the_root_of_the_summed_squares_of_both_intervals() -> None:
    left, right = Estimate(5.0, 2.0, 9.0), Estimate(1.0, 0.5, 5.0)
    found = difference([(left, right)], 0.95, scale=2.0, offset=0.5, single=3.0)
    assert found.value == pytest.approx(2.5)
    # Down: 3 below the left and 2 * 4 above the right; up: 4 above the left and 2 * 0.5 below the right.
    assert found.low == pytest.approx(2.5 - 3 * (9 + 64) ** 0.5)
    assert found.high == pytest.approx(2.5 + 3 * (16 + 1) ** 0.5)
    assert difference([(left, Estimate(0.0, None, None))], 0.95).low is None


@pytest.mark.parametrize("count", [2, 5])
def test_the_p_value_is_that_of_a_paired_t_test(count: int) -> None:
    generator = np.random.default_rng(count)
    left, right = generator.normal(10, 1, count), generator.normal(9, 1, count)
    pairs = [(Estimate(float(a), None, None), Estimate(float(b), None, None)) for a, b in zip(left, right, strict=True)]
    assert difference(pairs, 0.9).p_value == pytest.approx(stats.ttest_rel(left, right).pvalue)


def test_intervals_overlap_where_they_have_a_point_in_common() -> None:
    for shift in (0.0, 1.9, 2.1, -2.1):
        assert overlap(Estimate(shift, shift - 1, shift + 1), Estimate(0.0, -1.0, 1.0)) == (abs(shift) < 2)
    assert not overlap(Estimate(0.0, -1.0, 1.0), Estimate(0.0, None, None))

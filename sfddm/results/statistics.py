"""Means over training seeds, differences of two figures, and the interval of each: Student's t.

With several seeds an interval covers what differs between trainings. With one seed it is the score's own, which covers
the generated sample and no other training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Protocol


class Bounded(Protocol):
    """A value with its interval; ``low`` and ``high`` are None where it has none."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float | None: ...  # noqa: D102
    @property
    def high(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True)
class Estimate:
    """A mean, or a single value, with its interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference(Estimate):
    """left - scale * right - offset over ``seeds`` seeds; ``equal``: exactly 0 for each of them."""

    seeds: int
    equal: bool

    @property
    def side(self) -> int:
        """-1 or 1 where the whole interval lies below or above 0, and 0 where it holds 0 or is missing."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:+.4g}, without an interval"
        if self.seeds > 1:
            return f"paired difference {self.value:+.4g} [{self.low:+.4g}, {self.high:+.4g}]"
        return "intervals are apart" if self.side else "intervals overlap"


def t_quantile(degrees: int, confidence: float) -> float:
    """Return t_{(1 + confidence) / 2} of Student's t with ``degrees`` of freedom: 4.303 for 2 and 0.95."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def mean_over_seeds(figures: Sequence[Bounded], confidence: float) -> Estimate:
    """Return the mean of one figure of several seeds.

    One seed keeps the interval of its own score. Several have mean -+ t_{(1 + confidence) / 2, n - 1} * s / sqrt(n).

    Args:
        figures: of each seed, at least one.
        confidence: in (0, 1), for example 0.95.
    """
    if len(figures) == 1:
        return Estimate(figures[0].value, figures[0].low, figures[0].high)
    return _t_interval([figure.value for figure in figures], confidence)


def _t_interval(values: Sequence[float], confidence: float) -> Estimate:
    mean = fmean(values)
    half = t_quantile(len(values) - 1, confidence) * stdev(values) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)


def difference(
    pairs: Sequence[tuple[Bounded, Bounded]], confidence: float, scale: float = 1.0, offset: float = 0.0
) -> Difference:
    """Return left - scale * right - offset with an interval.

    Several seeds: Student's t over the differences of each seed. One seed: from the ends of the two scores' own
    intervals, so that 0 lies outside exactly where those are apart.

    Args:
        pairs: (left, right) of each seed, at least one.
        confidence: in (0, 1).
        scale: positive.
        offset: in the figures' unit.
    """
    values = [left.value - scale * right.value - offset for left, right in pairs]
    equal = not any(values)
    if len(values) > 1:
        mean = _t_interval(values, confidence)
        return Difference(mean.value, mean.low, mean.high, len(values), equal)
    left, right = pairs[0]
    low = high = None
    if left.low is not None and right.high is not None and left.high is not None and right.low is not None:
        low = left.low - scale * right.high - offset
        high = left.high - scale * right.low - offset
    return Difference(values[0], low, high, 1, equal)


def overlap(one: Bounded, other: Bounded) -> bool:
    """Say whether two intervals have a point in common; where one is missing, they do not."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high

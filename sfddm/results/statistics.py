"""Means over training seeds, differences of two figures, and the interval of each: Student's t.

With several seeds an interval covers what differs between trainings. With one seed it is the score's own, which covers
the generated sample and no other training, so that the interval of a difference is widened by a measured factor. Where
the run decided how many seeds to train, an interval of a difference holds at every number of them: sequential.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, inf
from statistics import fmean, stdev
from typing import Protocol

from sfddm.results import sequential


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
    """left - scale * right - offset over ``seeds`` seeds.

    Attributes:
        equal: exactly 0 for each seed.
        degrees: of freedom of the Student's t behind the interval.
        confidence: of the interval, in (0, 1).
        widened: the factor for a single training that is in the interval, 1 where there is none.
        anytime: whether the interval holds at every number of seeds at once, so that one could stop at will.
    """

    seeds: int
    equal: bool
    degrees: int
    confidence: float
    widened: float = 1.0
    anytime: bool = False

    @property
    def side(self) -> int:
        """-1 or 1 where the whole interval lies below or above 0, and 0 where it holds 0 or is missing."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    @property
    def reach(self) -> float | None:
        """How far the interval reaches from the value towards 0; None where there is none."""
        if self.low is None or self.high is None:
            return None
        return self.value - self.low if self.value > 0 else self.high - self.value

    def quantile(self, seeds: int) -> float:
        """Return how many standard errors an interval like this one would reach with ``seeds`` seeds, at least 2."""
        if self.anytime:
            return sequential.critical_t(seeds, self.confidence)
        return t_quantile(seeds - 1, self.confidence)

    @property
    def error(self) -> float | None:
        """The standard error of the value; None where there is no interval."""
        if self.reach is None:
            return None
        quantile = self.quantile(self.seeds) if self.anytime else t_quantile(self.degrees, self.confidence)
        return self.reach / quantile

    @property
    def p_value(self) -> float | None:
        """The two-sided p-value of "no difference", in [0, 1]; None where there is no interval."""
        from scipy.special import stdtr

        if self.error is None:
            return None
        if self.value == 0:
            return 1.0
        t = abs(self.value) / self.error if self.error > 0 else inf
        return sequential.p_value(t, self.seeds) if self.anytime else float(2 * stdtr(self.degrees, -t))

    def minus(self, offset: float) -> Difference:
        """Return the difference with ``offset`` taken off the value and off both ends."""
        low, high = (None if end is None else end - offset for end in (self.low, self.high))
        return replace(self, value=self.value - offset, low=low, high=high, equal=self.equal and not offset)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:+.4g}, without an interval"
        text = f"difference {self.value:+.4g} [{self.low:+.4g}, {self.high:+.4g}]"
        if self.seeds > 1:
            return f"paired {text}{', at any number of seeds' if self.anytime else ''}"
        return f"{text}, widened {self.widened:.2g} times for a single training" if self.widened != 1 else text


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
    values = [figure.value for figure in figures]
    return _interval(values, t_quantile(len(values) - 1, confidence))


def _interval(values: Sequence[float], quantile: float) -> Estimate:
    mean = fmean(values)
    if quantile == inf:
        return Estimate(mean, None, None)
    half = quantile * stdev(values) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)


def difference(
    pairs: Sequence[tuple[Bounded, Bounded]],
    confidence: float,
    scale: float = 1.0,
    offset: float = 0.0,
    single: float = 1.0,
    degrees: int = 9,
    *,
    anytime: bool = False,
) -> Difference:
    """Return left - scale * right - offset with an interval.

    Several seeds: Student's t over the differences of each seed, or a confidence sequence. One seed: the root of the
    summed squares of the two scores' own intervals, ``single`` times as wide. The two share the sampling noise, so that
    they move together, and this is on the large side.

    Args:
        pairs: (left, right) of each seed, at least one.
        confidence: in (0, 1).
        scale: positive.
        offset: in the figures' unit.
        single: how many times wider the interval of a single training must be, at least 1.
        degrees: of freedom of the Student's t behind the intervals of the scores.
        anytime: whether the number of seeds was decided on the way.
    """
    values = [left.value - scale * right.value - offset for left, right in pairs]
    equal = not any(values)
    if len(values) > 1:
        found = Difference(0.0, None, None, len(values), equal, len(values) - 1, confidence, anytime=anytime)
        mean = _interval(values, found.quantile(len(values)))
        return replace(found, value=mean.value, low=mean.low, high=mean.high)
    left, right = pairs[0]
    low = high = None
    if left.low is not None and right.high is not None and left.high is not None and right.low is not None:
        low = values[0] - single * hypot(left.value - left.low, scale * (right.high - right.value))
        high = values[0] + single * hypot(left.high - left.value, scale * (right.value - right.low))
    return Difference(values[0], low, high, 1, equal, degrees, confidence, single)


def overlap(one: Bounded, other: Bounded) -> bool:
    """Say whether two intervals have a point in common; where one is missing, they do not."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high

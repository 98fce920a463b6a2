"""What an inconclusive comparison could have shown, and what would decide it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt

from sfddm.results.statistics import Difference

#: The probability with which a difference of the stated size is to be seen.
POWER = 0.8
_MOST_SEEDS = 1000


def what_would_decide(difference: Difference) -> str:
    """Say which difference these trainings would show, and how many would show the one that was found.

    Both by the noncentral t: n seeds with a paired standard deviation s see a difference d where the test's critical
    value is passed with the probability ``POWER`` at noncentrality d sqrt(n) / s. "" without an interval.
    """
    error = difference.error  # of the mean over the seeds
    if not error or not difference.reach:
        return ""
    shown = smallest_shown(error, difference.degrees, difference.reach / error)
    text = f"a difference of {shown:.3g} would be seen with probability {POWER:g}"
    needed = seeds_for(abs(difference.value), error * sqrt(difference.seeds), difference.quantile)
    more = f"more than {_MOST_SEEDS:,}" if needed is None else f"about {max(needed, difference.seeds + 1)}"
    return f"{text}; to see {abs(difference.value):.3g}, {more} seeds"


def smallest_shown(error: float, degrees: int, quantile: float) -> float:
    """Return the difference that a t-test with ``degrees`` of freedom sees with the probability ``POWER``.

    Args:
        error: the standard error of the estimated difference, in its unit.
        degrees: at least 1.
        quantile: how many standard errors from 0 the difference must be found to lie; finite.
    """
    from scipy.special import nctdtrinc

    return float(nctdtrinc(degrees, 1 - POWER, quantile)) * error


def seeds_for(size: float, deviation: float, quantile: Callable[[int], float]) -> int | None:
    """Return the fewest seeds, at least 2, that show a difference of ``size``; None where a thousand do not.

    Args:
        size: positive.
        deviation: the standard deviation of the paired difference between seeds.
        quantile: of a number of seeds, how many standard errors from 0 their mean must lie.
    """
    from scipy.special import nctdtr

    for seeds in range(2, _MOST_SEEDS + 1):
        asked = quantile(seeds)
        if asked < inf and nctdtr(seeds - 1, size * sqrt(seeds) / deviation, asked) <= 1 - POWER:
            return seeds
    return None

"""What an inconclusive comparison could have shown, and what would decide it."""

from __future__ import annotations

from math import sqrt

from sfddm.results.statistics import Difference, t_quantile

#: The probability with which a difference of the stated size is to be seen.
POWER = 0.8
_MOST_SEEDS = 1000


def what_would_decide(difference: Difference) -> str:
    """Say which difference these trainings would show, and how many would show the one that was found.

    Both by the noncentral t: n seeds with a paired standard deviation s see a difference d where the test's critical
    value is passed with the probability ``POWER`` at noncentrality d sqrt(n) / s. "" without an interval.
    """
    reach = difference.reach
    if not reach:
        return ""
    quantile = t_quantile(difference.degrees, difference.confidence)
    error = reach / quantile  # of the mean over the seeds
    shown = smallest_shown(error, difference.degrees, difference.confidence)
    text = f"a difference of {shown:.3g} would be seen with probability {POWER:g}"
    needed = seeds_for(abs(difference.value), error * sqrt(difference.seeds), difference.confidence)
    more = f"more than {_MOST_SEEDS:,}" if needed is None else f"about {max(needed, difference.seeds + 1)}"
    return f"{text}; to see {abs(difference.value):.3g}, {more} seeds"


def smallest_shown(error: float, degrees: int, confidence: float) -> float:
    """Return the difference that a t-test with ``degrees`` of freedom sees with the probability ``POWER``.

    ``error``: the standard error of the estimated difference, in its unit.
    """
    from scipy.special import nctdtrinc

    return float(nctdtrinc(degrees, 1 - POWER, t_quantile(degrees, confidence))) * error


def seeds_for(size: float, deviation: float, confidence: float) -> int | None:
    """Return the fewest seeds, at least 2, that show a difference of ``size``; None where a thousand do not.

    ``deviation``: the standard deviation of the paired difference between seeds.
    """
    from scipy.special import nctdtr

    for seeds in range(2, _MOST_SEEDS + 1):
        if nctdtr(seeds - 1, size * sqrt(seeds) / deviation, t_quantile(seeds - 1, confidence)) <= 1 - POWER:
            return seeds
    return None

"""Whether more training could turn a verdict round: how a difference moves with the training budget.

A verdict is settled where it would stand with five times the largest budget. The rule, for the differences d of two
rows at budgets b_1 < ... < b_n: there are at least two; the last two have the same sign; and a straight line in ln b
from the end of d_n's interval nearest 0, at the steeper of the last two slopes, does not reach 0 before 5 b_n.

Why a straight line: a learning curve c + A b^-a has the slope -a A b^-a in ln b, which flattens as b grows, so that the
chord between two budgets is steeper than all that follows and the line meets 0 before the curve does. The rule errs
towards "not settled". The steeper of two slopes guards against one that is flat by chance, or not yet falling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import exp, log

from sfddm.results.statistics import Estimate
from sfddm.results.verdicts import AtBudget

#: A settled verdict stands with so many times the largest budget.
FURTHER = 5.0


def may_turn(points: Sequence[AtBudget]) -> str:
    """Return why more training may turn the sign of the last difference, "" where it is settled or not decided.

    ``points`` have increasing budgets; the last is the one that was judged.
    """
    if len(points) < 2:
        return "one training budget"
    before, last = points[-2:]
    if not _nearest_end(last):
        return ""
    if before.difference.value * last.difference.value <= 0:
        return f"the sign changed between {before.budget:g} and {last.budget:g} times the training"
    slope = _slope_towards_zero(points)
    if slope <= 0 or _nearest_end(last) > slope * log(FURTHER):
        return ""
    meets = last.budget * exp(abs(last.difference.value) / slope)
    images = f" ({meets / last.budget * last.images:,.0f} images)" if last.images else ""
    return f"at this slope the difference is gone at about {meets:.3g} times the training{images}"


def seeds_may_settle(points: Sequence[AtBudget]) -> bool:
    """Say whether a verdict that more training may turn would be settled, were each difference known exactly."""
    exact = [replace(one, difference=Estimate(*[one.difference.value] * 3)) for one in points]
    return bool(may_turn(points)) and not may_turn(exact)


def _slope_towards_zero(points: Sequence[AtBudget]) -> float:
    """Return how fast the size of the difference falls per unit of ln budget: the steeper of the last two slopes."""
    sign = 1 if points[-1].difference.value > 0 else -1
    slopes = [
        sign * (before.difference.value - after.difference.value) / log(after.budget / before.budget)
        for before, after in pairwise(points[-3:])
    ]
    return max(slopes)


def _nearest_end(point: AtBudget) -> float:
    """Return how far the interval stays from 0, 0 where it holds 0; the value where there is no interval."""
    difference = point.difference
    ends = [abs(end) for end in (difference.low, difference.high) if end is not None and end * difference.value > 0]
    if difference.low is None or difference.high is None:
        return abs(difference.value)
    return min(ends) if len(ends) == 2 else 0.0

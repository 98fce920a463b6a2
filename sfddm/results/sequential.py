"""Intervals that hold at every number of seeds at once, so that one may stop at the first that decides.

Student's interval covers the truth at a number of seeds that was fixed beforehand. Looked at after each further seed,
and stopped at once when it excludes 0, it excludes a true 0 far more often than its level says. A confidence sequence
covers the truth at all numbers of seeds at once with the stated probability (Robbins 1970), whatever the rule to stop.

For differences x_1, ..., x_n from N(mu, sigma^2), both unknown, and a candidate m of mu, let u_i = x_i - m. Under m the
density of u is weighed against that under an effect (mu - m) / sigma from N(0, g), with the scale-invariant measure
d sigma / sigma on the scale in both (Lai 1976; Wang & Ramdas 2024, "Anytime-valid t-tests and confidence sequences for
Gaussian means with unknown variance"). Both integrals are elementary: the covariance of u given sigma is
sigma^2 (I + g 1 1^T), whose determinant is sigma^(2n) (1 + n g), so that

    E_n(m) = (1 + n g)^(-1/2) (V / (V - g S^2 / (1 + n g)))^(n/2),    V = sum u_i^2, S = sum u_i

E_n depends on the ratios of the u_i alone, of which it is a likelihood ratio with E_1 = 1. By Ville's inequality
E_n(mu) ever reaches 1 / alpha with a probability of at most alpha, so that {m: E_n(m) < 1 / alpha} at every n is a
confidence sequence. With A = sum (x_i - mean)^2 and K = ((1 + n g) / alpha^2)^(1/n) this is

    n (m - mean)^2 < A (K - 1) / (1 - K / (1 + n g)),    every m where K >= 1 + n g
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log, sqrt

#: g, the variance of effect sizes before any seed is seen. At 8 the interval is 4, 2.1 and 1.8 times as wide as
#: Student's with 3, 4 and 10 seeds; a smaller g gives no interval at 3, a larger one a wider one at 10.
EFFECT_VARIANCE = 8.0


def critical_t(count: int, confidence: float, effect_variance: float = EFFECT_VARIANCE) -> float:
    """Return how many standard errors the interval after ``count`` values reaches to each side of their mean.

    All these intervals cover the mean at once with at least the given probability, where the values are independent
    draws from one normal distribution: Robbins, Lai, Wang & Ramdas, above. Infinite where ``count`` is too small for
    an interval. For Student's interval, which covers at one ``count``, it is 4.303 at 3 values and 0.95.

    Args:
        count: n, values looked at, at least 1.
        confidence: in (0, 1).
        effect_variance: g, positive; chosen before the values are seen.
    """
    growth = 1 + count * effect_variance
    bound = exp((log(growth) - 2 * log(1 - confidence)) / count)  # K
    return inf if bound >= growth else sqrt((count - 1) * (bound - 1) / (1 - bound / growth))


def p_value(t: float, count: int, effect_variance: float = EFFECT_VARIANCE) -> float:
    """Return the level at which the interval after ``count`` values, ``t`` standard errors from 0, just reaches 0.

    It is the inverse of ``critical_t``, at most 1; the chance that it is ever below a level is at most that level.

    Args:
        t: the mean over its standard error; infinite where all values are equal.
        count: n, at least 2.
        effect_variance: g, positive.
    """
    growth = 1 + count * effect_variance
    ratio = t * t / (count - 1)  # n mean^2 / A
    bound = growth if ratio == inf else (1 + ratio) / (1 + ratio / growth)  # K
    return min(1.0, exp(log(growth) / 2 - count / 2 * log(bound)))


def evidence(values: Sequence[float], mean: float, effect_variance: float = EFFECT_VARIANCE) -> float:
    """Return E_n(mean), the evidence against ``mean`` in all ``values``: at least 1 / alpha rejects it at level alpha.

    Not defined, and returned as 1, where every value is ``mean``.
    """
    count, moved = len(values), [value - mean for value in values]
    squares, growth = sum(one * one for one in moved), 1 + count * effect_variance
    if squares == 0:
        return 1.0
    share = min(1.0, sum(moved) ** 2 / (count * squares))  # S^2 / (n V), in [0, 1]: 1 where all are equal
    return exp(-log(growth) / 2 - count / 2 * log(1 - share * (1 - 1 / growth)))

"""Binomial tails below the least float, as logarithms, and the rates at which they are reached.

A network's file of 10,000 bits asks for a tail at level 2^-10000. Every logarithm is rounded
towards the larger tail, and a rate is only given out after it was seen to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float

Gap = Callable[[Float, NDArray[np.intp]], tuple[Float, Float]]

# Stirling's series envelops ln x!; from 16 on its terms up to x^-7 leave less than 1.3e-14.
_SMALL = 16
_RESTS = np.array(
    [0.0]
    + [
        math.log(math.factorial(x)) - (x + 0.5) * math.log(x) + x - 0.5 * math.log(2 * math.pi)
        for x in range(1, _SMALL)
    ]
)
_REST_ERROR = 2e-13
_BLOCK = 32
_TERMS = 2**18
_STEPS = 100


def _stirling_rest(x: Float) -> Float:
    """Stirling's remainder, ln x! - ((x + 1/2) ln x - x + ln(2 pi)/2) for whole x >= 1."""
    large = np.maximum(x, _SMALL)
    square = large**2
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * square)) / square) / square) / large
    return np.where(x < _SMALL, _RESTS[np.minimum(x, _SMALL - 1).astype(np.intp)], series)


def divergence(k: Float, n: Float, p: Float) -> tuple[Float, Float]:
    """Give n kl(k/n || p) for whole 0 <= k < n and p in (0, 1), and a bound on its rounding."""
    some, mean = np.maximum(k, 1.0), n * p
    hits = np.where(k > 0, k * np.log(some / mean), 0.0)
    # ln((n-k)/(n(1-p))) by its distance from 0, which costs less than a quotient near 1.
    misses = (n - k) * np.log1p((mean - k) / (n * (1 - p)))
    misses = np.where(k > 0, misses, -n * np.log1p(-p))
    slack = 8 * UNIT * (np.where(k > 0, mean + k, 0.0) + np.abs(hits) + np.abs(misses))
    return hits + misses, slack


def _ratio(k: Float, n: Float, p: Float, step: Float | float) -> Float:
    """Pr(Bin = k-step-1)/Pr(Bin = k-step)."""
    return np.maximum(k - step, 0.0) / (n - k + 1 + step) * ((1 - p) / p)


def _series(k: Float, n: Float, p: Float) -> tuple[Float, Float]:
    """Upper bound on Pr(Bin <= k)/Pr(Bin = k) for p > k/(n+1), up to rounding; and that rounding.

    The terms are products of ratios that fall, so a geometric series bounds what is left out.
    """
    total, last, rest = (np.ones(k.shape) for _ in range(3))
    length = np.zeros(k.shape)
    going, done = np.arange(k.size), 0
    while going.size:
        given = k[going], n[going], p[going]
        following = _ratio(*given, done)
        rest[going] = last[going] * following / np.maximum(1 - following, UNIT)
        length[going] = done
        more = rest[going] > total[going] * 2.0**-60
        going = going[more & (done < _TERMS)]
        given = (a[going, None] for a in (k, n, p))
        ratios = _ratio(*given, done + np.arange(_BLOCK, dtype=float))
        terms = last[going, None] * np.cumprod(ratios, axis=1)
        total[going] += terms.sum(axis=1)
        last[going] = terms[:, -1]
        done += _BLOCK
    return total + rest, 8 * UNIT * np.minimum(length + 1, k + 1)


def log_tail(k: Float, n: Float, p: Float) -> tuple[Float, Float]:
    """Upper bound on ln Pr(Bin(n, p) <= k), and minus its derivative in p.

    One-dimensional arrays; whole 0 <= k < n, p in (k/(n+1), 1). Above the truth by rounding alone:
    some 1e-15 (n p + |ln|) and 1e-12.
    """
    exponent, slack = divergence(k, n, p)
    series, series_slack = _series(k, n, p)
    some = np.maximum(k, 1.0)
    front = _stirling_rest(n) - _stirling_rest(some) - _stirling_rest(np.maximum(n - k, 1.0))
    front = front + 0.5 * np.log(n / (2 * np.pi * some * (n - k)))
    front = np.where(k > 0, front, 0.0)
    slack = slack + series_slack + np.where(k > 0, _REST_ERROR, 0.0) + 8 * UNIT * np.abs(front)
    return front - exponent + np.log(series) + slack, (n - k) / ((1 - p) * series)


def least_rate(gap: Gap, start: Float) -> Float:
    """Least p at which a falling concave function is seen to be <= 0; 1 where start is too low.

    Newton's steps from the right never pass the root of such a function. What rounding makes them
    pass is climbed back.

    Shapes: gap (p, index of these p among all), start (k,); returns (k,) float64.
    """
    everyone = np.arange(start.size)
    value, slope = gap(start, everyone)
    rate = np.where(value <= 0, start, 1.0)
    live = everyone[value <= 0]
    value, slope = value[live], slope[live]
    for _ in range(_STEPS):
        tried = rate[live] + value / slope
        moved = (tried < rate[live]) & (tried > 0)
        live, tried = live[moved], tried[moved]
        if live.size == 0:
            break
        value, slope = gap(tried, live)
        short = value > 0
        rate[live[short]] = np.minimum(rate[live[short]], _climb(gap, tried[short], live[short]))
        live, value, slope = live[~short], value[~short], slope[~short]
        rate[live] = tried[~short]
    return rate


def _climb(gap: Gap, rate: Float, index: NDArray[np.intp]) -> Float:
    step, short = 2 * UNIT, rate < 1
    for _ in range(54):
        short = rate < 1
        short[short] = gap(rate[short], index[short])[0] > 0
        if not short.any():
            break
        rate = np.where(short, np.minimum(rate * (1 + step), 1.0), rate)
        step *= 2
    return np.where(short, 1.0, rate)


def log_level(bits: Float, delta: Float) -> Float:
    """Logarithm of 1/level for the level delta 2^-bits, rounded up."""
    return (bits * np.log(2.0) - np.log(delta)) * (1 + 8 * UNIT)


def kl_rate(k: Float, n: Float, cost: Float) -> Float:
    """Least p >= k/n with n kl(k/n || p) >= cost, rounded up; one-dimensional arrays, k < n."""

    def gap(p: Float, index: NDArray[np.intp]) -> tuple[Float, Float]:
        exponent, slack = divergence(k[index], n[index], p)
        slope = (n[index] * p - k[index]) / (p * (1 - p))
        return cost[index] - exponent + slack, np.maximum(slope, 5e-324)

    return least_rate(gap, _above(k, n, cost))


def _above(k: Float, n: Float, cost: Float) -> Float:
    """Rate at or above kl_rate's: Hoeffding's, or where the term of the misses alone pays."""
    share = k / n
    hoeffding = share + np.sqrt(cost / (2 * n))
    entropy = np.where(k > 0, -k * np.log(np.where(k > 0, share, 1.0)), 0.0)
    entropy = entropy - (n - k) * np.log((n - k) / n)
    misses = -np.expm1(-(cost + entropy) / (n - k))
    start = numeric.up(np.minimum(hoeffding, misses) * (1 + 64 * UNIT))
    return np.minimum(start, 1 - UNIT)


def binomial_rate(k: Float, n: Float, cost: Float, start: Float) -> Float:
    """Least p with ln Pr(Bin(n, p) <= k) <= -cost, rounded up, for cost >= ln 2.

    There the rate is above k/n, the tail a log-concave function of it, and kl_rate a start.
    """

    def gap(p: Float, index: NDArray[np.intp]) -> tuple[Float, Float]:
        tail, slope = log_tail(k[index], n[index], p)
        return tail + cost[index], slope

    return least_rate(gap, np.minimum(start, 1 - UNIT))

"""CT-4 against 50 digits, and its validity at all times at once over every path."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import mpmath
import numpy as np
from scipy import stats

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle

Alternative = Literal["above", "below"]
Side = tuple[Alternative, float, tuple[float, ...]]
BOTH: tuple[Alternative, ...] = ("above", "below")
# Which evidence, the rate under test, rates of its null: delta itself and rates deep inside.
SIDES: tuple[Side, ...] = (
    ("above", 0.1, (0.1, 0.05, 0.01)),
    ("below", 0.1, (0.1, 0.2)),
    ("above", 0.02, (0.02,)),
)


@oracle("CT-4")
def evidence_at_50_digits(setting: Setting) -> Result:
    """The e-value against the quotient of incomplete beta integrals, never above it."""
    counts = ((0, 1), (3, 10), (10, 10), (2, 200), (150, 200))
    priors, cases = ((1.0, 1.0), (0.5, 2.0)), 0
    with mpmath.workdps(DIGITS):
        delta = mpmath.mpf(0.1)
        for (k, n), side, (a, b) in itertools.product(counts, BOTH, priors):
            part = (delta, 1) if side == "above" else (0, delta)
            mixture = mpmath.betainc(a + k, b + n - k, *part) / mpmath.betainc(a, b, *part)
            truth = mixture / (delta**k * (1 - delta) ** (n - k))
            at = {"k": k, "n": n, "alternative": side, "prior": (a, b)}
            computed = sipp_theory.log_e_value(k, n, 0.1, side, (a, b))
            close(float(mpmath.exp(mpmath.mpf(float(computed)))), truth, at, "below", 1e-9)
            if truth < 1e300:
                value = float(sipp_theory.e_value(k, n, 0.1, side, (a, b)))
                close(value, truth, at, "below", 1e-9)
            cases += 1
    return Result(cases=cases)


@oracle("CT-4")
def mean_over_all_outcomes(setting: Setting) -> Result:
    """The e-value's mean is 1 at delta, below 1 within the null and above 1 outside."""
    n, delta, cases = 60, 0.1, 0
    k = np.arange(n + 1)
    for side, rate in itertools.product(BOTH, (0.0, 0.02, 0.0999, 0.1, 0.1001, 0.3, 1.0)):
        mean = float((stats.binom.pmf(k, n, rate) * sipp_theory.e_value(k, n, delta, side)).sum())
        inside = rate <= delta if side == "above" else rate >= delta
        if (mean <= 1) != inside or (rate == delta and mean < 1 - 1e-9):
            raise Refuted(
                f"mean e-value {mean!r} at rate {rate}, delta = {delta}, {side!r}, n = {n}"
            )
        cases += 1
    return Result(cases=cases)


@oracle("CT-4")
def one_point_more(setting: Setting) -> Result:
    """At every state up to n = 60 one more point does not raise the evidence on average."""
    states = [(k, n) for n in range(60) for k in range(n + 1)]
    k, n = np.array(states).T
    for side, delta, rates in SIDES:
        now = sipp_theory.e_value(k, n, delta, side)
        hit, miss = (sipp_theory.e_value(k + more, n + 1, delta, side) for more in (1, 0))
        for rate in rates:
            excess = (rate * hit + (1 - rate) * miss) / now - 1
            if excess.max() > 1e-9:
                at = states[int(excess.argmax())]
                raise Refuted(f"evidence {side!r} grows on average at (k, n) = {at}, rate {rate}")
    return Result(cases=len(states) * sum(len(rates) for _, _, rates in SIDES))


def _crossing(alarm: np.ndarray, rate: float) -> float:
    """Chance that a path of that rate is ever at a (time, count) of alarm; (times, counts)."""
    alive, ever = np.zeros(alarm.shape[1]), 0.0
    alive[0] = 1.0
    for rings in alarm:
        alive[1:] = (1 - rate) * alive[1:] + rate * alive[:-1]
        alive[0] *= 1 - rate
        ever += float(alive[rings].sum())
        alive[rings] = 0.0
    return ever


def _states(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, k = np.meshgrid(np.arange(1, length + 1), np.arange(length + 1), indexing="ij")
    return np.minimum(k, n), n, k <= n


@oracle("CT-4")
def alarm_over_all_paths(setting: Setting) -> Result:
    """The chance that the e-value ever reaches 1/alpha, exactly, by dynamic programming."""
    length = 1000 if setting.full else 400
    k, n, possible = _states(length)
    closest, cases = 0.0, 0
    for side, delta, rates in SIDES:
        evidence = np.where(possible, sipp_theory.e_value(k, n, delta, side), 0.0)
        for rate, alpha in itertools.product(rates, (0.2, 0.05)):
            ever = _crossing(evidence >= 1 / alpha, rate) / alpha
            if ever > 1:
                raise Refuted(
                    f"e_value(k, n, {delta}, {side!r}) reaches 1/{alpha} within {length} points of "
                    f"rate {rate} with {ever:.4f} of the probability allowed"
                )
            closest, cases = max(closest, ever), cases + 1
    text = f"{closest:.3f} of what is allowed is used within {length} points"
    return Result(text, cases=cases, promised=1.0, needed=closest)


@oracle("CT-4")
def alarm_where_it_is_due(setting: Setting) -> Result:
    """A rate far outside the null raises the alarm surely, exactly, by dynamic programming."""
    length, alpha, surest = 400, 0.05, 1.0
    k, n, possible = _states(length)
    cases: tuple[tuple[Alternative, float], ...] = (("above", 0.25), ("below", 0.02))
    for side, rate in cases:
        evidence = np.where(possible, sipp_theory.e_value(k, n, 0.1, side), 0.0)
        ever = _crossing(evidence >= 1 / alpha, rate)
        if ever < 0.99:
            raise Refuted(f"e_value {side!r} 0.1 reaches {1 / alpha:g} at rate {rate} only with "
                          f"probability {ever:.4f} within {length} points")  # fmt: skip
        surest = min(surest, ever)
    return Result(f"with probability {surest:.4f} or more within {length} points", cases=2)


@oracle("CT-4")
def sequence_over_all_paths(setting: Setting) -> Result:
    """The chance that the confidence sequence ever leaves out the rate, exactly."""
    length = 400 if setting.full else 200
    k, n, possible = _states(length)
    closest, cases = 0.0, 0
    for confidence in (0.8, 0.95):
        low, high = sipp_theory.confidence_sequence(k, n, confidence)
        for rate in (0.5, 0.1, 0.02):
            outside = possible & ((low > rate) | (high < rate))
            ever = _crossing(outside, rate) / (1 - confidence)
            if ever > 1:
                raise Refuted(
                    f"confidence_sequence(k, n, {confidence}) leaves out the rate {rate} within "
                    f"{length} points with {ever:.4f} of the probability allowed"
                )
            closest, cases = max(closest, ever), cases + 1
    text = f"{closest:.3f} of what is allowed is used within {length} points"
    return Result(text, cases=cases, promised=1.0, needed=closest)


@oracle("CT-4")
def sequence_at_50_digits(setting: Setting) -> Result:
    """Both ends of the confidence sequence lie outside the exact set, by a millionth at most."""
    counts, cases = ((0, 20), (1, 7), (30, 400), (400, 400), (5, 10**6)), 0
    with mpmath.workdps(DIGITS):
        limit = -mpmath.log(1 - mpmath.mpf(0.95))
        for k, n in counts:
            low, high = map(mpmath.mpf, map(float, sipp_theory.confidence_sequence(k, n, 0.95)))

            def mixture(p: Any, k: int = k, n: int = n) -> Any:
                hits = k * mpmath.log(p) if k else 0
                misses = (n - k) * mpmath.log1p(-p) if n > k else 0
                return mpmath.log(mpmath.beta(1 + k, 1 + n - k)) - hits - misses

            near = mpmath.mpf("1e-6")
            fine = k == n or mixture(high) >= limit > mixture(high * (1 - near))
            fine &= k == 0 or mixture(low) >= limit > mixture(low * (1 + near))
            if not fine:
                raise Refuted(f"confidence_sequence({k}, {n}, 0.95) is {float(low), float(high)}")
            cases += 1
    return Result(cases=cases)


@oracle("CT-4")
def informative_priors(setting: Setting) -> Result:
    """The e-value where the prior all but excludes the alternative, at 50 digits, never above."""
    cases: tuple[tuple[int, int, float, Alternative, tuple[float, float]], ...] = (
        (0, 1084, 0.0249, "below", (378.07, 2.85)),
        (31, 31, 0.9943, "above", (0.04, 428.5)),
        (3, 40, 0.02, "above", (300.0, 2.0)),
    )
    with mpmath.workdps(2 * DIGITS):
        for k, n, delta, side, (a, b) in cases:
            rate = mpmath.mpf(delta)
            # The mass above a rate is that of the mirrored law below: no digits are lost to 1.
            turn = -1 if side == "above" else 1
            after, before = (a + k, b + n - k)[::turn], (a, b)[::turn]
            end = 1 - rate if side == "above" else rate
            mixture = mpmath.betainc(*after, 0, end) / mpmath.betainc(*before, 0, end)
            truth = mixture / (rate**k * (1 - rate) ** (n - k))
            computed = float(sipp_theory.e_value(k, n, delta, side, (a, b)))
            at = {"k": k, "n": n, "delta": delta, "alternative": side, "prior": (a, b)}
            close(computed, truth, at, "below", 1e-6)
    return Result(cases=len(cases))

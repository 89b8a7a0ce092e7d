"""CT-1 to CT-3 against 50 digits, exact fractions and enumeration of every outcome."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb
from typing import Any

import mpmath
import numpy as np
from scipy import stats

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle

# The code takes tails for a relative 1e-12 larger than computed, which costs a bound as much.
MARGIN = 3e-12
CONFIDENCES = (0.1, 0.5, 0.9, 0.95, 0.99, 1 - 1e-9)


def _tail(k: int, n: int, rate: float) -> Fraction:
    """Pr(Bin(n, rate) <= k), exactly."""
    top, bottom = Fraction(rate).as_integer_ratio()
    total = sum(comb(n, i) * top**i * (bottom - top) ** (n - i) for i in range(k + 1))
    return Fraction(total, bottom**n)


def _alpha(confidence: float) -> Fraction:
    return 1 - Fraction(confidence)


def _root(k: int, n: int, tail: Any) -> Any:
    """Rate p with Pr(Bin(n, p) <= k) = tail, by bisection on the finite sum at 50 digits."""
    terms = [mpmath.binomial(n, i) for i in range(k + 1)]
    low, high = mpmath.mpf(0), mpmath.mpf(1)
    for _ in range(90):
        p = (low + high) / 2
        odds = p / (1 - p)
        total = (1 - p) ** n * mpmath.polyval(terms[::-1], odds)
        low, high = (p, high) if total > tail else (low, p)
    return low


@oracle("CT-1")
def bounds_at_50_digits(setting: Setting) -> Result:
    """CT-1's bound and both ends of the two-sided interval, never on the unsafe side."""
    counts = ((0, 1), (0, 299), (1, 10), (3, 20), (19, 20), (20, 400))
    cases = 0
    with mpmath.workdps(DIGITS):
        for (k, n), confidence in itertools.product(counts, CONFIDENCES[1:]):
            at = {"k": k, "n": n, "confidence": confidence}
            alpha = 1 - mpmath.mpf(confidence)
            bound = float(sipp_theory.violation_bound(k, n, confidence))
            close(bound, _root(k, n, alpha), at, "above", MARGIN)
            low, high = map(float, sipp_theory.clopper_pearson(k, n, confidence))
            close(high, _root(k, n, alpha / 2), at, "above", MARGIN)
            # The lower end is one minus the upper end of the points that do not violate.
            truth = 1 - _root(n - k, n, alpha / 2) if k else mpmath.mpf(0)
            close(1 - low, 1 - truth, at, "above", MARGIN)
            cases += 3
    return Result(cases=cases)


@oracle("CT-1")
def coverage_of_every_rate(setting: Setting) -> Result:
    """The worst failure probability of CT-1's bound over all rates, in exact fractions."""
    # Between two bounds the failing counts are 0 to k, and Pr(K <= k) falls with the rate: its
    # supremum there is at the lower end, U(k).
    closest, cases = Fraction(0), 0
    sizes = (1, 5, 20, 77) + ((200,) if setting.full else ())
    for n, confidence in itertools.product(sizes, (0.5, 0.9, 0.99)):
        bounds = sipp_theory.violation_bound(np.arange(n + 1), n, confidence)
        if not ((np.diff(bounds) > 0).all() and bounds[-1] == 1):
            raise Refuted(f"violation_bound(k, {n}, {confidence}) does not rise to 1")
        for k in range(n):
            failure = _tail(k, n, float(bounds[k]))
            if failure > _alpha(confidence):
                raise Refuted(
                    f"violation_bound({k}, {n}, {confidence}) = {float(bounds[k])!r} fails with "
                    f"probability {float(failure):.6g} at a rate just above itself"
                )
            closest, cases = max(closest, failure / _alpha(confidence)), cases + 1
    text = f"the worst rate fails with {float(closest):.12f} of what is allowed"
    return Result(text, cases=cases, promised=1.0, needed=float(closest))


@oracle("CT-1")
def coverage_of_the_interval(setting: Setting) -> Result:
    """The two-sided interval's failure probability next to every end of it, by enumeration."""
    worst, cases = 0.0, 0
    sizes = (2, 20, 100) + ((500,) if setting.full else ())
    for n, confidence in itertools.product(sizes, (0.8, 0.95)):
        k = np.arange(n + 1)
        low, high = sipp_theory.clopper_pearson(k, n, confidence)
        ends = np.concatenate([low, high])
        rates = np.concatenate(
            [np.nextafter(ends, 0), np.nextafter(ends, 1), np.linspace(0, 1, 99)]
        )
        rates = rates[(rates > 0) & (rates < 1)]
        outside = (low > rates[:, None]) | (high < rates[:, None])
        failure = (stats.binom.pmf(k, n, rates[:, None]) * outside).sum(axis=1) / (1 - confidence)
        if failure.max() > 1 + 1e-9:
            rate = float(rates[failure.argmax()])
            raise Refuted(f"clopper_pearson(k, {n}, {confidence}) misses the rate {rate!r} with "
                          f"{failure.max():.4f} of the probability allowed")  # fmt: skip
        worst, cases = max(worst, float(failure.max())), cases + rates.size
    text = f"{worst:.3f} of what is allowed at the worst rate looked at"
    return Result(text, cases=cases, promised=1.0, needed=worst)


@oracle("CT-2")
def ranks_in_fractions(setting: Setting) -> Result:
    """Rank and points needed are the least whole numbers that do, in exact fractions."""
    cases = 0
    for delta, confidence in itertools.product((0.01, 0.05, 0.3, 0.5), (0.5, 0.75, 0.95, 0.99)):
        alpha = _alpha(confidence)
        need = int(sipp_theory.points_needed(delta, confidence))
        at = f"delta = {delta}, confidence = {confidence}"
        if _tail(0, need, delta) > alpha or (need > 1 and _tail(0, need - 1, delta) <= alpha):
            raise Refuted(f"points_needed is {need} at {at}")
        for n in (need - 1, need, need + 1, 2 * need + 7):
            rank = int(sipp_theory.tolerance_rank(n, delta, confidence))
            # Pr(Bin(n, 1-delta) >= r) = Pr(Bin(n, delta) <= n-r)
            least = _least(n, delta, alpha)
            if rank != least:
                raise Refuted(f"tolerance_rank({n}) is {rank}, least is {least} at {at}")
            cases += 1
    return Result(cases=cases)


def _least(n: int, delta: float, alpha: Fraction) -> int:
    rank = 0
    for violations in range(n):
        if _tail(violations, n, delta) > alpha:
            break
        rank = n - violations
    return rank


@oracle("CT-2")
def points_at_50_digits(setting: Setting) -> Result:
    """Points needed are ln(alpha)/ln(1-delta), rounded up, over ten orders of magnitude."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for delta, confidence in itertools.product((1e-9, 1e-4, 0.037, 0.5, 0.97), CONFIDENCES):
            exact = mpmath.log(1 - mpmath.mpf(confidence)) / mpmath.log(1 - mpmath.mpf(delta))
            computed = int(sipp_theory.points_needed(delta, confidence))
            # Beyond the reach of whole-number arithmetic a tie is counted against the promise.
            if not exact <= computed <= mpmath.ceil(exact * (1 + mpmath.mpf("1e-11"))):
                raise Refuted(f"points_needed({delta}, {confidence}) is {computed}, truth {exact}")
            cases += 1
    return Result(cases=cases)


@oracle("CT-2")
def quantile_covers_exactly(setting: Setting) -> Result:
    """The order statistic's failure probability is I(1-delta; r, n-r+1)'s tail, at most alpha."""
    closest, cases = 0.0, 0
    for n, delta, confidence in itertools.product((45, 77, 300), (0.05, 0.1), (0.9, 0.95)):
        computed = float(sipp_theory.error_quantile(np.arange(1.0, n + 1), delta, confidence))
        if computed == np.inf:
            continue
        rank = int(computed)
        # F(e_(r)) is Beta(r, n-r+1) for a continuous law, the worst one.
        failure = float(stats.beta.cdf(1 - delta, rank, n - rank + 1))
        if failure > (1 - confidence) * (1 + 1e-9):
            raise Refuted(f"rank {rank} of {n} fails with probability {failure:.6g} at delta = "
                          f"{delta}, confidence = {confidence}")  # fmt: skip
        closest, cases = max(closest, failure / (1 - confidence)), cases + 1
    text = f"at most {closest:.3f} of what is allowed; ranks are whole numbers"
    return Result(text, cases=cases, promised=1.0, needed=closest)


@oracle("CT-3")
def family_error_by_enumeration(setting: Setting) -> Result:
    """The chance that CT-3 accepts a network that misses delta, over every outcome of three."""
    closest, cases, delta = 0.0, 0, 0.1
    for n, confidence in ((22, 0.9), (38, 0.9), (60, 0.95)):
        # Counts from `most` on all fail, by the law that the p-value rises with the count.
        most = 6
        if sipp_theory.fixed_sequence([most], n, delta, confidence).last >= 0:
            raise Refuted(f"{most} violations of {n} pass at delta = {delta}, {confidence}")
        last = np.empty((most + 1,) * 3, int)
        for counts in itertools.product(range(most + 1), repeat=3):
            last[counts] = sipp_theory.fixed_sequence(counts, n, delta, confidence).last
        for first, rates in ((0, (0.1, 0.1, 0.1)), (1, (0.02, 0.1, 0.1)), (2, (0.0, 0.05, 0.1))):
            # Rates at delta stand for rates just above it, where the chance is largest.
            masses = [stats.binom.pmf(np.arange(most + 1), n, rate) for rate in rates]
            for mass in masses:
                mass[most] = 1 - mass[:most].sum()
            apart = np.einsum("i,j,k->ijk", *masses)
            together = np.zeros_like(apart)
            np.einsum("iii->i", together)[:] = masses[-1]
            for law in (apart, together) if first == 0 else (apart,):
                failure = float(law[last >= first].sum()) / (1 - confidence)
                if failure > 1 + 1e-9:
                    raise Refuted(f"fixed_sequence accepts a false network with {failure:.4f} of "
                                  f"the probability allowed: n = {n}, rates {rates}")  # fmt: skip
                closest, cases = max(closest, failure), cases + 1
    text = f"{closest:.3f} of the error allowed, whether the networks err apart or together"
    return Result(text, cases=cases, promised=1.0, needed=closest)


@oracle("CT-3")
def p_values_at_50_digits(setting: Setting) -> Result:
    """The p-values of CT-3, binomial tails, never below the exact ones."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for n, delta in itertools.product((1, 20, 300), (0.01, 0.05, 0.4)):
            counts = sorted({0, n // 20, n // 4, n})
            computed = sipp_theory.fixed_sequence(counts, n, delta, 0.95).p_values
            for k, value in zip(counts, computed, strict=True):
                exact = _tail(k, n, delta)
                truth = mpmath.mpf(exact.numerator) / exact.denominator
                close(float(value), truth, {"k": k, "n": n, "delta": delta}, "above", MARGIN)
                cases += 1
    return Result(cases=cases)

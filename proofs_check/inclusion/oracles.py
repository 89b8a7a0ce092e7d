"""SP-8 against 50 digits and against every one of the 2^k patterns of kept weights."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

import sipp_theory
from proofs_check.inclusion.exact_laws import (
    Law,
    estimates,
    failure,
    fractions_of,
    independent_law,
    least_error,
    pivotal_law,
)
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from proofs_check.monte_carlo.neuron_check import INCLUSION_OF_A_SIGN
from sipp_core.runtime import generator

STREAM = 62
CLOSED = ("bernstein", "kl")
ROWS = np.array([[0.9, 0.04, 0.03, 0.02, 0.01, 0.0], [0.2, 0.3, 0.3, 0.1, 0.05, 0.05]])
S = ROWS.max(axis=0)


def _instances(setting: Setting, largest: int) -> list[np.ndarray]:
    """Shares (n, k), k <= largest: equal, dominant, near ties, huge range, disjoint, spiky rows."""
    fixed = [
        np.full((1, 5), 0.2),
        np.array([[0.97, 0.01, 0.01, 0.005, 0.005], [0.9, 0.04, 0.03, 0.02, 0.01]]),
        (np.full(5, 1 / 5) + np.arange(-2, 3) * 1e-9)[None],
        10.0 ** np.array([[0.0, -1, -2, -4, -8, -12]]),
        np.array([[0.5, 0, 0.5, 0, 0, 0], [0, 0.5, 0, 0.5, 0, 0], [0, 0, 0, 0, 0.5, 0.5]]),
    ]
    more = 20 if setting.full else 3
    for trial in range(more):
        rng = generator(setting.seed, STREAM, 1, trial)
        fixed.append(rng.dirichlet(np.full(largest, 0.4), 3))
    return [rows / rows.sum(axis=1, keepdims=True) for rows in fixed]


def _laws(p: list[Fraction], bound: str) -> dict[str, Law]:
    """The schemes that a bound speaks of: the exact tail is that of independent coins alone."""
    laws = {"independent": independent_law(p)}
    if bound != "exact":
        laws["coupled"] = pivotal_law(p)
    return laws


@oracle("SP-8")
def closed_forms(setting: Setting) -> Result:
    """Errors of the Bernstein and Bennett forms at 50 digits, on the safe side."""
    cases = 0
    for delta in (1e-12, 0.05, 0.9):
        for cover, shares in ((1.0, None), (3.0, None), (1.0, ROWS)):
            for rate in (0.5, 1.5, 3.5, 11.0, 19.0):
                at = {"s": S.tolist(), "c": rate, "delta": delta, "C": cover, "shares": shares}
                computed = {
                    bound: float(
                        sipp_theory.inclusion_error(
                            S, rate, delta, shares=shares, coverage_factor=cover, bound=bound
                        )
                    )
                    for bound in CLOSED
                }
                with mpmath.workdps(DIGITS):
                    b = mpmath.mpf(cover) / mpmath.mpf(rate)
                    log = mpmath.log(2 / mpmath.mpf(delta))
                    moving = rate * S < 1
                    carried = [S] if shares is None else ROWS
                    share = max(mpmath.fsum(map(mpmath.mpf, row[moving])) for row in carried)
                    share = min(mpmath.mpf(1), cover * share)
                    linear = b * log / 3
                    truth = linear + mpmath.sqrt(linear**2 + 2 * b * share * log)
                    close(computed["bernstein"], truth, at, safe="above")
                    close(computed["kl"], _bennett(share, b * log), at, safe="above")
                cases += 2
    return Result(cases=cases)


def _bennett(share: Any, goal: Any) -> Any:
    """The eps with G h(eps/G) = goal, by bisection at full precision."""
    low, high = mpmath.mpf(0), goal + mpmath.sqrt(goal**2 + 2 * goal * share) + 1
    for _ in range(200):
        eps = (low + high) / 2
        t = eps / share
        low, high = (low, eps) if share * ((1 + t) * mpmath.log(1 + t) - t) >= goal else (eps, high)
    return high


@oracle("SP-8")
def least_rate(setting: Setting) -> Result:
    """The closed rates are the least ones: a scan from below finds none that meets the formula."""
    s = np.concatenate([[0.95, 0.5, 0.5], generator(setting.seed, STREAM, 2).random(6) * 0.2])
    cases = 0
    for bound in CLOSED:
        for eps in (1e-6, 0.05, 0.5, 0.99):
            for cover in (1.0, 2.0):
                rate = float(
                    sipp_theory.inclusion_rate(s, eps, 0.05, coverage_factor=cover, bound=bound)
                )
                if not _meets(s, rate, eps, cover, bound):
                    raise Refuted(f"inclusion_rate({s.tolist()}, {eps}, C={cover}, {bound!r}) = "
                                  f"{rate!r} does not meet its formula")  # fmt: skip
                scan = np.concatenate([np.geomspace(1e-3, 1, 120), 1 / s / rate, [1 - 1e-9]])
                for c in scan[scan < 1 - 1e-11] * rate:
                    if _meets(s, float(c), eps, cover, bound):
                        raise Refuted(f"rate {c!r} meets {bound} eps={eps} C={cover} at "
                                      f"s={s.tolist()}; found {rate!r}")  # fmt: skip
                    cases += 1
    return Result(cases=cases)


def _meets(s: np.ndarray, rate: float, eps: float, cover: float, bound: str) -> bool:
    """Whether THEORY's formula holds at a rate, G_R from the sensitivities."""
    with mpmath.workdps(DIGITS):
        log = mpmath.log(40)
        share = min(mpmath.mpf(1), cover * mpmath.fsum(mpmath.mpf(x) for x in s if rate * x < 1))
        if share == 0:
            return True
        if bound == "bernstein":
            return rate >= 2 * cover * (share + mpmath.mpf(eps) / 3) * log / mpmath.mpf(eps) ** 2
        t = mpmath.mpf(eps) / share
        return rate * share * ((1 + t) * mpmath.log(1 + t) - t) >= cover * log


@oracle("SP-8")
def rates_by_enumeration(setting: Setting) -> Result:
    """At the promised rate, over all 2^k patterns: unbiased, and the failure rate is at most delta.

    Independent inclusion for every bound, pivotal sampling for all but the exact tail.
    """
    cases, worst, least = 0, 0.0, {bound: np.inf for bound in INCLUSION_OF_A_SIGN}
    for rows in _instances(setting, 6 if setting.full else 5):
        s = rows.max(axis=0)
        for eps, delta in ((0.3, 0.05), (0.6, 0.2), (0.9, 0.02)):
            for bound in INCLUSION_OF_A_SIGN:
                rate = float(sipp_theory.inclusion_rate(s, eps, delta, shares=rows, bound=bound))
                p = fractions_of(np.minimum(1.0, rate * s))
                least[bound] = min(least[bound], float(sum(p)))
                for scheme, law in _laws(p, bound).items():
                    for row in map(fractions_of, rows):
                        missed = failure(law, p, row, eps)
                        at = f"{scheme}, {bound}, eps={eps}, delta={delta}, shares={rows.tolist()}"
                        if missed > Fraction(delta):
                            raise Refuted(f"fails with {float(missed):.6g} at {at}")
                        if sum(v * m for v, m in estimates(law, p, row).items()) != 1:
                            raise Refuted(f"biased at {at}")
                        worst = max(worst, float(missed) / delta)
                        cases += 1
    return Result(f"the largest failure rate is {worst:.2f} of delta", cases)


@oracle("SP-8", "SP-5x")
def errors_by_enumeration(setting: Setting) -> Result:
    """At a given rate every bound covers the true quantile; the exact tail comes within 5%."""
    cases, ratios = 0, []
    for rows in _instances(setting, 6 if setting.full else 5):
        s = rows.max(axis=0)
        for rate in (0.7, 6.0):
            p = fractions_of(np.minimum(1.0, rate * s))
            alone, coupled = (
                [estimates(law, p, fractions_of(row)) for row in rows]
                for law in (independent_law(p), pivotal_law(p))
            )
            chance = np.array(p, float)
            spread = float(np.sqrt((rows**2 / chance @ (1 - chance)).max()))
            for delta in (1e-3, 0.05):
                truth = max(least_error(one, delta) for one in alone)
                pivot = max(least_error(one, delta) for one in coupled)
                near = max(least_error(one, 0.99 * delta) for one in alone)
                computed = {
                    bound: float(
                        sipp_theory.inclusion_error(s, rate, delta, shares=rows, bound=bound)
                    )
                    for bound in INCLUSION_OF_A_SIGN
                }
                at = f"rate={rate}, delta={delta}, shares={rows.tolist()}"
                for bound, got in computed.items():
                    expected = truth if bound == "exact" else max(truth, pivot)
                    if got < expected * (1 - 1e-9) - 1e-12:
                        raise Refuted(
                            f"{bound} promises {got!r}, the truth is {expected!r} at {at}"
                        )
                    cases += 1
                loose = computed["exact"] > near + 0.05 * spread + 0.01 * near
                if loose and computed["exact"] < computed["cramer"] * (1 - 1e-9):
                    raise Refuted(
                        f"exact promises {computed['exact']!r}, the truth is {near!r} at {at}"
                    )
                if truth > 0:
                    ratios.append(computed["exact"] / truth)
    return Result(f"promised over true quantile by the exact tail: median {np.median(ratios):.3f}",
                 cases)  # fmt: skip


@oracle("SP-8")
def expected_count(setting: Setting) -> Result:
    """The expected number of weights kept is that over all 2^k patterns, in either scheme."""
    cases = 0
    for rows in _instances(setting, 6):
        s = rows.max(axis=0)
        for rate in (0.0, 0.4, 1.0, 3.0, 1e3):
            p = fractions_of(np.minimum(1.0, rate * s))
            for law in (independent_law(p), pivotal_law(p)):
                truth = sum((len(kept) * mass for kept, mass in law.items()), Fraction(0))
                with mpmath.workdps(DIGITS):
                    exact = mpmath.mpf(truth.numerator) / truth.denominator
                    close(float(sipp_theory.expected_kept(s, rate)), exact,
                          {"s": s.tolist(), "c": rate}, relative=1e-14)  # fmt: skip
                cases += 1
            computed = sipp_theory.inclusion_probabilities(s, rate)
            if fractions_of(computed) != p:
                raise Refuted(
                    f"inclusion_probabilities({s.tolist()}, {rate}) = {computed.tolist()}"
                )
    return Result(cases=cases)

"""Failure probabilities of SP-2 to SP-5x without sampling: binomial laws and enumeration.

The two-point instance attains Chernoff's bound: each of M weights is the whole output at an input
of its own, so that a draw pays M with probability 1/M. Its failure probability is a binomial one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

import sipp_theory
from proofs_check.draws.oracles_at_instances import SMALL, outcomes
from proofs_check.kinds.coverage import two_point, two_point_failure
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle

TIE = 1e-12


def failures(span: float, m: np.ndarray, eps: float) -> np.ndarray:
    """Pr(|M Bin(m, 1/M)/m - 1| > eps) for many m, from scipy's binomial tails."""
    high = np.floor(m * (1 + eps) / span + TIE)
    low = np.ceil(m * (1 - eps) / span - TIE)
    return stats.binom.sf(high, m, 1 / span) + stats.binom.cdf(low - 1, m, 1 / span)


def needed(span: float, size: float, eps: float, delta: float) -> float:
    """Least number of draws from which on, up to `size`, the two-point instance keeps its delta."""
    m = np.arange(1.0, size + 1)
    failing = m[failures(span, m, eps) > delta]
    return float(failing[-1]) + 1 if failing.size else 1.0


def worst_case(claim: str, size: Callable[[float, float, float], float], *cases: tuple) -> Result:
    """Hold a size against the binomial law, and see what it may be divided by before it breaks."""
    tightest = (math.inf, math.nan, math.nan, "")
    for span, eps, delta in cases:
        m = size(span, eps, delta)
        rate = float(failures(span, np.array([m]), eps)[0])
        # A size that is no whole number has no law: then the rate is NaN.
        if not rate <= delta:
            raise Refuted(
                f"{claim}, two-point instance with M = {span:g}, eps = {eps}: {m:g} draws fail "
                f"with probability {rate:.3g}, promised {delta:.3g}"
            )
        least = needed(span, m, eps, delta)
        tightest = min(tightest, (m / least, m, least, f"M = {span:g}, eps = {eps}, {delta:.2g}"))
    ratio, promised, least, where = tightest
    text = f"its size may be divided by at most {ratio:.2f} on its worst case ({where})"
    return Result(text, len(cases), promised, least)


@oracle("SP-2")
def corenet_worst_case(setting: Setting) -> Result:
    """SP-2 where every share is K times its sensitivity, by the exact binomial law."""
    spans = {}

    def size(span: float, eps: float, delta: float) -> float:
        eta, eta_star, network = spans[delta]
        total = span / math.log(eta * eta_star)
        return float(sipp_theory.corenet_size(total, eps, network, eta, eta_star))

    cases = []
    for eta, network in ((100, 0.7), (10**6, 0.05), (10**12, 0.05)):
        own = 3 * network / (8 * eta)
        spans[own] = (eta, 1000, network)
        cases += [(60.0, eps, own) for eps in (0.3, 0.9)]
    return worst_case("SP-2", size, *cases)


HARD = [(2.0, 0.05, 1e-2), (9.0, 0.2, 1e-4), (9.0, 0.9, 0.05), (50.0, 0.3, 1e-2),
        (9.0, 0.3, 1e-12), (1000.0, 0.9, 1e-12)]  # fmt: skip


@oracle("SP-3")
def bernstein_worst_case(setting: Setting) -> Result:
    """SP-3 on the two-point instance, by the exact binomial law."""
    return worst_case("SP-3", lambda *at: float(sipp_theory.bernstein_size(*at)), *HARD)


@oracle("SP-4")
def chernoff_worst_case(setting: Setting) -> Result:
    """SP-4 on the two-point instance, by the exact binomial law, M below 2 included."""
    return worst_case("SP-4", lambda *at: float(sipp_theory.kl_size(*at)), *HARD, (1.2, 0.15, 1e-6))


def _on_two_points(name: str) -> Callable[[float, float, float], float]:
    """Size of an instance-exact claim on the two-point instance, at one of its equal inputs."""

    def size(span: float, eps: float, delta: float) -> float:
        shares, scores = two_point(int(span))
        return float(getattr(sipp_theory, name)(shares[:1], scores / span, eps, delta))

    return size


@oracle("SP-5")
def cramer_worst_case(setting: Setting) -> Result:
    """SP-5 on the two-point instance, by the exact binomial law."""
    return worst_case("SP-5", _on_two_points("cramer_size"), *HARD[:-1])


@oracle("SP-5x")
def exact_worst_case(setting: Setting) -> Result:
    """SP-5x on the two-point instance, by the exact binomial law."""
    computed = worst_case("SP-5x", _on_two_points("exact_size"), *HARD[:-2])
    if computed.promised / computed.needed > 1.1:
        raise Refuted(f"SP-5x asks for {computed.promised} where {computed.needed} are enough")
    return computed


@oracle("SP-3", "SP-4", "SP-5")
def two_sides_must_be_paid_for(setting: Setting) -> Result:
    """One fair coin at eps = .999: what each claim asks for keeps delta; ln(1/delta) does not."""
    sizes = {
        "SP-3": (0.9, lambda delta: sipp_theory.bernstein_size(2.0, 0.999, delta)),
        "SP-4": (0.6, lambda delta: sipp_theory.kl_size(2.0, 0.999, delta)),
        "SP-5": (0.6, lambda d: sipp_theory.cramer_size([1.0, 0.0], [0.5, 0.5], 0.999, d)),
    }
    for claim, (delta, size) in sizes.items():
        m = float(size(delta))
        rate = two_point_failure(2.0, m, 0.999)
        if not rate <= delta:
            raise Refuted(f"{claim}: {m:.0f} fair coins fail with {rate:.3g}, promised {delta}")
    return Result(cases=len(sizes))


@oracle("SP-3", "SP-4", "SP-5", "SP-5x")
def failures_by_enumeration(setting: Setting) -> Result:
    """On small supports every claim's draws fail with at most delta, outcome by outcome."""
    cases, largest = 0, 0.0
    for (g, q), eps, delta in (
        (case, eps, delta) for case in SMALL.values() for eps in (0.3, 0.7) for delta in (0.02, 0.3)
    ):
        span = max(a / b for a, b in zip(g, q, strict=True))
        for claim, m in (
            ("SP-5x", float(sipp_theory.exact_size([g], q, eps, delta))),
            ("SP-5", float(sipp_theory.cramer_size([g], q, eps, delta))),
            ("SP-4", float(sipp_theory.kl_size(max(1.0, span), eps, delta))),
            ("SP-3", float(sipp_theory.bernstein_size(max(1.0, span), eps, delta))),
        ):
            if m > (400 if len(g) == 2 else 60):
                continue
            deviations, masses = outcomes(g, q, int(m))
            rate = float(masses[deviations > eps * (1 + TIE)].sum())
            if not rate <= delta * (1 + 1e-9):
                raise Refuted(f"{claim}: g = {g}, q = {q}, m = {m:.0f}, eps = {eps}: {rate:.4g}")
            cases, largest = cases + 1, max(largest, rate / delta)
    return Result(f"at most {largest:.2f} of what is promised", cases)


@oracle("SP-3")
def heuristic_is_no_certificate(setting: Setting) -> Result:
    """SiPP's ranking heuristic read as a bound fails on 100 two-point neurons, more than delta."""
    neurons, span, m, delta = 100, 9.0, 20_000.0, 0.05
    eps = float(sipp_theory.heuristic_error(span, m, delta, neurons))
    own = 2 * delta / (16 * neurons)
    one = two_point_failure(span, m, eps)
    # Both signs of every neuron, drawn independently: any of them may leave 1 +- eps.
    layer = -math.expm1(2 * neurons * math.log1p(-one))
    text = (
        f"two-point neurons, S = 9, 20000 draws, eps = {eps:.4f}: one fails with {one:.2e} "
        f"({one / own:.0f} times its 2 exp(-L)), a layer of 100 with {layer:.2f}, not {delta}"
    )
    if one <= own or layer <= delta:
        raise Refuted(f"the counterexample to the heuristic is gone: {text}")
    if two_point_failure(span, m, float(sipp_theory.bernstein_error(span, m, own))) > own:
        raise Refuted("SP-3 fails where it should mend the heuristic")
    return Result(text, 1)

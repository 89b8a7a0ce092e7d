"""GN-1 to GN-4 against 50 digits and in exact fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle

CASES = ((0, 1), (1, 20), (15, 300), (16, 300), (29, 1437), (1200, 60_000), (59_000, 60_000))
LEVELS = ((0.0, 0.05), (0.5, 0.9), (7.3, 1e-9), (900.0, 0.05), (20_000.0, 0.05))


def log_tail(k: int, n: int, rate: Any) -> Any:
    """Logarithm of Pr(Bin(n, rate) <= k), summed downwards from k until 60 digits stand."""
    term = mpmath.binomial(n, k) * rate**k * (1 - rate) ** (n - k)
    total = term
    for i in range(k, 0, -1):
        term *= i * (1 - rate) / ((n - i + 1) * rate)
        total += term
        if term < total * mpmath.mpf("1e-60") and i < (n + 1) * rate:
            break
    return mpmath.log(total)


def _kl(q: Any, p: Any) -> Any:
    first = q * mpmath.log(q / p) if q > 0 else mpmath.mpf(0)
    return first + (1 - q) * mpmath.log((1 - q) / (1 - p))


def _exceeds(form: str, k: int, n: int, rate: Any) -> Any:
    """What GN-3 compares with the cost: minus the log tail, or its bounds."""
    if form == "binomial":
        return -log_tail(k, n, rate)
    share = mpmath.mpf(k) / n
    return n * _kl(share, rate) if form == "kl" else 2 * n * (rate - share) ** 2


@oracle("GN-3")
def rates_at_50_digits(setting: Setting) -> Result:
    """The three forms meet their level, and a rate smaller by some 1e-12 does not."""
    cases = 0
    with mpmath.workdps(DIGITS + 15):
        for form, (k, n), (bits, delta) in itertools.product(
            ("binomial", "kl", "hoeffding"), CASES, LEVELS
        ):
            given = {"errors": k, "n": n, "bits": bits, "delta": delta}
            computed = float(sipp_theory.occam_bound(form, **given))
            cost = mpmath.mpf(bits) * mpmath.log(2) - mpmath.log(mpmath.mpf(delta))
            below = mpmath.mpf(computed) * (1 - mpmath.mpf("4e-12"))
            # Next to 1 the distance from 1 is what counts, to one unit of the last place.
            below = (
                min(below, mpmath.mpf(computed) - mpmath.mpf(2) ** -52) if computed > 0.5 else below
            )
            if computed < 1 and _exceeds(form, k, n, mpmath.mpf(computed)) < cost:
                raise Refuted(f"occam_bound({form!r}, {given}) = {computed!r} is too small")
            if below > mpmath.mpf(k) / n and _exceeds(form, k, n, below) >= cost:
                raise Refuted(f"occam_bound({form!r}, {given}) = {computed!r} is too large")
            cases += 1
    return Result(cases=cases)


@oracle("GN-3")
def failure_of_each_file(setting: Setting) -> Result:
    """The chance that GN-3 fails for one file is at most its share of delta, in exact fractions."""
    closest, cases = Fraction(0), 0
    sizes = (1, 7, 40) + ((150,) if setting.full else ())
    for n, bits, delta in itertools.product(sizes, (0, 1, 6, 60), (0.05, 0.5)):
        k = np.arange(n + 1)
        bounds = sipp_theory.occam_bound("binomial", errors=k, n=n, bits=bits, delta=delta)
        share = Fraction(delta) / 2**bits
        for one in range(n):
            # Between two bounds the failing counts are 0 to k; the supremum is at the lower end.
            top, bottom = Fraction(float(bounds[one])).as_integer_ratio()
            tail = sum(math.comb(n, i) * top**i * (bottom - top) ** (n - i)
                       for i in range(one + 1))  # fmt: skip
            failure = Fraction(tail, bottom**n)
            if failure > share:
                raise Refuted(f"errors={one}, n={n}, bits={bits}, delta={delta}: fails with "
                              f"{float(failure / share):.9g} of its share")  # fmt: skip
            closest, cases = max(closest, failure / share), cases + 1
    text = f"the worst rate fails with {float(closest):.12f} of what is allowed"
    return Result(text, cases=cases, promised=1.0, needed=float(closest))


@oracle("GN-4")
def catoni_at_50_digits(setting: Setting) -> Result:
    """The infimum over lambda by golden section at 50 digits, never from below; THEORY's value."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for rate, n, bits, alpha in itertools.product(
            (0.01, 0.3), (1000, 1_281_167), (0.0, 300.0, 50_000.0), (1e-4, 0.05)
        ):
            nats = mpmath.mpf(bits * np.log(2))
            computed = float(sipp_theory.catoni_bound(
                error_rate=rate, n=n, divergence=bits * np.log(2), delta=0.05, alpha=alpha
            ))  # fmt: skip
            truth = min(mpmath.mpf(1), _least(rate, n, nats, alpha))
            at: dict[str, object] = {"rate": rate, "n": n, "bits": bits, "alpha": alpha}
            close(computed, truth, at, "above", 1e-9)
            cases += 1
    size = 350 * 1024 * 8 * np.log(2)
    known = sipp_theory.catoni_bound(error_rate=0.35, n=1_281_167, divergence=size, delta=0.05)
    if round(float(known), 4) != 0.9654:
        raise Refuted(f"350 KiB, error .35, n = 1,281,167, eps = .05: {float(known)!r}, not .9654")
    return Result("350 KiB, error .35, n = 1,281,167, eps = .05: .9654", cases=cases + 1)


def _least(rate: float, n: int, nats: Any, alpha: float) -> Any:
    """Least value over ln lambda, by golden section (the form falls, then rises)."""
    cost, fine = nats - mpmath.log(mpmath.mpf(0.05)), mpmath.log(1 + mpmath.mpf(alpha))

    def at(log: Any) -> Any:
        scale = mpmath.exp(log)
        union = 2 * mpmath.log(2 + log / fine)
        inner = mpmath.mpf(rate) + (1 + mpmath.mpf(alpha)) / scale * (cost + union)
        return mpmath.expm1(-scale / n * inner) / mpmath.expm1(-scale / n)

    low, high, golden = mpmath.mpf(0), mpmath.log(64 * n), (mpmath.sqrt(5) - 1) / 2
    one, other = high - golden * (high - low), low + golden * (high - low)
    left, right = at(one), at(other)
    for _ in range(80):
        if left < right:
            high, other, right = other, one, left
            one = high - golden * (high - low)
            left = at(one)
        else:
            low, one, left = one, other, right
            other = low + golden * (high - low)
            right = at(other)
    return min(left, right, at(mpmath.mpf(0)))


@oracle("GN-4", "GN-3")
def unpaid_lambda_is_kl(setting: Setting) -> Result:
    """Without its union GN-4's least value is the kl form, so one network needs no union."""
    cases = 0
    for k, n, bits in itertools.product((1, 40, 300), (1000, 60_000), (0.0, 30.0, 2000.0)):
        cost = bits * np.log(2) - np.log(0.05)
        scale = np.exp(np.linspace(0, np.log(64 * n), 200_001))
        inner = k / n + cost / scale
        free = (np.expm1(-scale / n * inner) / np.expm1(-scale / n)).min()
        kl = float(sipp_theory.occam_bound("kl", errors=k, n=n, bits=bits, delta=0.05))
        if not abs(min(free, 1.0) - kl) <= 1e-7 * kl:
            raise Refuted(f"k = {k}, n = {n}, bits = {bits}: unpaid {free!r}, kl {kl!r}")
        cases += 1
    return Result(cases=cases)


@oracle("GN-1")
def compression_at_50_digits(setting: Setting) -> Result:
    """GN-1's closed form, never from below."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for loss, off, q, r, n, choices in itertools.product(
            (0.0, 0.03), (0.0, 0.01), (0, 1, 500, 10**6), (1, 16, 2**32), (10, 60_000), (1, 12)
        ):
            computed = float(sipp_theory.compression_bound(
                margin_loss=loss, exceptions=off, parameters=q, levels=r, n=n, delta=0.05,
                choices=choices,
            ))  # fmt: skip
            nats = q * mpmath.log(r) + mpmath.log(choices) - mpmath.log(mpmath.mpf(0.05))
            truth = mpmath.mpf(loss) + mpmath.mpf(off) + mpmath.sqrt(nats / (2 * n))
            close(computed, truth, {"q": q, "r": r, "n": n, "choices": choices}, "above")
            cases += 1
    return Result(cases=cases)


@oracle("GN-2")
def corenet_at_50_digits(setting: Setting) -> Result:
    """GN-2 from its formula: sizes, nats of values, places and counts; and its factors' product."""
    cases = 0
    for ratio, gamma, weights, n in itertools.product(
        (1.0, 1.5, 40.0), (0.1, 1.7), (50, 10**9), (500, 60_000)
    ):
        sums, ratios = ([[3.0, 2.0]], [[4.0, 1.0]]), (ratio, ratio)
        given = {"largest_output": 1.3, "gamma": gamma, "margin_loss": 0.02, "n": n,
                 "weights": weights, "biases": 7, "delta": 0.05, "failure": 2.5 / n, "eta": 2.0,
                 "eta_star": 5.0, "rounding": 0.0}  # fmt: skip
        computed = sipp_theory.corenet_generalization(sums, ratios, **given)
        with mpmath.workdps(DIGITS):
            truth, penalty = _corenet(sums, ratios, **given)
            at: dict[str, object] = {"ratio": ratio, "gamma": gamma, "weights": weights, "n": n}
            close(computed.bound, truth, at, "above", 1e-9)
            close(2.0**computed.log2_penalty, penalty, at, relative=1e-6)
        cases += 1
    return Result(cases=cases)


def _corenet(
    sums: Any, ratios: Any, *, largest_output: float, gamma: float, margin_loss: float, n: int,
    weights: int, biases: int, delta: float, failure: float, eta: float, eta_star: float,
    rounding: float,
) -> tuple[Any, Any]:  # fmt: skip
    eps = min(mpmath.mpf(1), mpmath.mpf(gamma) / (2 * mpmath.mpf(largest_output)))
    logs = mpmath.log(eta * eta_star) * mpmath.log(8 * eta / mpmath.mpf(failure))
    nonzeros, smooth = 0, mpmath.mpf(0)
    for layer, total in enumerate(sums):
        growth = mpmath.mpf(1)
        for value in ratios[layer:]:
            growth *= mpmath.mpf(value) ** 2
        for one in np.ravel(total):
            size = 32 * len(ratios) ** 2 * growth * mpmath.mpf(float(one)) * logs / eps**2
            nonzeros, smooth = nonzeros + int(mpmath.ceil(size)) + 1, smooth + size
    kept = min(nonzeros, weights)
    value = kept * mpmath.log(2) * 32
    places = kept * mpmath.log(mpmath.e * weights / kept)
    value, places = min((value, places), (weights * 32 * mpmath.log(2), 0), key=sum)
    value += biases * 32 * mpmath.log(2)
    nats = value + places + mpmath.log(weights + 1) - mpmath.log(mpmath.mpf(delta))
    off = mpmath.mpf(math.floor(failure * n)) / n if nonzeros < weights else 0
    bound = mpmath.mpf(margin_loss) + off + mpmath.sqrt(nats / (2 * n))
    return bound, smooth * (nats / kept) / (2 * n)


@oracle("GN-2")
def places_in_whole_numbers(setting: Setting) -> Result:
    """C(N, q) <= (e N/q)^q for all q <= N <= 60, e from below by its series."""
    e = sum(Fraction(1, math.factorial(i)) for i in range(20))
    for weights in range(1, 61):
        for kept in range(1, weights + 1):
            if math.comb(weights, kept) > (e * Fraction(weights, kept)) ** kept:
                raise Refuted(f"C({weights}, {kept}) is above (e N/q)^q")
    return Result(cases=60 * 61 // 2)

"""SP-11 against 50 digits and against every pattern of kept weights, in rational arithmetic."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

import sipp_theory
from proofs_check.inclusion.exact_laws import (
    fractions_of,
    independent_law,
    least_error,
    pivotal_law,
)
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.runtime import generator

STREAM = 66
DELTAS = (1e-3, 0.05, 0.3)
Values = dict[Fraction, Fraction]


def _layers(setting: Setting, largest: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Weights (1, k), rows (n, k) of both signs, and probabilities (1, k)."""
    layers = [
        (np.ones((1, 4)), np.array([[0.951, 0.049, -0.951, -0.049]]), np.full((1, 4), 0.6)),
        (np.array([[1.0, -1.0, 1.0, -1.0]]), np.ones((1, 4)), np.full((1, 4), 0.5)),
        (np.array([[3.0, -1e-6, 1.0, 0.0]]), np.eye(4) - 0.5, np.array([[0.9, 0.2, 1.0, 0.4]])),
    ]
    for trial in range(12 if setting.full else 3):
        rng = generator(setting.seed, STREAM, trial)
        w, a = rng.normal(size=(1, largest)), rng.normal(size=(3, largest))
        layers.append((w, a, rng.random((1, largest)) * 0.9 + 0.05))
    return layers


def _moved(w: np.ndarray, row: np.ndarray, p: np.ndarray, law: dict[frozenset[int], Fraction]
           ) -> Values:  # fmt: skip
    """Law of 1 + (z^ - z)/z~ at one row, as exact as the kept sets' law."""
    parts = [x * y for x, y in zip(fractions_of(w), fractions_of(row), strict=True)]
    size, chance = sum(map(abs, parts), Fraction(0)), fractions_of(p)
    masses: dict[Fraction, Fraction] = defaultdict(Fraction)
    for kept, mass in law.items():
        moved = sum((parts[j] / chance[j] for j in kept), Fraction(0)) - sum(parts, Fraction(0))
        masses[1 + moved / size] += mass
    return masses


def _beyond(values: Values, eps: float) -> Fraction:
    """Probability that the error exceeds eps; a rounding is no failure."""
    limit = Fraction(eps) * (1 + Fraction(1, 10**9)) + Fraction(1, 10**12)
    return sum((mass for v, mass in values.items() if abs(v - 1) > limit), Fraction(0))


@oracle("SP-11")
def coins_by_enumeration(setting: Setting) -> Result:
    """Over all 2^k patterns it fails with at most delta; the exact tail is near the truth."""
    cases, ratios = 0, []
    for w, a, p in _layers(setting, 7 if setting.full else 6):
        law = independent_law(fractions_of(p[0]))
        live = [row for row in a if (w * row).any()]
        truths = [_moved(w[0], row, p[0], law) for row in live]
        for delta in DELTAS:
            truth = max(least_error(values, delta) for values in truths)
            near = max(least_error(values, 0.99 * delta) for values in truths)
            spread = max(
                math.sqrt(sum(float(m) * float(v - 1) ** 2 for v, m in values.items()))
                for values in truths
            )
            for exact in (False, True):
                error = float(sipp_theory.tail_error(w, a, p, delta, exact=exact)[0])
                at = f"exact={exact}, delta={delta}, w={w.tolist()}, rows={a.tolist()}"
                for values in truths:
                    if _beyond(values, error) > Fraction(delta):
                        raise Refuted(f"{error!r} fails with more than delta at {at}")
                    cases += 1
                if exact and error > near + 0.05 * spread + 0.01 * near:
                    chernoff = float(sipp_theory.tail_error(w, a, p, delta)[0])
                    if error < chernoff * (1 - 1e-9):
                        raise Refuted(f"{error!r}, the truth is {near!r} at {at}")
                if exact and truth > 0:
                    ratios.append(error / truth)
    return Result(f"exact tail over true quantile: median {np.median(ratios):.3f}", cases)


@oracle("SP-11")
def coupled_by_enumeration(setting: Setting) -> Result:
    """With pivotal coupling within a sign of the weights it holds at activations >= 0."""
    cases = 0
    for trial in range(20 if setting.full else 6):
        rng = generator(setting.seed, STREAM, 100, trial)
        w, a = rng.normal(size=(1, 6)), rng.random((3, 6))
        w[0, :3], w[0, 3:] = np.abs(w[0, :3]), -np.abs(w[0, 3:])
        p = rng.random((1, 6)) * 0.9 + 0.05
        signs = [pivotal_law(fractions_of(part)) for part in (p[0, :3], p[0, 3:])]
        law = {
            first | {j + 3 for j in second}: mass * other
            for (first, mass), (second, other) in itertools.product(*(s.items() for s in signs))
        }
        for delta in DELTAS:
            error = float(sipp_theory.tail_error(w, a, p, delta)[0])
            for row in a:
                if _beyond(_moved(w[0], row, p[0], law), error) > Fraction(delta):
                    raise Refuted(
                        f"coupled coins fail with more than delta={delta} at w={w.tolist()}, "
                        f"row={row.tolist()}, p={p.tolist()}"
                    )
                cases += 1
    return Result(cases=cases)


@oracle("SP-11")
def draws_by_enumeration(setting: Setting) -> Result:
    """Over all outcomes of a few draws from each sign the promise fails with at most delta."""
    cases = 0
    for trial in range(12 if setting.full else 4):
        rng = generator(setting.seed, STREAM, 200, trial)
        w = np.array([[1.0, 1.0, 1.0, -1.0, -1.0]]) * rng.random((1, 5))
        a = rng.normal(size=(2, 5))
        s = rng.random((1, 5)) + 0.1
        m = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        laws = [_outcomes(s[0], columns, n) for columns, n in (((0, 1, 2), m[0]), ((3, 4), m[1]))]
        for row in a:
            values: dict[Fraction, Fraction] = defaultdict(Fraction)
            parts = [x * y for x, y in zip(fractions_of(w[0]), fractions_of(row), strict=True)]
            size = sum(map(abs, parts), Fraction(0))
            for (first, mass), (second, other) in itertools.product(*laws):
                moved = sum((parts[j] * (k - 1) for j, k in (*first, *second)), Fraction(0))
                values[1 + moved / size] += mass * other
            for delta in DELTAS:
                for exact in (False, True):
                    error = float(
                        sipp_theory.tail_draws_error(
                            w, row[None], s, [[float(m[0])], [float(m[1])]], delta, exact=exact
                        )[0]
                    )
                    if _beyond(dict(values), error) > Fraction(delta):
                        raise Refuted(f"{m} draws fail with more than delta={delta} at "
                                      f"{error!r}, exact={exact}, w={w.tolist()}")  # fmt: skip
                    cases += 1
    return Result(cases=cases)


def _outcomes(scores: np.ndarray, columns: tuple[int, ...], m: int) -> list[Any]:
    """Every outcome of m draws from some weights: ((j, N_j/(m q_j)), ...) and its probability."""
    part = fractions_of(scores[list(columns)])
    q = [x / sum(part, Fraction(0)) for x in part]
    outcomes = []
    for counts in itertools.product(range(m + 1), repeat=len(columns)):
        if sum(counts) == m:
            mass = Fraction(math.factorial(m))
            for n, chance in zip(counts, q, strict=True):
                mass *= chance**n / math.factorial(n)
            factor = [Fraction(n) / (m * chance) for n, chance in zip(counts, q, strict=True)]
            outcomes.append((tuple(zip(columns, factor, strict=True)), mass))
    return outcomes


@oracle("SP-11")
def fifty_digits(setting: Setting) -> Result:
    """The error is inf over t of (K(t) + ln(2/delta))/t, the worse of two sides, at 50 digits."""
    cases = 0
    for w, a, p in _layers(setting, 6):
        for row in a:
            if not (w * row).any():
                continue
            for delta in DELTAS:
                computed = float(sipp_theory.tail_error(w, row[None], p, delta)[0])
                with mpmath.workdps(DIGITS):
                    truth = max(_inverse(w[0], row, p[0], delta, side) for side in (1, -1))
                    at = {"w": w.tolist(), "row": row.tolist(), "p": p.tolist(), "delta": delta}
                    close(computed, truth, at, safe="above", relative=1e-9)
                cases += 1
    return Result(cases=cases)


def _inverse(w: np.ndarray, row: np.ndarray, p: np.ndarray, delta: float, side: int) -> Any:
    """The inverse of the Legendre transform at ln(2/delta), no more than what can happen at all."""
    parts = [mpmath.mpf(x) * mpmath.mpf(y) for x, y in zip(w, row, strict=True)]
    size = mpmath.fsum(map(abs, parts))
    coins = [
        (side * part / (mpmath.mpf(chance) * size), mpmath.mpf(chance))
        for part, chance in zip(parts, p, strict=True)
        if part and chance < 1
    ]
    if not coins:
        return mpmath.mpf(0)
    most = mpmath.fsum(v * (1 - q) if v > 0 else -v * q for v, q in coins)
    log = mpmath.log(2 / mpmath.mpf(delta))

    def bound(t: Any) -> Any:
        k = mpmath.fsum(mpmath.log(1 - q + q * mpmath.exp(t * v)) - t * q * v for v, q in coins)
        return (k + log) / t

    low, high = mpmath.mpf("1e-6"), mpmath.mpf("1e8")
    ratio = (mpmath.sqrt(5) - 1) / 2
    low, high = mpmath.log(low), mpmath.log(high)
    for _ in range(160):  # golden section in ln t; the bound has one minimum
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        if bound(mpmath.exp(first)) < bound(mpmath.exp(second)):
            high = second
        else:
            low = first
    return min(most, bound(mpmath.exp((low + high) / 2)))

"""SP-5 by Legendre transforms at 50 digits, SP-5x by enumerating the law of the estimate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np
from scipy import special

import sipp_theory
from proofs_check.kinds.oracles import DIGITS
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle

Real = Any
Rows = tuple[tuple[float, ...], ...]

INSTANCES: dict[str, tuple[Rows, tuple[float, ...]]] = {
    "plain": (((0.7, 0.2, 0.1),), (0.5, 0.3, 0.2)),
    "two inputs": (((0.7, 0.2, 0.1), (0.1, 0.1, 0.8)), (0.4, 0.1, 0.5)),
    "coin": (((1.0, 0.0),), (0.5, 0.5)),
    "dominant": (((0.999, 0.0009, 0.0001), (0.98, 0.01, 0.01)), (0.97, 0.015, 0.015)),
    "near ties": (((0.3333333, 0.3333334, 0.3333333),), (0.3333334, 0.3333333, 0.3333333)),
    "wide": (((1 - 1.5e-6, 1e-6, 5e-7), (1 - 1e-12, 1e-12, 0.0)), (0.99, 0.009, 0.001)),
}
HALVINGS = 90


@cache
def centred(row: tuple[float, ...], q: tuple[float, ...], side: int) -> tuple[list[Real], ...]:
    """Centred values side (g_j/q_j - 1) of one draw and their probabilities, both normalised."""
    with mp.workdps(DIGITS):
        g, chance = [mp.mpf(x) for x in row], [mp.mpf(x) for x in q]
        g, chance = [x / mp.fsum(g) for x in g], [x / mp.fsum(chance) for x in chance]
        return [side * (a / b - 1) for a, b in zip(g, chance, strict=True)], chance


def moment(law: tuple[list[Real], ...], tilt: Real) -> tuple[Real, Real]:
    """K(tilt) = ln E exp(tilt U) and K'(tilt)."""
    mass = [c * mp.exp(tilt * u) for u, c in zip(*law, strict=True)]
    total = mp.fsum(mass)
    return mp.log(total), mp.fsum(w * u for w, u in zip(mass, law[0], strict=True)) / total


def rising_root(function: Callable[[Real], Real], start: Real) -> Real | None:
    """Root of a rising function on (0, inf) by halving, as good as its square needs; None if none.

    What it is used for is stationary there, so half of the digits are enough.
    """
    low, high = mp.mpf(0), mp.mpf(start)
    while function(high) < 0:
        low, high = high, 2 * high
        if high > mp.mpf(10) ** 12 * start:
            return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return high


def true_error(rows: Rows, q: tuple[float, ...], m: float, delta: float) -> Real:
    """Largest over inputs and sides of inf (K(mu) + y)/mu, y = ln(2/delta)/m."""
    y, worst = mp.log(2 / mp.mpf(delta)) / mp.mpf(m), mp.mpf(0)
    for row, side in itertools.product(rows, (1, -1)):
        law = centred(row, q, side)

        def gap(mu: Real, law: tuple[list[Real], ...] = law) -> Real:
            k, slope = moment(law, mu)
            return mu * slope - k - y

        variance = mp.fsum(c * u**2 for u, c in zip(*law, strict=True))
        mu = rising_root(gap, mp.sqrt(2 * y / variance))
        worst = max(worst, max(law[0]) if mu is None else (moment(law, mu)[0] + y) / mu)
    return worst


def true_rate(row: tuple[float, ...], q: tuple[float, ...], eps: float) -> Real:
    """The smaller Legendre transform of the two sides at eps."""
    rates = [mp.inf]
    for side in (1, -1):
        law = centred(row, q, side)
        top = max(law[0])
        if eps == top:
            rates.append(-mp.log(mp.fsum(c for u, c in zip(*law, strict=True) if u == top)))
        if eps >= top:
            continue

        def gap(mu: Real, law: tuple[list[Real], ...] = law) -> Real:
            return moment(law, mu)[1] - mp.mpf(eps)

        variance = mp.fsum(c * u**2 for u, c in zip(*law, strict=True))
        mu = rising_root(gap, eps / variance)
        rates.append(mu * mp.mpf(eps) - moment(law, mu)[0])
    return min(rates)


@oracle("SP-5")
def cramer_size_at_50_digits(setting: Setting) -> Result:
    """SP-5's size is the ceiling of ln(2/delta) over the rate, optimised at 50 digits."""
    cases = 0
    with mp.workdps(DIGITS):
        for name, (rows, q) in INSTANCES.items():
            for eps in (0.02, 0.1, 0.45, 0.9):
                rate = min(true_rate(row, q, eps) for row in rows)
                for delta in (0.05, 1e-6):
                    computed = float(sipp_theory.cramer_size(rows, q, eps, delta))
                    truth = max(1, int(mp.ceil(mp.log(2 / mp.mpf(delta)) / rate)))
                    if computed != truth:
                        raise Refuted(
                            f"cramer_size({rows}, {q}, {eps}, {delta}) = {computed}, "
                            f"truth {truth} ({name})"
                        )
                    cases += 1
    return Result(cases=cases)


@oracle("SP-5")
def cramer_error_at_50_digits(setting: Setting) -> Result:
    """SP-5's error is that of the best tilt at 50 digits, rounded up."""
    cases = 0
    with mp.workdps(DIGITS):
        for rows, q in INSTANCES.values():
            for m, delta in ((1, 0.7), (7, 0.05), (400, 1e-6), (20_000, 0.05)):
                computed = mp.mpf(float(sipp_theory.cramer_error(rows, q, m, delta)))
                truth = true_error(rows, q, m, delta)
                # Of K, some L/m, float64 leaves about m 1e-16; of g/q - 1 it leaves 1e-16.
                low, high = truth * (1 - mp.mpf("1e-11")), truth * (1 + mp.mpf("1e-9"))
                if not low - 2e-16 <= computed <= high + 2e-16:
                    raise Refuted(
                        f"cramer_error({rows}, {q}, {m}, {delta}) = {computed}, "
                        f"truth {mp.nstr(truth, 18)}"
                    )
                cases += 1
        # Far beyond what is ever drawn K loses digits; then the error must still be rounded up.
        for name, m in itertools.product(("plain", "coin", "wide"), (1e7, 1e9, 1e14)):
            rows, q = INSTANCES[name]
            computed = mp.mpf(float(sipp_theory.cramer_error(rows, q, m, 0.05)))
            truth = true_error(rows, q, m, 0.05)
            if not truth <= computed <= truth * (1 + mp.mpf("1e-6")):
                raise Refuted(f"cramer_error({rows}, {q}, {m}, 0.05) = {computed}, truth {truth}")
            cases += 1
    return Result(cases=cases)


@oracle("SP-4", "SP-5")
def a_fair_coin_in_closed_form(setting: Setting) -> Result:
    """For one fair coin SP-5 is SP-4: the rate at 1 + eps is kl((1 + eps)/2 || 1/2)."""
    targets = (0.01, 0.1, 0.5, 0.9)
    for eps in targets:
        size = float(sipp_theory.cramer_size([1.0, 0.0], [0.5, 0.5], eps, 0.05))
        if size != float(sipp_theory.kl_size(2.0, eps, 0.05)):
            raise Refuted(f"cramer_size([1, 0], [.5, .5], {eps}, .05) = {size} is not SP-4's")
    return Result(cases=len(targets))


# Supports small enough to enumerate every outcome of 40 draws.
SMALL: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "coin": ((1.0, 0.0), (0.5, 0.5)),
    "lattice": ((0.75, 0.25), (0.25, 0.75)),
    "near tie": ((0.5000001, 0.4999999), (0.5, 0.5)),
    "rare": ((0.9, 0.1), (0.999, 0.001)),
    "three": ((0.5, 0.3, 0.2), (0.2, 0.3, 0.5)),
    "dominant": ((0.98, 0.015, 0.005), (0.9, 0.05, 0.05)),
    "three lattice": ((0.5, 0.25, 0.25), (0.25, 0.5, 0.25)),
    "duplicate weights": ((0.4, 0.4, 0.2), (0.3, 0.3, 0.4)),
    "huge range": ((1 - 1e-6 - 1e-12, 1e-6, 1e-12), (0.999, 0.000999, 0.000001)),
}


@cache
def outcomes(g: tuple[float, ...], q: tuple[float, ...], m: int) -> tuple[np.ndarray, np.ndarray]:
    """|z^/z - 1| of every outcome of m draws, in rational arithmetic, and its probability.

    The deviations rise and equal ones are one atom, so that no rounding tells ties apart.
    """
    ratios = [Fraction(a) / sum(map(Fraction, g)) / Fraction(b) * sum(map(Fraction, q))
              for a, b in zip(g, q, strict=True)]  # fmt: skip
    # A common denominator makes whole numbers of them: many additions of fractions are slow.
    scale = math.lcm(*(ratio.denominator for ratio in ratios))
    wholes = [int(ratio * scale) for ratio in ratios]
    atoms: dict[int, float] = {}
    logs = np.log(np.array(q) / np.sum(q))
    for counts in itertools.product(range(m + 1), repeat=len(g) - 1):
        if (last := m - sum(counts)) < 0:
            continue
        full = (*counts, last)
        deviation = abs(sum(c * w for c, w in zip(full, wholes, strict=True)) - m * scale)
        ways = special.gammaln(m + 1) - sum(math.lgamma(c + 1) for c in full)
        chance = math.exp(ways + sum(c * x for c, x in zip(full, logs, strict=True)))
        atoms[deviation] = atoms.get(deviation, 0.0) + chance
    order = sorted(atoms)
    return np.array([float(Fraction(d, m * scale)) for d in order]), np.array(
        [atoms[d] for d in order]
    )


def quantile(deviations: np.ndarray, masses: np.ndarray, delta: float) -> float:
    """Least a with Pr(deviation > a) <= delta."""
    beyond = np.concatenate([np.cumsum(masses[::-1])[::-1][1:], [0.0]])
    return float(deviations[np.flatnonzero(beyond <= delta * (1 + 1e-9))[0]])


@oracle("SP-5x")
def exact_error_by_enumeration(setting: Setting) -> Result:
    """SP-5x's error is never below the true quantile of the enumerated law, and some % above."""
    cases, loosest = 0, 1.0
    for name, m, delta in itertools.product(SMALL, (1, 2, 5, 23), (1e-3, 0.05, 0.4)):
        g, q = SMALL[name]
        deviations, masses = outcomes(g, q, m)
        computed = float(sipp_theory.exact_error([g], q, m, delta))
        truth = quantile(deviations, masses, delta)
        # Half a percent of delta goes to bookkeeping, a few percent of a deviation to the grid.
        spread = float(np.sqrt(masses @ deviations**2))
        near = quantile(deviations, masses, delta * 0.99)
        ceiling = float(sipp_theory.cramer_error([g], q, m, delta))
        if not truth * (1 - 1e-9) - 1e-13 <= computed <= max(near + 0.03 * (near + spread), truth):
            raise Refuted(
                f"exact_error([{g}], {q}, {m}, {delta}) = {computed}, true quantile {truth}, "
                f"Cramer {ceiling}"
            )
        cases += 1
        loosest = max(loosest, computed / near if near > spread / 2 else 1.0)
    return Result(f"at most {loosest:.3f} times the true quantile", cases)

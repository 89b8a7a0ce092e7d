"""CT-5 to CT-7 against exact fractions, enumeration and plain Monte Carlo."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb, factorial

import numpy as np
from scipy import special, stats

import sipp_theory
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.runtime import generator

STREAM = 76


def crossing(bounds: list[Fraction]) -> Fraction:
    """Pr(some U_(r) < b_r) exactly, by Bolshev's recursion in whole numbers.

    V_(j) = 1 - U_(n+1-j) is at most c_j = 1 - b_(n+1-j) for all j with probability P_n, where
    sum_k C(m, k) P_k (1 - c_(k+1))^(m-k) = 1 for every m, the sum over k <= m.
    """
    rest = [*reversed(bounds), Fraction(0)]  # 1 - c_(k+1)
    stays: list[Fraction] = []
    for m in range(len(bounds) + 1):
        terms = (comb(m, k) * stays[k] * rest[k] ** (m - k) for k in range(m))
        lost = sum(terms, Fraction(0))
        stays.append(1 - lost)
    return 1 - stays[-1]


@oracle("CT-5")
def crossing_in_fractions(setting: Setting) -> Result:
    """The chance that the band is crossed, in exact fractions: nearly alpha, and no more."""
    closest, cases = Fraction(1), 0
    sizes = (1, 2, 3, 7, 20, 40) + ((77,) if setting.full else ())
    for n, confidence in itertools.product(sizes, (0.1, 0.5, 0.9, 0.99, 1 - 1e-9)):
        band = sipp_theory.simultaneous_band(n, confidence)
        bounds = [max(1 - Fraction(float(share)), Fraction(0)) for share in band.shares]
        used = crossing(bounds) / (1 - Fraction(confidence))
        if used > 1:
            raise Refuted(f"simultaneous_band({n}, {confidence}) is crossed with {float(used):.9f} "
                          "of the probability allowed")  # fmt: skip
        if used < Fraction(998, 1000):
            raise Refuted(f"simultaneous_band({n}, {confidence}) leaves {1 - float(used):.4f} of "
                          "the probability unused")  # fmt: skip
        closest, cases = min(closest, used), cases + 1
    text = f"at least {float(closest):.6f} of what is allowed is used"
    return Result(text, cases=cases, promised=1.0, needed=float(closest))


def _least_levels(n: int, trials: int, seed: int) -> np.ndarray:
    """(trials,) min over r of Pr(U'_(r) <= U_(r)), of simulated uniform order statistics."""
    rng, ranks = generator(seed, STREAM, n), np.arange(1, n + 1)
    least = np.empty(trials)
    for trial in range(trials):
        steps = rng.standard_exponential(n + 1).cumsum()
        points = steps[:-1] / steps[-1]
        # The lowest levels are where the points lie lowest in standard deviations; a few suffice.
        low = (points - ranks / (n + 1)) / np.sqrt(ranks * (n + 1.0 - ranks))
        near = np.argpartition(low, min(40, n - 1))[:40]
        near = np.union1d(near, ranks[:40] - 1)
        near = near[near < n]
        least[trial] = special.betainc(ranks[near], n - near, points[near]).min()
    return least


@oracle("CT-5")
def rank_by_monte_carlo(setting: Setting) -> Result:
    """The band's rank is within 1% of that of the simulated level, and its level within noise."""
    delta, confidence, cases, lines = 0.1, 0.95, 0, []
    for n, trials in ((100, 6000), (1000, 3000), (10_000, 20_000 if setting.full else 1000)):
        band = sipp_theory.simultaneous_band(n, confidence)
        least = _least_levels(n, trials, setting.seed)
        level = float(np.quantile(least, 1 - confidence))
        tails = special.betaincc(n - np.arange(1, n + 1) + 1, np.arange(1, n + 1), delta)
        met = np.flatnonzero(tails <= level)  # Pr(Bin(n, 1-delta) >= r) = I(1-delta; r, n-r+1)
        rank = int(met[0]) + 1 if met.size else n
        if abs(band.rank(delta) - rank) > 0.01 * n:
            raise Refuted(f"simultaneous_band({n}, {confidence}).rank({delta}) is "
                          f"{band.rank(delta)}, by {trials} simulations {rank}")  # fmt: skip
        seen = int((least < band.level).sum())
        surprise = stats.binomtest(seen, trials, 1 - confidence).pvalue
        if surprise < 1e-6:
            raise Refuted(f"simultaneous_band({n}, {confidence}) is crossed in {seen} of {trials} "
                          "simulations")  # fmt: skip
        lines.append(f"n = {n}: rank {band.rank(delta)}, simulated {rank}")
        cases += 1
    return Result("; ".join(lines), cases=cases)


def _mass(lost: int, won: int, n: int, first: float, second: float) -> float:
    """Chance of these counts of three outcomes."""
    ways = factorial(n) // (factorial(lost) * factorial(won) * factorial(n - lost - won))
    return ways * first**lost * second**won * (1 - first - second) ** (n - lost - won)


@oracle("CT-6")
def drop_by_enumeration(setting: Setting) -> Result:
    """The failure probability of the bound on the drop, summed over every outcome."""
    worst, cases = 0.0, 0
    for n, confidence in itertools.product((8, 24), (0.8, 0.95)):
        counts = [(i, j) for i in range(n + 1) for j in range(n + 1 - i)]
        lost, won = np.array(counts).T
        bounds = sipp_theory.accuracy_drop(lost, won, n, confidence)
        for first, second in itertools.product((0.0, 0.02, 0.1, 0.3, 0.5), (0.0, 0.05, 0.2, 0.45)):
            below = np.flatnonzero(bounds < first - second)
            failure = sum(_mass(*counts[i], n, first, second) for i in below) / (1 - confidence)
            if failure > 1 + 1e-9:
                raise Refuted(f"accuracy_drop(k10, k01, {n}, {confidence}) fails with "
                              f"{failure:.4f} of what is allowed at {first, second}")  # fmt: skip
            worst, cases = max(worst, failure), cases + 1
    return Result(f"{worst:.3f} of what is allowed at the worst rates looked at", cases=cases)


@oracle("CT-6")
def accuracy_at_every_rate(setting: Setting) -> Result:
    """The lower bound on accuracy fails with at most alpha at the accuracies just below it."""
    worst, cases = 0.0, 0
    for n, confidence in itertools.product((1, 20, 150), (0.8, 0.99)):
        k = np.arange(n + 1)
        bounds = sipp_theory.accuracy_bound(k, n, confidence)
        for rate in np.nextafter(bounds[1:], 0):
            failure = float(stats.binom.pmf(k, n, rate)[bounds > rate].sum()) / (1 - confidence)
            if failure > 1 + 1e-8:
                raise Refuted(f"accuracy_bound(k, {n}, {confidence}) fails with {failure:.6f} of "
                              f"the probability allowed at {rate!r}")  # fmt: skip
            worst, cases = max(worst, failure), cases + 1
    return Result(f"{worst:.9f} of what is allowed", cases=cases, promised=1.0, needed=worst)


@oracle("CT-7")
def family_in_fractions(setting: Setting) -> Result:
    """The chance that all of G independent statements hold is at least 1 - alpha, exactly."""
    cases, least = 0, 1.0
    for statements, confidence in itertools.product((1, 2, 3, 10, 100, 1000), (0.5, 0.9, 0.99)):
        each = Fraction(sipp_theory.family_confidence(confidence, statements))
        # Disjoint failures are the worst dependence: their probabilities add up.
        if statements * (1 - each) > 1 - Fraction(confidence):
            raise Refuted(f"family_confidence({confidence}, {statements}) spends more than alpha")
        least = min(least, float((1 - each) * statements / (1 - Fraction(confidence))))
        cases += 1
    return Result(
        f"at least {least:.9f} of alpha is spent", cases=cases, promised=1.0, needed=least
    )

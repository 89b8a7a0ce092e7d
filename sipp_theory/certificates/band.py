"""Every delta at once (CT-5): a simultaneous lower band for order statistics, of Berk-Jones shape.

The chance that uniform order statistics ever cross the band is counted as a Poisson process that is
pinned at its end: from boundary to boundary the count moves by a Poisson number, and what then lies
above the boundary's rank has crossed. All terms are positive, so nothing cancels (Noe's recursion).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from sipp_theory.numeric import binomial, special
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float

# Up to here every rank is a boundary; beyond, so many of them, closest where they matter most.
EVERY_RANK, RANKS = 10_000, 4_096
# Paths far below the band are dropped and charged, so much of alpha.
DROPPED = 1e-12
# A Poisson step above mean + 12 sqrt(mean) + 40 has a chance below 1e-30, a pinned one is at most
# sqrt(2 pi n) times as likely; charged for all steps together.
SPREAD, LEAST_SPREAD, FAR = 12.0, 40.0, 1e-22
# How much of alpha may be left unused.
CLOSE = 1e-4


@dataclass(frozen=True, eq=False)
class Band:
    """Bounds on exceedance for all order statistics of n errors at once.

    With the given confidence, for every i: Pr(e > e_(ranks[i])) <= shares[i].

    Attributes:
        n: number of i.i.d. held-out errors.
        confidence: 1 - alpha, of all statements together.
        level: alpha', the level of each boundary on its own; between alpha/n and alpha.
        ranks: (k,) int64, rising, from 1 to n; every rank up to n = 10,000.
        shares: (k,) float64, falling, rounded up: 1 - BetaInv(alpha'; r, n-r+1).

    Claim: CT-5. Source: Berk and Jones (1979); Noe, Ann. Math. Stat. 43 (1972).

    Example:
        >>> simultaneous_band(1000, 0.99).rank(0.05)
        974
    """

    n: int
    confidence: float
    level: float
    ranks: np.ndarray = field(repr=False)
    shares: Float = field(repr=False)

    def rank(self, delta: float) -> int:
        """Least rank r with Pr(e > e_(r)) <= delta, 0 if no rank says so."""
        share = float(numeric.probability("delta", delta))
        met = np.flatnonzero(self.shares <= share)
        return int(self.ranks[met[0]]) if met.size else 0

    def share(self, rank: int) -> float:
        """Bound on Pr(e > e_(rank)); 1 for rank 0, below the least of the errors."""
        if not 0 <= rank <= self.n:
            raise ValueError(f"rank must be from 0 to n = {self.n}; found {rank!r}")
        place = int(np.searchsorted(self.ranks, rank, side="right")) - 1
        return float(self.shares[place]) if place >= 0 else 1.0


def simultaneous_band(n: int, confidence: float) -> Band:
    """Bounds on Pr(e > e_(r)) for every rank r at once.

    b_r = BetaInv(alpha'; r, n-r+1) with the largest alpha' for which uniform order statistics have
    Pr(U_(r) >= b_r for all r) >= 1 - alpha. With that confidence Pr(e > e_(r)) <= 1 - b_r for all
    r, for any law of e, so that eps or delta may be chosen after looking.

    Args:
        n: number of i.i.d. held-out errors, whole, from 1 to 10^7.
        confidence: 1 - alpha, in (0, 1).

    Returns:
        The band. Beyond n = 10,000 it has boundaries at some 4,096 ranks (a rank between two of
        them has the share of the lower one).

    Raises:
        ValueError: n not whole or out of range, confidence outside (0, 1).

    Claim: CT-5. Source: Berk and Jones, Z. Wahrscheinlichkeitstheorie 47 (1979); Noe, Ann. Math.
    Stat. 43 (1972).

    Example:
        >>> band = simultaneous_band(100, 0.95)
        >>> band.rank(0.1), round(band.share(100), 4)
        (98, 0.0583)
    """
    size = numeric.integer_at_least("n", n, 1)
    alpha = binomial.significance(confidence)
    if size.ndim or alpha.ndim or size > 10**7:
        raise ValueError(f"n must be one whole number up to 10^7; found {n!r}")
    return _band(int(size), float(confidence), float(alpha))


@functools.lru_cache(maxsize=64)
def _band(n: int, confidence: float, alpha: float) -> Band:
    ranks = _ranks(n)
    # A union over the ranks holds without any recursion; no level above alpha can hold.
    low, high = alpha / len(ranks), alpha
    level = min(max(alpha / (10 * np.log(n + 1.0)), low), high)
    slope, before = 1.0, (low, 0.0)  # the chance is nearly proportional to the level
    for _ in range(60):
        crossing = _crossing(_boundaries(n, ranks, level), ranks, n, alpha)
        low, high = (level, high) if crossing <= alpha else (low, level)
        if alpha * (1 - CLOSE) <= crossing <= alpha or not low * (1 + CLOSE / 4) < high:
            break
        if crossing > before[1] > 0 and level != before[0]:
            slope = np.log(level / before[0]) / np.log(crossing / before[1])
        elif before[1] > crossing > 0:
            slope = np.log(before[0] / level) / np.log(before[1] / crossing)
        before = level, crossing
        # Half the tolerance short of the root keeps the point on the safe side.
        aim = (
            level * np.exp(slope * np.log(alpha * (1 - CLOSE / 2) / crossing)) if crossing else high
        )
        level = float(aim if low < aim < high else np.sqrt(low * high))
    shares = np.minimum(numeric.up(1.0 - _boundaries(n, ranks, low)), 1.0)
    ranks.setflags(write=False)
    shares.setflags(write=False)
    return Band(n, confidence, low, ranks, shares)


def _ranks(n: int) -> np.ndarray:
    """Ranks with a boundary: all, or those whose U_(r) are equally many deviations apart."""
    if n <= EVERY_RANK:
        return np.arange(1, n + 1)
    even = np.sin(np.linspace(0, np.pi / 2, RANKS)) ** 2
    return np.unique(np.clip(np.rint(even * n), 1, n).astype(np.int64))


def _boundaries(n: int, ranks: np.ndarray, level: float) -> Float:
    """(k,) b_r = BetaInv(level; r, n-r+1), rounded down.

    Pr(U_(r) < b) = Pr(Bin(n, 1-b) <= n-r), so 1 - b_r is CT-1's bound for n - r violations.
    """
    above = binomial.rate_above(n - ranks, np.full(len(ranks), n), level)
    return np.maximum(numeric.down(1.0 - above), 0.0)


def _crossing(bounds: Float, ranks: np.ndarray, n: int, alpha: float) -> float:
    """Chance, rounded up, that some U_(r) lies below its boundary; (k,) boundaries and ranks.

    The count N(b) of points below b has crossed at b_r if it is r or more.
    """
    steps = n * np.diff(bounds, prepend=0.0)
    spread = np.ceil(steps + SPREAD * np.sqrt(steps) + LEAST_SPREAD).astype(np.int64)
    logs = special.gammaln(np.arange(n + 2.0))  # log (i-1)!
    # Counts so far below the mean that all paths through them are less than is charged.
    floor = special.bdtrik(DROPPED * alpha / len(ranks), n, np.minimum(bounds, 1.0))
    floor = np.nan_to_num(np.maximum(np.floor(floor) - 1, 0)).astype(np.int64)
    floor = np.where(bounds > 0, np.minimum(floor, ranks - 1), 0)
    end = special.xlogy(n, n) - n - logs[n + 1]  # log Pr(Poisson(n) = n)
    mass, lowest, crossed = np.ones(1), 0, DROPPED * alpha + FAR
    for step, size, rank, bound, least in zip(steps, spread, ranks, bounds, floor, strict=True):
        if step > 0:
            moves = np.arange(size + 1.0)
            jump = np.exp(special.xlogy(moves, step) - step - special.gammaln(moves + 1))
            mass = np.convolve(mass, jump)
        inside = rank - lowest
        over = np.arange(rank, min(lowest + len(mass), n + 1))
        if len(over):
            rest = n * (1.0 - bound)
            left = n - over
            back = np.exp(special.xlogy(left, rest) - rest - logs[left + 1] - end)
            crossed += float(mass[inside : inside + len(over)] @ back)
        start = max(int(least) - lowest, 0)
        mass, lowest = mass[start:inside], lowest + start
        if crossed > 2 * alpha + 1:
            break
    # Logarithms of up to n log n are rounded once a term, and each step rounds again.
    return crossed * (1 + 1e-12 * len(ranks) + 1e-14 * n * float(np.log(n + 1.0)))

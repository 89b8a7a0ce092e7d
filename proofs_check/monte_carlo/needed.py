"""The smallest size that Monte Carlo needs at the worst row: the yardstick of the bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from proofs_check.monte_carlo.neuron import TIE, check_question
from proofs_check.monte_carlo.pair import Pair, Scheme, make_pair
from proofs_check.monte_carlo.sampling import Law, blocks, draw_law, draw_sums, inclusion_estimates
from sipp_core.runtime import Float

ROUGH_TRIALS = 4096
ROUGH_STREAM, CHOICE_STREAM, WALK_STREAM = 21, 22, 23
# The rough search stops at this relative width; the walk starts this far below and steps so finely.
ROUGH_WIDTH, WALK_BELOW, WALK_STEP = 0.02, 0.07, 0.004
RATE_STEP = 0.005
# Rows whose mean square error comes within this factor of the largest may be the worst instead.
CANDIDATES, NEAR = 3, 0.8
LARGEST = 2.0**50


@dataclass(frozen=True)
class Needed:
    """Smallest size that meets (eps, delta) in the trials.

    Attributes:
        size: draws m, rate c, or weights kept; +inf where no size is enough.
        point: row of the shares, as given, that needs it.
        failures: failures counted at that size.
        trials: trials behind the count (rows, for dropping).
    """

    size: float
    point: int
    failures: int
    trials: int


def needed_size(
    shares: ArrayLike,
    scores: ArrayLike,
    *,
    eps: float,
    delta: float,
    scheme: Scheme = "draws",
    trials: int = 40_000,
    seed: int = 0,
) -> Needed:
    """Find the smallest size whose observed failure rate at the worst row is at most delta.

    The rows of largest exact mean square error are searched roughly; the one that fails most at the
    largest of their sizes is then walked upwards, with trials of its own, in steps of 0.4% (0.5% of
    a rate) from where the rate is above delta to where it is not. It is an estimate, not a bound:
    its standard deviation is some 1% with 2,000 failures at hand (trials = 2,000/delta), in
    inverse proportion to their square root. Failure rates of laws with very few values are no
    monotone function of the size; then this is the first size found on the way up.

    Args:
        shares: (n, k) or (k,) g_j(x) >= 0, rows add up to 1 or are all 0 (left out).
        scores: (k,) >= 0, the sensitivities s_j.
        eps: relative error, > 0, no unit.
        delta: failure probability at one row, in (0, 1).
        scheme: "draws" (m), "inclusion" (c) or "dropping" (weights kept; no row may fail).
        trials: pruned versions per size, >= 1.
        seed: seed of the trials, >= 0.

    Returns:
        The size with the row that needs it; reproducible from the seed.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: none (plumbing; the yardstick of SP-2 to SP-8).

    Example:
        >>> needed_size([[1.0, 0.0]], [0.5, 0.5], eps=0.5, delta=0.05, trials=4000).size
        12.0
    """
    check_question(scheme, "worst", 1, eps, delta, trials, 1)
    pair = make_pair(shares, scores)
    limit = eps + TIE
    if scheme == "coupled":
        raise ValueError("scheme 'coupled' has no search of its own; take 'inclusion' as yardstick")
    if scheme == "dropping":
        return _needed_kept(pair, limit)
    search = _DrawSearch if scheme == "draws" else _RateSearch
    at = search.usual(pair, eps, delta)
    spread = pair.mean_square(scheme, at)
    order = np.argsort(-spread, kind="stable")[:CANDIDATES]
    near = [int(row) for row in order if spread[row] >= NEAR * spread[order[0]]]
    searches = [search(pair, row, limit, delta, seed) for row in near]
    start = max(one.rough(at) for one in searches)
    if not np.isfinite(start):
        return Needed(float("inf"), int(pair.rows[near[0]]), trials, trials)
    worst = searches[0]
    if len(searches) > 1:
        worst = max(searches, key=lambda one: one.failures(start, trials, CHOICE_STREAM))
    size, failures = worst.walk(start, trials)
    return Needed(float(size), int(pair.rows[worst.row]), failures, trials)


def _needed_kept(pair: Pair, limit: float) -> Needed:
    """Fewest weights of largest score with which no row fails; no randomness."""
    order = np.argsort(-pair.scores, kind="stable")
    lost = 1 - np.cumsum(pair.shares[:, order], axis=1)
    worst = np.concatenate([[1.0], lost.max(axis=0)])
    size = int(np.flatnonzero(worst <= limit)[0])
    row = int(np.argmax(lost[:, size - 1])) if size else 0
    return Needed(float(size), int(pair.rows[row]), 0, len(pair.rows))


class _DrawSearch:
    """Search for the number of draws at one row; sums are extended, not drawn anew."""

    def __init__(self, pair: Pair, row: int, limit: float, delta: float, seed: int) -> None:
        self.law: Law = draw_law(pair.shares[row], pair.scores / pair.scores.sum())
        self.row, self.limit, self.delta, self.seed = row, limit, delta, seed

    @staticmethod
    def usual(pair: Pair, eps: float, delta: float) -> float:
        """Draws by the normal approximation, only a place to start from."""
        deviation = float(special.ndtri(1 - delta / 2)) / eps
        return max(1.0, np.ceil(pair.mean_square("draws", 1.0).max() * deviation**2))

    def rate(self, sums: Float, m: float) -> float:
        """Share of failures among sums of m draws."""
        return float((np.abs(sums / m - 1) > self.limit).mean())

    def extend(self, sums: Float, more: float, stream: int, step: int) -> Float:
        """Add so many draws to every sum."""
        added = sums.copy()
        for part, rng in blocks(sums.size, self.seed, stream, self.row, step):
            added[part] += draw_sums(self.law, int(more), part.stop - part.start, rng)
        return added

    def failures(self, size: float, trials: int, stream: int) -> int:
        """Count failures at one size from scratch."""
        return round(self.rate(self.extend(np.zeros(trials), size, stream, 0), size) * trials)

    def rough(self, guess: float) -> float:
        """Size by bisection with few trials; +inf if the bias alone exceeds the limit."""
        if abs(self.law.mean - 1) > self.limit:
            return np.inf
        low, base = 0.0, np.zeros(ROUGH_TRIALS)
        trial, high, step = max(1.0, np.floor(0.8 * guess)), 0.0, 0
        while high == 0 or high - low > max(1.0, ROUGH_WIDTH * high):
            sums = self.extend(base, trial - low, ROUGH_STREAM, step)
            if self.rate(sums, trial) > self.delta:
                low, base = trial, sums
            else:
                high = trial
            trial = np.floor((low + high) / 2) if high else np.ceil(1.25 * low)
            step += 1
            if trial > LARGEST:
                return np.inf
        return high

    def walk(self, start: float, trials: int) -> tuple[float, int]:
        """First size on the way up from below at which the observed rate is at most delta."""
        below = WALK_BELOW
        while True:
            m = max(1.0, np.floor(start * (1 - below)))
            sums = self.extend(np.zeros(trials), m, WALK_STREAM, 0)
            if m == 1 or self.rate(sums, m) > self.delta:
                break
            below = (1 + below) / 2
        step = 0
        while self.rate(sums, m) > self.delta:
            more, step = max(1.0, np.floor(WALK_STEP * m)), step + 1
            sums = self.extend(sums, more, WALK_STREAM, step)
            m += more
        return m, round(self.rate(sums, m) * trials)


class _RateSearch:
    """Search for the inclusion rate at one row; all rates share their uniform numbers."""

    def __init__(self, pair: Pair, row: int, limit: float, delta: float, seed: int) -> None:
        self.shares, self.scores = pair.shares[row], pair.scores
        self.row, self.limit, self.delta, self.seed = row, limit, delta, seed
        carried = (self.shares > 0) & (self.scores > 0)
        # From here on every weight that matters is kept for certain, two roundings included.
        self.all_certain = float((1 / self.scores[carried]).max(initial=0.0)) * (1 + 1e-15)

    @staticmethod
    def usual(pair: Pair, eps: float, delta: float) -> float:
        """Rate by the normal approximation, only a place to start from."""
        target = (eps / float(special.ndtri(1 - delta / 2))) ** 2
        low, high = 1e-6, float(1 / pair.scores[pair.scores > 0].min())
        for _ in range(60):
            middle = np.sqrt(low * high)
            enough = pair.mean_square("inclusion", middle).max() <= target
            low, high = (low, middle) if enough else (middle, high)
        return high

    def failures(self, rate: float, trials: int, stream: int) -> int:
        """Count failures at one rate from scratch."""
        p = np.minimum(1.0, rate * self.scores)
        estimates = inclusion_estimates(self.shares, p, trials, self.seed, stream, self.row)
        return int((np.abs(estimates - 1) > self.limit).sum())

    def rough(self, guess: float) -> float:
        """Rate by geometric bisection with few trials; +inf if the bias exceeds the limit."""
        lost = self.shares[self.scores == 0].sum()
        if lost > self.limit:
            return np.inf
        bound = self.delta * ROUGH_TRIALS
        low = high = min(guess, self.all_certain)
        while low > 1e-9 and self.failures(low, ROUGH_TRIALS, ROUGH_STREAM) <= bound:
            low, high = low / 1.5, low
        while high < self.all_certain and (
            high == low or self.failures(high, ROUGH_TRIALS, ROUGH_STREAM) > bound
        ):
            low, high = high, min(1.5 * high, self.all_certain)
        while high > low * (1 + ROUGH_WIDTH):
            middle = float(np.sqrt(low * high))
            enough = self.failures(middle, ROUGH_TRIALS, ROUGH_STREAM) <= bound
            low, high = (low, middle) if enough else (middle, high)
        return high

    def walk(self, start: float, trials: int) -> tuple[float, int]:
        """First rate on the way up from below at which the observed rate is at most delta."""
        rate, below = start, WALK_BELOW
        while rate > 1e-9:
            rate = start * (1 - below)
            if self.failures(rate, trials, WALK_STREAM) > self.delta * trials:
                break
            below = (1 + below) / 2
        while True:
            failures = self.failures(rate, trials, WALK_STREAM)
            if failures <= self.delta * trials or rate >= self.all_certain:
                return rate, failures
            rate = min(rate * (1 + RATE_STEP), max(self.all_certain, rate))

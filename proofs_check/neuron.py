"""Coverage of a promise for one sign of one neuron: many pruned versions, failures counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from proofs_check.coverage import CONFIDENCE, Coverage, Where, judge
from proofs_check.sampling import (
    BLOCK,
    LARGEST_CHUNK,
    blocks,
    coupled_estimates,
    draw_estimates,
    draw_law,
    inclusion_estimates,
)
from sipp_core.pivotal import pivotal
from sipp_core.plan import Float

Scheme = Literal["draws", "inclusion", "coupled", "dropping"]
Points = Literal["worst", "each", "random"]

# An error that equals eps is no failure, so rounding must not push it over: lattice laws do attain
# eps exactly, and a neuron kept whole has eps = 0. Failures by less than this are missed.
TIE = 1e-9
ROW_SUM_TOLERANCE = 1e-4
# First entries of the random streams, so that no two purposes share one.
WORST_STREAM, EACH_STREAM, RANDOM_STREAM, CHOICE_STREAM = 11, 12, 13, 14


@dataclass(frozen=True, eq=False)
class Pair:
    """One sign of one neuron: shares at the live inputs, and what its weights are drawn by.

    Attributes:
        shares: (n, k) float64, rows add up to 1.
        scores: (k,) float64 >= 0.
        rows: (n,) index of each live row in what the caller gave.

    Claim: none (plumbing).
    """

    shares: Float
    scores: Float
    rows: np.ndarray

    def probabilities(self, scheme: str, size: float) -> Float:
        """Draw probabilities, inclusion probabilities, or 0 and 1 for dropped and kept."""
        if scheme == "draws":
            return self.scores / self.scores.sum()
        if scheme in ("inclusion", "coupled"):
            return np.minimum(1.0, size * self.scores)
        kept = np.zeros(self.scores.size)
        kept[np.argsort(-self.scores, kind="stable")[: int(size)]] = 1.0
        return kept

    def mean_square(self, scheme: str, size: float) -> Float:
        """E (z^/z - 1)^2 at each row, exactly; for coupled inclusion as if it were independent."""
        p = self.probabilities(scheme, size)
        reached = self.shares[:, p > 0]
        kept = reached.sum(axis=1)
        bias = (1 - kept) ** 2
        if scheme == "dropping":
            return bias
        second = reached**2 @ (1 / p[p > 0])
        if scheme in ("inclusion", "coupled"):
            return bias + second - (reached**2).sum(axis=1)
        return bias + (second - kept**2) / size if size > 0 else np.ones(len(kept))


def make_pair(shares: ArrayLike, scores: ArrayLike) -> Pair:
    """Check shares and scores; leave out rows that never reach this sign.

    Args:
        shares: (n, k) or (k,) g_j(x) >= 0; each row adds up to 1 or is all 0.
        scores: (k,) >= 0, what draws and inclusion are proportional to (the sensitivities s).

    Returns:
        The pair.

    Raises:
        ValueError: wrong shapes, entries out of range, no live row, or no positive score.

    Claim: none (plumbing).

    Example:
        >>> make_pair([[0.5, 0.5], [0.0, 0.0]], [0.5, 0.5]).rows.tolist()
        [0]
    """
    table = np.atleast_2d(np.asarray(shares, np.float64))
    s = np.asarray(scores, np.float64)
    if table.ndim != 2 or s.shape != table.shape[1:]:
        raise ValueError(
            f"shares must be (n, k) and scores (k,); found {table.shape} and {s.shape}"
        )
    for name, value in (("shares", table), ("scores", s)):
        bad = ~(np.isfinite(value) & (value >= 0))
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"{name} must be finite and >= 0; found {value[index]} at {index}")
    sums = table.sum(axis=1)
    off = (sums > 0) & (np.abs(sums - 1) > ROW_SUM_TOLERANCE)
    if off.any():
        row = int(np.argmax(off))
        raise ValueError(f"shares row {row} must add up to 1 or be all 0; found sum {sums[row]}")
    live = np.flatnonzero(sums > 0)
    if live.size == 0 or not s.any():
        raise ValueError("shares and scores must not be all 0: this sign never fires")
    return Pair(table[live] / sums[live, None], s, live)


def neuron_coverage(
    shares: ArrayLike,
    scores: ArrayLike,
    *,
    scheme: Scheme,
    size: float,
    eps: float,
    delta: float,
    trials: int = 20_000,
    seed: int = 0,
    points: Points = "worst",
    claim: str = "none",
    where: Where = "calibration",
    confidence: float = CONFIDENCE,
    chunk: int = LARGEST_CHUNK,
) -> Coverage:
    """Count how often |z^ - z| > eps z for one sign of one neuron, and judge Pr(...) <= delta.

    draws: `size` draws from q = scores/sum, z^/z the mean of g_J/q_J; inclusion: each weight kept
    with p = min(1, size scores), z^/z = sum of g_j B_j/p_j; coupled: the same by pivotal sampling,
    so that the number of weights kept is fixed; dropping: the `size` weights of largest
    score kept as they are. Which rows count:

    - "worst": the row of largest mean square error, computed exactly before any trial;
    - "each": every row in each trial; the row with most failures, corrected by Bonferroni;
    - "random": one row drawn uniformly for each trial, so that the rate is over input and draws.

    Dropping has no randomness: every row is looked at once. Against "worst" and "each" it is judged
    as a deterministic claim (delta 0), for "random" the rows are the trials.

    Args:
        shares: (n, k) or (k,) g_j(x) >= 0, rows add up to 1 or are all 0 (left out).
        scores: (k,) >= 0, the sensitivities s_j.
        scheme: "draws", "inclusion", "coupled" or "dropping".
        size: draws m, rate c, or weights kept; >= 0.
        eps: relative error, > 0, no unit.
        delta: failure probability promised at one row, in (0, 1).
        trials: pruned versions, >= 1.
        seed: seed of the trials, >= 0.
        points: which rows count, see above.
        claim: id of the claim under test, for the record.
        where: what the rows are, for the record.
        confidence: one-sided confidence of the verdict, in (0.5, 1).
        chunk: largest number of float64 held at once; the result does not depend on it.

    Returns:
        The coverage; `point` counts rows of `shares` as given.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-2 to SP-8, whichever asked for the size. Source: the claim's; the count is [OWN].

    Example:
        >>> neuron_coverage([[1.0, 0.0]], [0.5, 0.5], scheme="draws", size=20, eps=0.1, delta=0.05,
        ...                 trials=2000).verdict
        'refuted'
    """
    _check(scheme, points, size, eps, delta, trials, chunk)
    pair = make_pair(shares, scores)
    limit = eps + TIE
    looks, point = 1, -1
    if scheme == "dropping":
        failing = np.sqrt(pair.mean_square(scheme, size)) > limit
        failures, trials = int(failing.sum()), len(failing)
        if points != "random":
            delta, point = 0.0, int(pair.rows[np.argmax(pair.mean_square(scheme, size))])
    elif points == "worst":
        worst = int(np.argmax(pair.mean_square(scheme, size)))
        estimates = estimates_at(pair, worst, scheme, size, trials, seed, WORST_STREAM)
        failures = int((np.abs(estimates - 1) > limit).sum())
        point = int(pair.rows[worst])
    elif points == "each":
        counts = _failures_at_each(pair, scheme, size, limit, trials, seed, chunk)
        failures, looks = int(counts.max()), len(counts)
        point = int(pair.rows[np.argmax(counts)])
    else:
        failures = _failures_at_random(pair, scheme, size, limit, trials, seed, chunk)
    low, high, level, verdict = judge(failures, trials, delta, looks=looks, confidence=confidence)
    return Coverage(
        claim, scheme, where, float(eps), float(delta), float(size), trials, failures,
        low, high, level, verdict, point, seed, points,
    )  # fmt: skip


def estimates_at(
    pair: Pair, row: int, scheme: str, size: float, trials: int, seed: int, *stream: int
) -> Float:
    """Estimates z^/z of many pruned versions at one live row.

    Args:
        pair: the pair.
        row: index of the live row.
        scheme: "draws", "inclusion" or "coupled".
        size: draws m (whole) or rate c.
        trials: how many.
        seed: seed, >= 0.
        stream: whole numbers that name the purpose.

    Returns:
        (trials,) float64.

    Claim: SP-1, SP-8. Source: [SP] arXiv 1910.05422, [OWN].

    Example:
        >>> estimates_at(make_pair([[0.5, 0.5]], [0.5, 0.5]), 0, "draws", 3, 2, 0).tolist()
        [1.0, 1.0]
    """
    p = pair.probabilities(scheme, size)
    if scheme == "draws":
        return draw_estimates(draw_law(pair.shares[row], p), int(size), trials, seed, *stream)
    if scheme == "coupled":
        return coupled_estimates(pair.shares[row], p, trials, seed, *stream)
    return inclusion_estimates(pair.shares[row], p, trials, seed, *stream)


def _multipliers(p: Float, scheme: str, size: float, count: int, rng: np.random.Generator) -> Float:
    """Multipliers N_j/(m q_j) or B_j/p_j of `count` pruned versions, (count, k)."""
    if scheme == "inclusion":
        return (rng.random((count, p.size)) < p) / p
    if scheme == "coupled":
        return pivotal(np.broadcast_to(p, (count, p.size)), rng) / p
    if size == 0:
        return np.zeros((count, p.size))
    return rng.multinomial(int(size), p, size=count) / (size * p)


def _on_support(pair: Pair, scheme: str, size: float) -> tuple[Float, Float]:
    """Shares and probabilities of the weights that can be kept at all, the likeliest last.

    The multinomial sampler gives rounding's leftover to the last weight, hence the order.
    """
    p = pair.probabilities(scheme, size)
    order = np.flatnonzero(p) if scheme == "coupled" else np.argsort(p, kind="stable")
    order = order[p[order] > 0]
    chance = p[order] / p.sum() if scheme == "draws" else p[order]
    return pair.shares[:, order], chance


def _width(scheme: str, chunk: int, numbers: int) -> int:
    """Pruned versions held at once; coupled sampling takes a block's random numbers together."""
    return BLOCK if scheme == "coupled" else max(1, chunk // max(1, numbers))


def _failures_at_each(
    pair: Pair, scheme: str, size: float, limit: float, trials: int, seed: int, chunk: int
) -> np.ndarray:
    shares, p = _on_support(pair, scheme, size)
    counts = np.zeros(len(shares), np.int64)
    width = _width(scheme, chunk, p.size + len(shares))
    for part, rng in blocks(trials, seed, EACH_STREAM):
        for start in range(part.start, part.stop, width):
            versions = _multipliers(p, scheme, size, min(width, part.stop - start), rng)
            counts += (np.abs(versions @ shares.T - 1) > limit).sum(axis=0)
    return counts


def _failures_at_random(
    pair: Pair, scheme: str, size: float, limit: float, trials: int, seed: int, chunk: int
) -> int:
    shares, p = _on_support(pair, scheme, size)
    failures, width = 0, _width(scheme, chunk, 2 * p.size)
    chosen = np.empty(trials, np.int64)
    for part, rng in blocks(trials, seed, CHOICE_STREAM):
        chosen[part] = rng.integers(len(shares), size=part.stop - part.start)
    for part, rng in blocks(trials, seed, RANDOM_STREAM):
        for start in range(part.start, part.stop, width):
            stop = min(start + width, part.stop)
            versions = _multipliers(p, scheme, size, stop - start, rng)
            estimates = np.einsum("tk,tk->t", versions, shares[chosen[start:stop]])
            failures += int((np.abs(estimates - 1) > limit).sum())
    return failures


def _check(
    scheme: str, points: str, size: float, eps: float, delta: float, trials: int, chunk: int
) -> None:
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme must be one of {get_args(Scheme)}; found {scheme!r}")
    if points not in get_args(Points):
        raise ValueError(f"points must be one of {get_args(Points)}; found {points!r}")
    if not (np.isfinite(size) and size >= 0):
        raise ValueError(f"size must be finite and >= 0; found {size!r}")
    if scheme in ("draws", "dropping") and size != int(size):
        raise ValueError(f"size must be a whole number for scheme {scheme!r}; found {size!r}")
    if not (np.isfinite(eps) and eps > 0):
        raise ValueError(f"eps must be above 0; found {eps!r}")
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1); found {delta!r}")
    for name, value in (("trials", trials), ("chunk", chunk)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1; found {value!r}")

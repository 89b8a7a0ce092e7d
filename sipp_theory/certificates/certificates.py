"""Certificates on held-out data (CT-1 to CT-3): exact binomial statements for i.i.d. points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float


@dataclass(frozen=True)
class FixedSequence:
    """Outcome of testing a sequence of networks in a fixed order.

    Attributes:
        last: index of the last network accepted, -1 if the first already failed.
        level: level of each test and of the whole family, 1 - confidence.
        p_values: (k,) float64, Pr(Bin(n, delta) <= violations), one a network, also past the stop.

    Claim: CT-3. Source: Maurer et al. (1995), fixed-sequence testing.
    """

    last: int
    level: float
    p_values: Float


def violation_bound(violations: ArrayLike, n: ArrayLike, confidence: ArrayLike) -> Float:
    """Upper bound on a violation rate from k violations among n held-out points.

    BetaInv(confidence; k+1, n-k): Pr(e > eps) is at most this with the given confidence, for an eps
    and a network fixed before the points were looked at (Clopper-Pearson, one-sided).

    Args:
        violations: k, whole, 0 <= k <= n; any shape.
        n: number of i.i.d. held-out points, whole, >= 0; broadcasts.
        confidence: 1 - alpha, in (0, 1); broadcasts.

    Returns:
        float64 array, a probability, rounded up; 1 (vacuous) where k = n.

    Raises:
        ValueError: a count out of range or not whole, confidence outside (0, 1).

    Claim: CT-1. Source: Clopper and Pearson, Biometrika 26 (1934).

    Example:
        >>> round(float(violation_bound(0, 299, 0.95)), 4)
        0.01
    """
    k, trials = binomial.counts(violations, n)
    return binomial.rate_above(k, trials, binomial.significance(confidence))[()]


def clopper_pearson(
    violations: ArrayLike, n: ArrayLike, confidence: ArrayLike
) -> tuple[Float, Float]:
    """Two-sided exact interval for a rate, half of the error on each side.

    Args:
        violations: k, whole, 0 <= k <= n; any shape.
        n: number of i.i.d. trials, whole, >= 0; broadcasts.
        confidence: 1 - alpha, in (0, 1); broadcasts.

    Returns:
        (low, high), float64 arrays of probabilities, rounded outwards; (0, 1) where n = 0.

    Raises:
        ValueError: a count out of range or not whole, confidence outside (0, 1).

    Claim: CT-1. Source: Clopper and Pearson, Biometrika 26 (1934).

    Example:
        >>> low, high = clopper_pearson(5, 10, 0.95)
        >>> round(float(low), 4), round(float(high), 4)
        (0.1871, 0.8129)
    """
    k, trials = binomial.counts(violations, n)
    half = binomial.significance(confidence) / 2
    high = binomial.rate_above(k, trials, half)
    low = np.maximum(numeric.down(1.0 - binomial.rate_above(trials - k, trials, half)), 0.0)
    return low[()], high[()]


def tolerance_rank(n: ArrayLike, delta: ArrayLike, confidence: ArrayLike) -> Float:
    """Which order statistic of n errors is an upper tolerance limit.

    The least r with Pr(Bin(n, 1-delta) <= r-1) >= confidence: the r-th smallest error is an eps
    with Pr(e > eps) <= delta at that confidence, for any law of e (F(e_(r)) is Beta(r, n-r+1) at
    best).

    Args:
        n: number of i.i.d. held-out errors, whole, >= 0; any shape.
        delta: share of inputs that may violate, in (0, 1); broadcasts.
        confidence: 1 - alpha, in (0, 1); broadcasts.

    Returns:
        float64 array of whole numbers from 1 to n; 0 where there is none (see points_needed).

    Raises:
        ValueError: a value out of range.

    Claim: CT-2. Source: Wilks, Ann. Math. Stat. 12 (1941).

    Example:
        >>> tolerance_rank([58, 59, 1000], 0.05, 0.95).tolist()
        [0.0, 59.0, 962.0]
    """
    trials = numeric.integer_at_least("n", n, 0)
    share = numeric.probability("delta", delta)
    alpha = binomial.significance(confidence)
    trials, share, alpha = np.broadcast_arrays(trials, share, alpha)
    # Pr(Bin(n, 1-delta) >= r) = Pr(Bin(n, delta) <= n-r), and delta needs no subtraction.
    rank = binomial.least_whole(
        lambda r: (
            (r > trials) | binomial.tail_at_most(np.maximum(trials - r, -1), trials, share, alpha)
        ),
        np.ones(trials.shape),
    )
    return np.where(rank <= trials, rank, 0.0)[()]


def points_needed(delta: ArrayLike, confidence: ArrayLike) -> Float:
    """Least number of held-out points at which a tolerance limit exists.

    The least n with (1-delta)^n <= 1 - confidence.

    Args:
        delta: share of inputs that may violate, in (0, 1); any shape.
        confidence: 1 - alpha, in (0, 1); broadcasts.

    Returns:
        float64 array of whole numbers >= 1, in points; +inf beyond 2**50.

    Raises:
        ValueError: a value outside (0, 1).

    Claim: CT-2. Source: Wilks, Ann. Math. Stat. 12 (1941).

    Example:
        >>> float(points_needed(0.05, 0.99))
        90.0
    """
    share = numeric.probability("delta", delta)
    share, alpha = np.broadcast_arrays(share, binomial.significance(confidence))
    zero = np.zeros(share.shape)
    return binomial.least_whole(
        lambda n: binomial.tail_at_most(zero, n, share, alpha), np.ones(share.shape)
    )[()]


def error_quantile(errors: ArrayLike, delta: float, confidence: float) -> Float:
    """Certified eps: an error that at most a share delta of inputs exceeds.

    The tolerance_rank-th smallest of the held-out errors; Pr(e > eps) <= delta at that confidence.

    Args:
        errors: (..., n) real, any score, +inf allowed; i.i.d. along the last dimension and
            independent of the choice of the network.
        delta: share of inputs that may violate, in (0, 1).
        confidence: 1 - alpha, in (0, 1).

    Returns:
        float64 array of shape (...), in the errors' unit; +inf where n is too small.

    Raises:
        ValueError: NaN among the errors, no dimension, delta or confidence out of range.

    Claim: CT-2. Source: Wilks, Ann. Math. Stat. 12 (1941).

    Example:
        >>> float(error_quantile(range(100), 0.05, 0.99)), float(error_quantile([0.1], 0.05, 0.99))
        (99.0, inf)
    """
    scores = numeric.numbers("errors", np.asarray(errors))
    if scores.ndim == 0:
        raise ValueError("errors must have at least one dimension; found a scalar")
    if np.isnan(scores).any():
        index = tuple(int(i) for i in np.argwhere(np.isnan(scores))[0])
        raise ValueError(f"errors must not be NaN; found one at index {index}")
    rank = int(tolerance_rank(scores.shape[-1], delta, confidence))
    if rank == 0:
        return np.full(scores.shape[:-1], np.inf)[()]
    return np.partition(scores, rank - 1, axis=-1)[..., rank - 1][()]


def fixed_sequence(
    violations: ArrayLike, n: ArrayLike, delta: float, confidence: float
) -> FixedSequence:
    """Sparsest network that meets (eps, delta), tested from dense to sparse at full level each.

    Network i passes if Pr(Bin(n, delta) <= violations_i) <= alpha; stop at the first that fails.
    The chance that any accepted network has Pr(e > eps) > delta is at most alpha: an error needs
    the first false one in the fixed order to pass. The order must not depend on the held-out
    points.

    Args:
        violations: (k,) whole numbers, points with error above eps, one a network, dense first.
        n: number of i.i.d. held-out points, whole; a scalar or (k,).
        delta: share of inputs that may violate, in (0, 1).
        confidence: 1 - alpha, in (0, 1).

    Returns:
        FixedSequence(last, level, p_values); last = -1 if none is accepted.

    Raises:
        ValueError: a count out of range, delta or confidence outside (0, 1), wrong shape.

    Claim: CT-3. Source: Maurer et al. (1995), fixed-sequence testing.

    Example:
        >>> fixed_sequence([0, 1, 9, 0], 200, 0.05, 0.95).last
        1
    """
    k, trials = binomial.counts(violations, n)
    share = numeric.probability("delta", delta)
    alpha = binomial.significance(confidence)
    if k.ndim != 1 or share.ndim or alpha.ndim:
        raise ValueError(f"violations must be (k,), delta and confidence scalars; found {k.shape}")
    passed = binomial.tail_at_most(k, trials, share, alpha)
    last = int(np.logical_and.accumulate(passed).sum()) - 1
    tail = np.where(trials > 0, binomial.lower_tail(k, trials, share), 1.0)
    return FixedSequence(last, float(alpha), np.minimum(tail * (1 + binomial.TAIL_MARGIN), 1.0))

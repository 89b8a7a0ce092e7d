"""From draws to weights: how many distinct weights m draws with replacement leave in a neuron."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

# Draw counts are handed to integer samplers, so they must stay exact in float64.
MOST_DRAWS = 2.0**50
SURELY = 745.0
# Far more than are needed: each step divides what is missing by e at least.
NEWTON_STEPS, NEAR = 200, 1e-10


def expected_distinct(probabilities: ArrayLike, m: ArrayLike) -> Float:
    """Expected number of distinct weights among m draws with replacement.

    sum_j 1 - (1 - q_j)^m, computed without cancellation for tiny q_j.

    Args:
        probabilities: (..., k) q_j in [0, 1], one row a neuron.
        m: (...) number of draws, >= 0, need not be whole.

    Returns:
        (...) float64 in [0, number of positive q_j].

    Raises:
        ValueError: a probability outside [0, 1] or a negative m.

    Claim: SP-1 (its budget form). Source: [SP] arXiv 1910.05422.

    Example:
        >>> float(expected_distinct([0.5, 0.5], 2))
        1.5
    """
    draws = nm.at_least("m", m, 0.0)
    return _distinct(_log_missed(probabilities), draws)


def _log_missed(probabilities: ArrayLike) -> Float:
    """ln(1 - q_j), the log of the chance that one draw misses a weight."""
    q = nm.at_least("probabilities", probabilities, 0.0)
    if (q > 1).any():
        raise ValueError(f"probabilities must not exceed 1; found {float(q.max())!r}")
    # A weight that every draw takes is missed with e^-745 = 0, not with an infinite logarithm.
    with np.errstate(divide="ignore"):
        return np.maximum(np.log1p(-q), -SURELY)


def _distinct(log_missed: Float, draws: Float) -> Float:
    exponents = draws[..., None] * log_missed
    return -np.expm1(exponents, out=exponents).sum(axis=-1)


def draws_for_distinct(probabilities: ArrayLike, target: ArrayLike) -> Float:
    """Whole number of draws whose expected number of distinct weights is nearest a target.

    Args:
        probabilities: (..., k) q_j in [0, 1], one row a neuron, adding up to 1 (or all 0).
        target: (...) distinct weights to reach, >= 0.

    Returns:
        (...) float64 whole numbers: 0 for target 0, at least 1 otherwise, at most 2**50 where the
        target needs every weight.

    Raises:
        ValueError: an argument is out of range.

    Claim: SP-1 (its budget form). Source: [SP] arXiv 1910.05422.

    Example:
        >>> draws_for_distinct([[0.5, 0.5], [0.9, 0.1]], [1.5, 1.5]).tolist()
        [2.0, 7.0]
    """
    log_missed = _log_missed(probabilities)
    targets = nm.at_least("target", target, 0.0)
    shape = np.broadcast_shapes(log_missed.shape[:-1], targets.shape)
    rows = np.broadcast_to(log_missed, (*shape, log_missed.shape[-1])).reshape(
        -1, log_missed.shape[-1]
    )
    goals = np.broadcast_to(targets, shape).ravel()
    live = np.flatnonzero((goals > 0) & (rows.min(axis=-1, initial=0.0) < 0))
    best = np.zeros(goals.size)
    if live.size:
        best[live] = _nearest(rows[live], goals[live])
    return best.reshape(shape)[()]


def _nearest(log_missed: Float, targets: Float) -> Float:
    """Whole numbers of draws, one a row, by Newton's method from below.

    The expected number is concave in m and at most m, so each step from m = target stays below the
    root, or passes it by rounding alone; the last unit is settled by comparing both neighbours.
    """
    m = np.maximum(targets, 1.0)
    moving = np.arange(m.size)
    for _ in range(NEWTON_STEPS):
        part = log_missed[moving]
        missed = np.exp(m[moving, None] * part)
        short = targets[moving] - (1 - missed).sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = short / -(part * missed).sum(axis=-1)
        # No slope is left where rounding hides the weights still missing.
        step = np.where(np.isfinite(step), step, np.where(short > 0, MOST_DRAWS, 0.0))
        m[moving] = np.clip(m[moving] + step, 1.0, MOST_DRAWS)
        moving = moving[(np.abs(step) > NEAR * m[moving]) & (m[moving] < MOST_DRAWS)]
        if not moving.size:
            break
    above = np.ceil(m - 1e-6)
    below = np.maximum(above - 1, 1.0)
    over = _distinct(log_missed, above) - targets
    under = targets - _distinct(log_missed, below)
    return np.where(np.abs(under) <= np.abs(over), below, above)

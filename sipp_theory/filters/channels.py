"""PF: how many channels, drawn with replacement, stand for all inputs of the next layer.

The share of channel c in one pre-activation (filter i, patch, sign) is the sum over its kernel
positions of |w| a / z^s, and s_c is the largest of these shares over calibration inputs, filters,
patches and signs. A draw picks channel c with probability q_c = s_c/S_sum and contributes
g_c/q_c, which lies in [0, M], M = C S_sum, in every pre-activation at once: one sequence of draws
serves them all, and a union bound says how many of them. Dropping channels is SP-6 on the same
shares.

The share must be summed over the kernel positions. With the largest share of a single position,
S_sum may be as little as 1/positions, a draw is not confined to [0, M], and both sizes are too
small (`proofs_check` has the counterexample).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bernstein import SLACK, bernstein_error, bernstein_size
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

# Of the paper; its proof needs a third of both.
VARIANCE, LINEAR = 6.0, 2.0


def _scale(
    sensitivity_sum: ArrayLike, delta: ArrayLike, eta_star: ArrayLike, coverage_factor: ArrayLike
) -> Float:
    """S K ln(4 eta*/delta)."""
    failure = nm.probability("delta", delta)
    widest = nm.at_least("eta_star", eta_star, 1.0)
    return nm.draw_range(sensitivity_sum, coverage_factor) * nm.log_over(4 * widest, failure)


def channel_error(
    sensitivity_sum: ArrayLike,
    m: ArrayLike,
    delta: ArrayLike,
    eta_star: ArrayLike,
    coverage_factor: ArrayLike = 1.0,
) -> Float:
    """Error that the printed size of Provable Filter Pruning promises for m drawn channels.

    eps = (A + sqrt(A^2 + 6 A m))/m, A = S K ln(4 eta*/delta): the root of m eps^2 = (6 + 2 eps) A.

    Args:
        sensitivity_sum: S_sum of the channels of one layer, 0 or >= 1, any shape, no unit.
        m: number of channels drawn with replacement, >= 0, broadcasts.
        delta: failure probability, in (0, 1); see `channel_size`.
        eta_star: most filters of a layer, >= 1.
        coverage_factor: K with g_c <= K s_c, >= 1; 1 on the calibration inputs themselves.

    Returns:
        float64 relative error, rounded up; +inf for m = 0; 0 where no channel ever fires. Vacuous
        if >= 1.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: PF-1. Source: [PF] arXiv 1911.07412.

    Example:
        >>> bool(0.0999 < channel_error(9.0, 47_659, 0.05, 64) <= 0.1)
        True
    """
    scale = _scale(sensitivity_sum, delta, eta_star, coverage_factor)
    draws = nm.at_least("m", m, 0.0)
    linear = LINEAR / 2 * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        eps = (linear + np.sqrt(linear**2 + VARIANCE * scale * draws)) / draws * SLACK
    return np.where(scale == 0, 0.0, np.where(draws == 0, np.inf, nm.up(eps)))[()]


def channel_size(
    sensitivity_sum: ArrayLike,
    eps: ArrayLike,
    delta: ArrayLike,
    eta_star: ArrayLike,
    coverage_factor: ArrayLike = 1.0,
) -> Float:
    """Number of channels to draw as Provable Filter Pruning prints it.

    m = ceil((6 + 2 eps) S K ln(4 eta*/delta) / eps^2). Where g_c(x) <= K s_c for all c, one
    pre-activation leaves (1 +- eps) z with probability 2 (delta/(4 eta*))^3 at most, as the proof
    needs a third of this size: all of N pre-activations (filters x signs x patches) hold at once
    with probability 1 - delta whenever N <= 32 eta*^3/delta^2.

    Args:
        sensitivity_sum: S_sum of the channels of one layer, 0 or >= 1, any shape, no unit.
        eps: relative error, in (0, 1), broadcasts.
        delta: failure probability at one input, in (0, 1).
        eta_star: most filters of a layer, >= 1.
        coverage_factor: K with g_c <= K s_c, >= 1; 1 on the calibration inputs themselves.

    Returns:
        float64 whole number of draws; 0 where no channel ever fires. Vacuous for pruning where it
        is no less than the number of channels.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: PF-1. Source: [PF] arXiv 1911.07412.

    Example:
        >>> float(channel_size(9.0, 0.1, 0.05, 64))
        47659.0
    """
    target = nm.probability("eps", eps)
    scale = _scale(sensitivity_sum, delta, eta_star, coverage_factor)
    size = nm.least_integer(
        lambda m: channel_error(sensitivity_sum, m, delta, eta_star, coverage_factor),
        (VARIANCE + LINEAR * target) * scale / target**2,
        target,
    )
    return nm.dead_is_free(scale, size)


def channel_bernstein_error(
    sensitivity_sum: ArrayLike,
    m: ArrayLike,
    delta: ArrayLike,
    events: ArrayLike,
    coverage_factor: ArrayLike = 1.0,
) -> Float:
    """Error that m drawn channels keep in all of N pre-activations at once.

    Bernstein's error of SP-3 at delta/N: the draws are the same for all N, and in each of them
    they lie in [0, M] with mean 1 and variance M - 1 at most, M = C S_sum.

    Args:
        sensitivity_sum: S_sum of the channels, 0 or >= 1, any shape, no unit.
        m: number of channels drawn with replacement, >= 0, broadcasts.
        delta: failure probability at one input, in (0, 1).
        events: N >= 1, pre-activations that the promise is for: filters x signs, times the patches
            that are meant, times two where activations have both signs.
        coverage_factor: C with g_c <= C s_c, >= 1; 1 on the calibration inputs themselves.

    Returns:
        float64 relative error, rounded up; +inf for m = 0; 0 where no channel ever fires. Vacuous
        if >= 1.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: PF-2. Source: [OWN], SP-3 and a union bound.

    Example:
        >>> bool(channel_bernstein_error(9.0, 14_121, 0.05, 128) <= 0.1)
        True
    """
    return bernstein_error(sensitivity_sum, m, _shared(delta, events), coverage_factor)


def channel_bernstein_size(
    sensitivity_sum: ArrayLike,
    eps: ArrayLike,
    delta: ArrayLike,
    events: ArrayLike,
    coverage_factor: ArrayLike = 1.0,
) -> Float:
    """Number of channels to draw for an error in all of N pre-activations at once.

    m = ceil((2 (M-1) + (2/3) max(M-1, 1) eps) ln(2 N/delta) / eps^2), M = C S_sum.

    Args:
        sensitivity_sum: S_sum of the channels, 0 or >= 1, any shape, no unit.
        eps: relative error, in (0, 1), broadcasts.
        delta: failure probability at one input, in (0, 1).
        events: N >= 1, pre-activations that the promise is for (see `channel_bernstein_error`).
        coverage_factor: C with g_c <= C s_c, >= 1; 1 on the calibration inputs themselves.

    Returns:
        float64 whole number of draws; 0 where no channel ever fires. Vacuous for pruning where it
        is no less than the number of channels.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: PF-2. Source: [OWN], SP-3 and a union bound.

    Example:
        >>> float(channel_bernstein_size(9.0, 0.1, 0.05, 128))
        14121.0
    """
    return bernstein_size(sensitivity_sum, eps, _shared(delta, events), coverage_factor)


def _shared(delta: ArrayLike, events: ArrayLike) -> Float:
    """The failure probability of one of N events; below the least float it would be 0."""
    failure = nm.probability("delta", delta)
    share = failure / nm.at_least("events", events, 1.0)
    if (share == 0).any():
        raise ValueError("delta / events is below the least float; ask for a larger delta")
    return share

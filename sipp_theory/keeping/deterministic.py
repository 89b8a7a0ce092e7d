"""Keeping the most sensitive weights (SP-6): what the dropped ones carry, and what that promises.

The dropped share is bounded on given points or on fresh inputs; it becomes a promise, sharpened by
rescaling the kept weights, and says how many weights meet an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float


def dropped_share(shares: ArrayLike, keep: ArrayLike) -> Float:
    """Largest share of z that the dropped weights carry on the given points.

    G_D = max over x in S of sum_{j in D} g_j(x), D the weights not kept; 0 <= z - z^ <= G_D z on S.

    Args:
        shares: (n, k) real in [0, 1], no unit; the shares of one sign of one neuron, n >= 1.
        keep: (..., k) bool, True for kept weights; leading dimensions are alternatives.

    Returns:
        float64 array of shape (...), no unit, in [0, 1], rounded up; exactly 0 if nothing is
        dropped.

    Raises:
        ValueError: wrong shapes or shares outside [0, 1].
        TypeError: keep is not boolean.

    Claim: SP-6. Source: [SP] arXiv 1910.05422, sharpened [OWN].

    Example:
        >>> round(float(dropped_share([[0.7, 0.3], [0.9, 0.1]], [True, False])), 6)
        0.3
    """
    values = share_matrix(shares)
    mask = _mask("keep", keep, values.shape[1])
    dropped = (~mask).astype(np.float64)
    return charged((dropped @ values.T).max(axis=-1), values.shape[1])[()]


def dropped_share_bound(
    sensitivity: ArrayLike, keep: ArrayLike, coverage_factor: ArrayLike = 1.0
) -> Float:
    """Bound on the dropped share of a fresh input, from the sensitivities alone.

    min(1, C sum_{j in D} s_j): on the event g_j(x) <= C s_j for all j it bounds sum_{j in D}
    g_j(x). SP prints the sum; the cap at 1 holds for every x because shares sum to at most 1.

    Args:
        sensitivity: (..., k) real in [0, 1], no unit, of one sign of one neuron a row.
        keep: (..., k) bool; broadcasts.
        coverage_factor: C >= 1, no unit; broadcasts over the leading dimensions.

    Returns:
        float64 array of shape (...), no unit, in [0, 1], rounded up; 1 is vacuous.

    Raises:
        ValueError: a value out of range or shapes that do not broadcast.
        TypeError: keep is not boolean.

    Claim: SP-6. Source: [SP] arXiv 1910.05422.

    Example:
        >>> round(float(dropped_share_bound([0.9, 0.3, 0.1], [True, False, False])), 6)
        0.4
    """
    values = numeric.in_unit("sensitivity", sensitivity)
    factor = numeric.at_least("coverage_factor", coverage_factor, 1.0)
    mask = _mask("keep", keep, values.shape[-1])
    dropped = np.sort(np.where(mask, 0.0, values), axis=-1)
    # cumsum adds one by one, as deterministic_size does: the two agree to the last bit.
    total = dropped.cumsum(axis=-1)[..., -1] if values.shape[-1] else np.zeros(dropped.shape[:-1])
    return charged(factor * total, values.shape[-1])[()]


def charged(total: Float, terms: int) -> Float:
    """Charge the rounding of at most `terms` shares, their sum and a factor; at most all of z."""
    # Below 2**-1022 the relative charge rounds away, and so may half a unit of the factor.
    raised = np.maximum(total * (1.0 + 4 * (terms + 4) * UNIT), numeric.up(total))
    return np.minimum(np.where(total > 0, raised, 0.0), 1.0)


def share_matrix(value: ArrayLike) -> Float:
    """Check the shares (n, k) of one sign of one neuron, n >= 1, in [0, 1]."""
    array = numeric.in_unit("shares", value)
    if array.ndim != 2 or array.shape[0] == 0:
        raise ValueError(f"shares must be (n, k) with n >= 1; found shape {array.shape}")
    return array


def _mask(name: str, value: ArrayLike, columns: int) -> NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be boolean; found dtype {array.dtype}")
    if array.ndim == 0 or array.shape[-1] != columns:
        raise ValueError(f"{name} must have last dimension {columns}; found shape {array.shape}")
    return array


@dataclass(frozen=True)
class Recentring:
    """Factor for the kept weights that balances the two sides of a dropped share, and its error.

    Attributes:
        factor: float64 array, multiplies every kept weight, in [1, 2].
        error: float64 array, relative error promised after that, rounded up, in [0, 1].

    Claim: SP-6. Source: [OWN].
    """

    factor: Float
    error: Float


def recentring(dropped: ArrayLike) -> Recentring:
    """Rescale the kept weights so that the worst error is the same on either side.

    z^ in [(1-G) z, z], times 1/(1 - G/2), lies within (G/2)/(1 - G/2) = G/(2-G) of z, relatively.
    No other factor does better when all of [(1-G) z, z] can occur. The error is that of the factor
    as rounded: where G is so small that it is 1, G and not half of it.

    Args:
        dropped: G in [0, 1], no unit, a bound on the dropped share; any shape.

    Returns:
        Recentring(factor, error), float64 arrays of that shape.

    Raises:
        ValueError: a value outside [0, 1].

    Claim: SP-6. Source: [OWN].

    Example:
        >>> result = recentring(0.5)
        >>> round(float(result.factor), 4), round(float(result.error), 4)
        (1.3333, 0.3333)
    """
    share = numeric.in_unit("dropped", dropped)
    factor = 1.0 / (1.0 - share / 2)
    # z^/z - 1 lies between (1-G) factor - 1 and factor - 1; factor - 1 is exact.
    below = numeric.up(numeric.up(numeric.up(factor * share)) - (factor - 1.0))
    worst = np.maximum(np.maximum(below, factor - 1.0), numeric.up(share / (2.0 - share)))
    error = np.minimum(np.where(share > 0, numeric.up(worst), 0.0), 1.0)
    return Recentring(factor[()], error[()])


def deterministic_error(
    dropped: ArrayLike, coverage_factor: ArrayLike = 1.0, recentred: bool = False
) -> Float:
    """Relative error that keeping a fixed set of weights promises.

    min(1, C G) as SP has it, or G'/(2-G') with G' = min(1, C G) after recentring. No probability is
    involved on S (C = 1); a fresh x needs the coverage event g_j(x) <= C s_j.

    Args:
        dropped: G in [0, 1], no unit: dropped_share or dropped_share_bound; any shape.
        coverage_factor: C >= 1, no unit; broadcasts. Leave it at 1 if G has it already.
        recentred: whether the kept weights are rescaled by recentring(...).factor.

    Returns:
        float64 array, relative error of z^s, rounded up, in [0, 1]; 1 is vacuous.

    Raises:
        ValueError: a value out of range.

    Claim: SP-6. Source: [SP] arXiv 1910.05422; recentred [OWN].

    Example:
        >>> float(deterministic_error(0.25)), round(float(deterministic_error(0.25, 2.0, True)), 4)
        (0.25, 0.3333)
    """
    share = numeric.in_unit("dropped", dropped)
    factor = numeric.at_least("coverage_factor", coverage_factor, 1.0)
    covered = np.where(factor == 1, share, np.minimum(numeric.up(share * factor), 1.0))
    covered = np.where(share == 0, 0.0, covered)
    return recentring(covered).error if recentred else covered[()]


def keep_most_sensitive(sensitivity: ArrayLike, size: ArrayLike) -> NDArray[np.bool_]:
    """Mask of the `size` most sensitive weights, ties to the lower index.

    Args:
        sensitivity: (..., k) real, >= 0.
        size: whole number from 0 to k; broadcasts over the leading dimensions.

    Returns:
        (..., k) bool array with exactly `size` entries True along the last dimension.

    Raises:
        ValueError: a size out of range or not whole, a negative sensitivity.

    Example:
        >>> keep_most_sensitive([0.2, 0.9, 0.2], 2).tolist()
        [True, True, False]
    """
    values = numeric.at_least("sensitivity", sensitivity, 0.0)
    sizes = numeric.integer_at_least("size", size, 0)
    if (sizes > values.shape[-1]).any():
        raise ValueError(f"size must be at most {values.shape[-1]}; found {float(sizes.max()):g}")
    order = np.argsort(-values, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return rank < sizes[..., None]


def deterministic_size(
    sensitivity: ArrayLike,
    eps: ArrayLike,
    coverage_factor: ArrayLike = 1.0,
    recentred: bool = False,
    shares: ArrayLike | None = None,
) -> Float:
    """Least number of weights kept, dropping the least sensitive first, that promises eps.

    The least m with error(keep_most_sensitive(s, m)) <= eps, the error by dropped_share_bound or,
    where shares are given, by dropped_share (never larger, up to the rounding that is charged).

    Args:
        sensitivity: (..., k) real in [0, 1], no unit, of one sign of a neuron; (k,) with shares.
        eps: target relative error, > 0; broadcasts over the leading dimensions. No probability.
        coverage_factor: C >= 1, no unit; broadcasts.
        recentred: whether the kept weights are rescaled (see recentring).
        shares: (n, k) real in [0, 1], the shares on S of one neuron, to use G_D itself.

    Returns:
        float64 array of shape (...), whole numbers from 0 to k, in weights.

    Raises:
        ValueError: a value out of range or shapes that do not fit.

    Claim: SP-6. Source: [SP] arXiv 1910.05422; recentred and with shares [OWN].

    Example:
        >>> float(deterministic_size([0.9, 0.3, 0.1], 0.2))
        2.0
    """
    values = numeric.in_unit("sensitivity", sensitivity)
    factor = numeric.at_least("coverage_factor", coverage_factor, 1.0)
    target = numeric.at_least("eps", eps, 0.0)
    if (target <= 0).any():
        raise ValueError(f"eps must be above 0; found {eps!r}")
    terms = values.shape[-1]
    # Stable on -s, read backwards: the very order in which keep_most_sensitive lets weights go.
    order = np.argsort(-values, axis=-1, kind="stable")[..., ::-1]
    if shares is None:
        total = np.take_along_axis(values, order, axis=-1).cumsum(axis=-1)
        promised = deterministic_error(charged(factor[..., None] * total, terms), 1.0, recentred)
    else:
        matrix = share_matrix(shares)
        if values.shape != (matrix.shape[1],):
            raise ValueError(f"sensitivity must be ({matrix.shape[1]},); found {values.shape}")
        total = matrix[:, order].cumsum(axis=1).max(axis=0)
        promised = deterministic_error(charged(total, terms), factor[..., None], recentred)
    return np.asarray(terms - (promised <= target[..., None]).sum(axis=-1), np.float64)[()]

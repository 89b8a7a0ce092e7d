"""Keeping the most sensitive weights (SP-6): the error promised, and how many meet one.

What the dropped weights carry is measured in `dropped`; here it becomes a promise, sharpened by
rescaling the kept ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.keeping.dropped_share import charged, share_matrix
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float


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
    No other factor does better when all of [(1-G) z, z] can occur.

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
    error = np.minimum(np.where(share > 0, numeric.up(numeric.up(share / (2.0 - share))), 0.0), 1.0)
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

    Claim: none (plumbing).

    Example:
        >>> keep_most_sensitive([0.2, 0.9, 0.2], 2).tolist()
        [True, True, False]
    """
    values = numeric.at_least("sensitivity", sensitivity, 0.0)
    wanted = numeric.integer_at_least("size", size, 0)
    if (wanted > values.shape[-1]).any():
        raise ValueError(f"size must be at most {values.shape[-1]}; found {float(wanted.max()):g}")
    order = np.argsort(-values, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return rank < wanted[..., None]


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
        eps: wanted relative error, > 0; broadcasts over the leading dimensions. No probability.
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

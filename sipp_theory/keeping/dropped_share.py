"""What the weights that are not kept carry of z (SP-6): on given points, and on fresh inputs."""

from __future__ import annotations

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
    """Charge the rounding of at most `terms` shares, their sum and a factor; at most all of z.

    Example:
        >>> charged(np.array([0.0, 2.0]), 3).tolist()
        [0.0, 1.0]
    """
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

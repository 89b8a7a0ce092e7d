"""Keeping the most sensitive weights (SP-6), and joining signs and methods (SP-7, SP-9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory import _numeric as numeric
from sipp_theory._numeric import Float

UNIT = 2.0**-53


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


@dataclass(frozen=True)
class HybridChoice:
    """The smaller of two promised errors and who promised it.

    Attributes:
        error: float64 array, relative error promised.
        deterministic: bool array, True where the deterministic method is taken (also on ties).

    Claim: SP-7. Source: [SP] arXiv 1910.05422.
    """

    error: Float
    deterministic: NDArray[np.bool_]


def _charged(total: Float, terms: int) -> Float:
    """Charge the rounding of shares and of their sum; a share of z never exceeds all of z."""
    return np.minimum(total * (1.0 + 4 * (terms + 4) * UNIT), 1.0)


def _in_unit(name: str, value: ArrayLike) -> Float:
    array = numeric.at_least(name, value, 0.0)
    # Shares and sensitivities that come from float32 may stand a rounding above 1.
    if (array > 1 + 1e-5).any():
        raise ValueError(f"{name} must lie in [0, 1]; found {float(array.max())!r}")
    return np.minimum(array, 1.0)


def _mask(name: str, value: ArrayLike, columns: int) -> NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be boolean; found dtype {array.dtype}")
    if array.ndim == 0 or array.shape[-1] != columns:
        raise ValueError(f"{name} must have last dimension {columns}; found shape {array.shape}")
    return array


def _share_matrix(value: ArrayLike) -> Float:
    array = _in_unit("shares", value)
    if array.ndim != 2 or array.shape[0] == 0:
        raise ValueError(f"shares must be (n, k) with n >= 1; found shape {array.shape}")
    return array


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
    values = _share_matrix(shares)
    mask = _mask("keep", keep, values.shape[1])
    dropped = (~mask).astype(np.float64)
    return _charged((dropped @ values.T).max(axis=-1), values.shape[1])[()]


def dropped_share_bound(
    sensitivity: ArrayLike, keep: ArrayLike, coverage_factor: ArrayLike = 1.0
) -> Float:
    """Bound on the dropped share of a fresh input, from the sensitivities alone.

    min(1, C sum_{j in D} s_j): on the event g_j(x) <= C s_j for all j it bounds sum_{j in D}
    g_j(x). SP prints the sum; the cap at 1 holds for every x because shares sum to at most 1.

    Args:
        sensitivity: (..., k) real in [0, 1], no unit, of one sign of one neuron.
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
    values = _in_unit("sensitivity", sensitivity)
    factor = numeric.at_least("coverage_factor", coverage_factor, 1.0)
    mask = _mask("keep", keep, values.shape[-1])
    dropped = np.sort(np.where(mask, 0.0, values), axis=-1)
    # cumsum adds one by one, as deterministic_size does: the two agree to the last bit.
    total = dropped.cumsum(axis=-1)[..., -1] if values.shape[-1] else np.zeros(dropped.shape[:-1])
    return _charged(factor * total, values.shape[-1])[()]


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
    share = _in_unit("dropped", dropped)
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
    share = _in_unit("dropped", dropped)
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
    values = _in_unit("sensitivity", sensitivity)
    factor = numeric.at_least("coverage_factor", coverage_factor, 1.0)
    target = numeric.at_least("eps", eps, 0.0)
    if (target <= 0).any():
        raise ValueError(f"eps must be above 0; found {eps!r}")
    terms = values.shape[-1]
    # Stable on -s, read backwards: the very order in which keep_most_sensitive lets weights go.
    order = np.argsort(-values, axis=-1, kind="stable")[..., ::-1]
    if shares is None:
        total = np.take_along_axis(values, order, axis=-1).cumsum(axis=-1)
        promised = deterministic_error(_charged(factor[..., None] * total, terms), 1.0, recentred)
    else:
        matrix = _share_matrix(shares)
        if values.shape != (matrix.shape[1],):
            raise ValueError(f"sensitivity must be ({matrix.shape[1]},); found {values.shape}")
        total = matrix[:, order].cumsum(axis=1).max(axis=0)
        promised = deterministic_error(_charged(total, terms), factor[..., None], recentred)
    return np.asarray(terms - (promised <= target[..., None]).sum(axis=-1), np.float64)[()]


def hybrid_error(sampled: ArrayLike, deterministic: ArrayLike) -> HybridChoice:
    """Take, per neuron and sign, the method that promises the smaller error.

    min(sampled, deterministic). The choice depends on S but on no draw, so no probability is lost.

    Args:
        sampled: error promised by sampling (SP-3 or sharper), >= 0, +inf allowed; any shape.
        deterministic: error promised by SP-6, >= 0, +inf allowed; broadcasts.

    Returns:
        HybridChoice(error, deterministic) of the broadcast shape.

    Raises:
        ValueError: NaN or a negative error.

    Claim: SP-7. Source: [SP] arXiv 1910.05422.

    Example:
        >>> hybrid_error([0.3, 0.1], [0.2, 0.4]).deterministic.tolist()
        [True, False]
    """
    first, second = _errors("sampled", sampled), _errors("deterministic", deterministic)
    return HybridChoice(np.minimum(first, second)[()], np.asarray(second <= first))


def _errors(name: str, value: ArrayLike) -> Float:
    array = numeric.numbers(name, value)
    if not (array >= 0).all():
        raise ValueError(f"{name} must be 0 or more, or +inf; found {value!r}")
    return array


def combine_signs(
    eps: ArrayLike, delta_ratio: ArrayLike, eps_other: ArrayLike | None = None
) -> Float:
    """Relative error of z = z+ - z- when each sign is within its own error.

    |z^ - z| <= eps z~ = eps Delta |z| for equal errors; with two errors, whichever sign of z,
    |z^ - z| <= (max (Delta+1)/2 + min (Delta-1)/2) |z|, since z+ and z- are |z| (Delta +- 1)/2.
    The failure probabilities of the two signs add up.

    Args:
        eps: relative error of one sign, >= 0, +inf allowed; any shape.
        delta_ratio: Delta = (z+ + z-)/|z|, >= 1, +inf where z = 0; broadcasts.
        eps_other: relative error of the other sign; the same if not given.

    Returns:
        float64 array, relative to |z|, rounded up; +inf where z = 0 unless both errors are 0.

    Raises:
        ValueError: NaN, a negative error, Delta below 1.

    Claim: SP-9. Source: [OWN].

    Example:
        >>> round(float(combine_signs(0.1, 5.0)), 4), round(float(combine_signs(0.1, 5.0, 0.0)), 4)
        (0.5, 0.3)
    """
    first = _errors("eps", eps)
    second = first if eps_other is None else _errors("eps_other", eps_other)
    ratio = _errors("delta_ratio", delta_ratio)
    if (ratio < 1).any():
        raise ValueError(f"delta_ratio must be at least 1; found {float(ratio.min())!r}")
    large, small = np.maximum(first, second), np.minimum(first, second)
    with np.errstate(invalid="ignore"):
        # 0 times infinity: an exact sign adds nothing, whatever the cancellation.
        rest = np.where((small == 0) | (ratio == 1), 0.0, small * (ratio - 1))
        total = np.where(large == 0, 0.0, large * (ratio + 1) + rest) / 2
    return np.where(total > 0, total * (1 + 8 * UNIT), total)[()]

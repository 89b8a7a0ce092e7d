"""Joining promises: the better of two methods (SP-7), and both signs of one neuron (SP-9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float


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


def _errors(name: str, value: ArrayLike) -> Float:
    array = numeric.numbers(name, value)
    if not (array >= 0).all():
        raise ValueError(f"{name} must be 0 or more, or +inf; found {value!r}")
    return array

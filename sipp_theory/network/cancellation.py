"""Cancellation Delta (NW-1, NW-4): by how much the two signs of a neuron blow an error up.

z+ and z- may be large where z = z+ - z- is small; an error relative to them is then larger
relative to z, by the factor Delta. What happens to errors from layer to layer is in `network`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float


def delta_ratio(positive: ArrayLike, negative: ArrayLike, bias: ArrayLike = 0.0) -> Float:
    """Cancellation of a pre-activation: by how much relative errors grow there.

    Delta = max(1, (z+ + z-)/|z+ - z- + b|): +inf where the pre-activation is 0 but its parts are
    not, and 1 where both parts are 0. An exact bias has no error of its own, yet it moves the
    denominator. Where it is large the quotient falls below 1 and is replaced by 1, which NW-2 and
    NW-3 need.

    Args:
        positive: z+ >= 0, any unit and shape.
        negative: z- >= 0, the same unit; broadcasts.
        bias: b, the same unit; broadcasts.

    Returns:
        float64 array, no unit, >= 1, +inf allowed, rounded up (relatively to the z given).

    Raises:
        ValueError: a part that is negative or not finite.

    Claim: NW-1. Source: [CN] arXiv 1804.05345; with a bias [OWN].

    Example:
        >>> delta_ratio([3.0, 1.0, 0.0], [1.0, 1.0, 0.0]).tolist()[1:]
        [inf, 1.0]
    """
    plus = numeric.at_least("positive", positive, 0.0)
    minus = numeric.at_least("negative", negative, 0.0)
    shift = numeric.finite("bias", bias)
    parts, total = plus + minus, np.abs(plus - minus + shift)
    parts, total = np.broadcast_arrays(parts, total)
    with np.errstate(over="ignore"):
        ratio = np.divide(parts, total, out=np.full(parts.shape, np.inf), where=total > 0)
    ratio = np.where(parts > 0, ratio * (1 + 4 * UNIT), 1.0)
    return np.maximum(ratio, 1.0)[()]


def kappa(eta: ArrayLike, eta_star: ArrayLike, delta: ArrayLike) -> Float:
    """CoreNet's allowance for a fresh input's Delta over the mean on S.

    kappa = sqrt(2 lam) (1 + sqrt(2 lam) ln(8 eta eta*/delta)), lam = ln(eta eta*)/2.

    Args:
        eta: number of neurons of the network, >= 1; any shape.
        eta_star: largest layer width, the input's included, >= 1; broadcasts.
        delta: failure probability of the network, in (0, 1); broadcasts.

    Returns:
        float64 array, no unit, rounded up.

    Raises:
        ValueError: a value out of range.

    Claim: NW-4. Source: [CN] arXiv 1804.05345. Under assumption A2, see delta_hat.

    Example:
        >>> round(float(kappa(410, 784, 0.1)), 2)
        219.92
    """
    edges = np.log(numeric.at_least("eta", eta, 1)) + np.log(
        numeric.at_least("eta_star", eta_star, 1)
    )
    tail = np.log(8.0) + edges - np.log(numeric.probability("delta", delta))
    root = np.sqrt(edges)
    return (root * (1 + root * tail) * (1 + 16 * UNIT))[()]


def delta_hat(
    mean_delta: ArrayLike, eta: ArrayLike, eta_star: ArrayLike, delta: ArrayLike
) -> np.float64:
    """One layer's Delta^: the worst neuron's mean Delta on S plus kappa.

    Delta^_l = max_i mean_{x in S} Delta_i(x) + kappa. Assumption A2 (Delta_i - E Delta_i
    subexponential with parameter <= ln(eta eta*)/2) makes it cover a fresh x for all neurons of the
    layer with probability 1 - delta/(4 eta), S as large as calibration_size(rule="corenet"). NW-6:
    A2 is false wherever a pre-activation has a positive density at 0; then this is an estimate, not
    a bound.

    Args:
        mean_delta: (out,) real >= 0, no unit, mean of Delta over S for each neuron; +inf allowed.
        eta: number of neurons of the network, >= 1, a scalar.
        eta_star: largest layer width, the input's included, >= 1, a scalar.
        delta: failure probability of the network, in (0, 1), a scalar.

    Returns:
        numpy.float64, no unit, >= 1; +inf if any mean is.

    Raises:
        ValueError: NaN, a negative mean, no neuron, other values out of range.

    Claim: NW-4. Source: [CN] arXiv 1804.05345.

    Example:
        >>> round(float(delta_hat([3.0, 5.0], 410, 784, 0.1)), 2)
        224.92
    """
    means = numeric.numbers("mean_delta", mean_delta)
    if means.ndim != 1 or means.size == 0 or not (means >= 0).all():
        raise ValueError(f"mean_delta must be (out,), each 0 or more; found {mean_delta!r}")
    return np.float64(np.maximum(numeric.up(means.max() + kappa(eta, eta_star, delta)), 1.0))


def checked_ratios(name: str, value: ArrayLike) -> Float:
    """Check cancellations Delta, one a layer.

    Shapes: value (..., L); returns (..., L) float64.

    Example:
        >>> checked_ratios("delta_hats", [2, float("inf")]).tolist()
        [2.0, inf]
    """
    array = numeric.numbers(name, value)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"{name} must have one entry a layer; found shape {array.shape}")
    if not (array >= 1).all():
        bad = np.argwhere(~(array >= 1))[0]
        raise ValueError(
            f"{name} must be at least 1 (+inf allowed); found {float(array[tuple(bad)])!r} "
            f"at index {tuple(int(i) for i in bad)}"
        )
    return array


def log_growth(ratios: Float) -> Float:
    """How much an error of each layer grows on the way to the output, ln prod_{k >= l} Delta_k.

    Shapes: ratios (..., L) float64; returns (..., L) float64.

    Claim: NW-2. Source: [CN] arXiv 1804.05345.
    """
    return np.log(ratios)[..., ::-1].cumsum(axis=-1)[..., ::-1]

"""Cancellation Delta (NW-1, NW-4): by how much the two signs of a neuron blow an error up.

z+ and z- may be large where z = z+ - z- is small; an error relative to them is then larger
relative to z, by the factor Delta. What happens to errors from layer to layer is in `network`. The
tail index of Delta (NW-6) is an estimate and no bound: does assumption A2 survive the data?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric import special
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
    parts, total = plus + minus, np.abs(_sum_of_three(plus, -minus, shift))
    parts, total = np.broadcast_arrays(parts, total)
    with np.errstate(over="ignore"):
        ratio = np.divide(parts, total, out=np.full(parts.shape, np.inf), where=total > 0)
    ratio = np.where(parts > 0, ratio * (1 + 4 * UNIT), 1.0)
    return np.maximum(ratio, 1.0)[()]


def _sum_of_three(first: Float, second: Float, third: Float) -> Float:
    """Sum to a few units in its own last place, however much of it cancels."""
    with np.errstate(over="ignore", invalid="ignore"):
        pair, lost = _with_rest(first, second)
        total, also_lost = _with_rest(pair, third)
        rest = lost + also_lost
    return total + np.where(np.isfinite(rest), rest, 0.0)


def _with_rest(first: Float, second: Float) -> tuple[Float, Float]:
    """A rounded sum, and exactly what the rounding took off (Knuth)."""
    total = first + second
    part = total - first
    return total, (first - (total - part)) + (second - part)


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


@dataclass(frozen=True)
class TailEstimate:
    """Hill's estimate of a tail index, with an interval that trusts a Pareto tail above threshold.

    Attributes:
        index: estimate of alpha in Pr(X > t) ~ c t^-alpha; moments of order alpha and more are
            infinite.
        low: lower end of the interval.
        high: upper end of the interval; +inf where the samples show no tail.
        threshold: largest sample not among the k used, in the samples' unit.
        k: number of samples above the threshold that were used.
        confidence: of the interval, two-sided.

    Claim: NW-6. Source: Hill, Ann. Stat. 3 (1975).
    """

    index: float
    low: float
    high: float
    threshold: float
    k: int
    confidence: float


def hill_tail_index(samples: ArrayLike, k: int, confidence: float = 0.95) -> TailEstimate:
    """Hill's estimator of the tail index, with its exact interval under a Pareto tail.

    alpha = k / sum_{i<=k} ln(X_(n-i+1)/X_(n-k)). If the tail is Pareto beyond X_(n-k), the k log
    ratios are those of an exponential sample, so 2 alpha k / alpha_Hill has a chi-squared law with
    2k degrees. A subexponential law (A2) has every moment: a whole interval below a finite order
    refutes it, up to the Pareto model. If z has a density that is positive at 0, Delta has alpha =
    1.

    Args:
        samples: (n,) real > 0, any unit, independent; +inf allowed (an atom there gives index 0).
        k: number of largest samples to use, 1 <= k < n.
        confidence: of the interval, in (0, 1).

    Returns:
        TailEstimate(index, low, high, threshold, k, confidence).

    Raises:
        ValueError: samples that are NaN or not positive, k or confidence out of range.

    Claim: NW-6. Source: Hill, Ann. Stat. 3 (1975); the refutation [OWN].

    Example:
        >>> estimate = hill_tail_index([1.0, 2.0, 4.0, 8.0], 2)
        >>> round(estimate.index, 4), estimate.threshold
        (0.9618, 2.0)
    """
    values = numeric.numbers("samples", samples)
    if values.ndim != 1 or not (values > 0).all():
        raise ValueError(f"samples must be (n,), each above 0; found shape {values.shape}")
    if isinstance(k, bool) or int(k) != k or not 1 <= k < values.size:
        raise ValueError(f"k must be whole, from 1 to {values.size - 1}; found {k!r}")
    sure = float(numeric.probability("confidence", confidence))
    top = np.sort(values)[-int(k) - 1 :]
    threshold = float(top[0])
    if np.isinf(top[-1]):
        return TailEstimate(0.0, 0.0, 0.0, threshold, int(k), sure)
    total = float(np.log(top[1:] / threshold).sum())
    if total == 0:
        return TailEstimate(np.inf, np.inf, np.inf, threshold, int(k), sure)
    low = float(special.gammaincinv(k, (1 - sure) / 2)) / total
    high = float(special.gammainccinv(k, (1 - sure) / 2)) / total
    return TailEstimate(k / total, low, high, threshold, int(k), sure)

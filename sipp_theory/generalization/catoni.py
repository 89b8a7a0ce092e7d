"""Catoni's bound (GN-4), the form in which compressed networks' bounds are published."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float

ALPHA = 1e-4
_FIRST, _ZOOM, _ROUNDS = 257, 65, 4
# At lambda = 64 n the form is within e^-64 of its limit.
_LARGEST = 64.0


def catoni_bound(
    *,
    error_rate: ArrayLike,
    n: ArrayLike,
    divergence: ArrayLike,
    delta: ArrayLike,
    alpha: ArrayLike = ALPHA,
) -> Float:
    """Upper bound on the true error of a posterior over networks, the union over lambda paid.

    inf over lambda >= 1 of Phi^-1_{lambda/n}(R^ + ((1+al)/lambda) (KL + ln(1/delta) + 2 ln(2 + ln
    lambda/ln(1+al)))), Phi^-1_a(q) = (1 - e^{-a q})/(1 - e^{-a}). For each lambda of the grid
    (1+al)^k, k >= 0, Catoni's bound holds with probability 1 - delta/((k+1)(k+2)), which adds up to
    delta; the factor 1+al and the 2 under the logarithm carry the grid's bound to every lambda
    between, so that the infimum may be over all of them. Without the last logarithm it is the kl
    form of GN-3, which a single network may use and a spread posterior may not.

    Args:
        error_rate: R^, in [0, 1]: the mean error of the posterior on the n points; any shape.
        n: number of i.i.d. points, whole, >= 1; broadcasts.
        divergence: KL of posterior and prior in nats, >= 0; B ln 2 for one network of a prefix-free
            code of B bits; broadcasts.
        delta: failure probability over the points, in (0, 1); broadcasts.
        alpha: al, the fineness of the grid, > 0, fixed before the points are seen; broadcasts.

    Returns:
        float64 array, an error rate in (0, 1], rounded up; 1 is vacuous. The infimum is searched
        for on a fixed grid that is refined; whatever lambda is met, the value is a bound.

    Raises:
        ValueError: an argument out of range; the message names it and the value.

    Claim: GN-4. Source: Catoni 2007, arXiv 0712.0248, Theorem 1.2.6; Zhou et al., arXiv 1804.05862.

    Example:
        >>> given = dict(error_rate=0.35, n=1_281_167, delta=0.05)
        >>> round(float(catoni_bound(divergence=350 * 1024 * 8 * np.log(2), **given)), 4)
        0.9654
    """
    rate = numeric.in_unit("error_rate", error_rate)
    trials = numeric.integer_at_least("n", n, 1)
    nats = numeric.at_least("divergence", divergence, 0.0) - np.log(
        numeric.probability("delta", delta)
    )
    fineness = binomial.positive("alpha", alpha)
    shape = np.broadcast_shapes(*(a.shape for a in (rate, trials, nats, fineness)))
    rate, trials, nats, fineness = (
        np.broadcast_to(a, shape)[..., None] for a in (rate, trials, nats, fineness)
    )
    low = np.zeros((*shape, 1))
    high = np.log(trials * _LARGEST) + low
    best = np.ones(shape)
    for turn in range(_ROUNDS):
        count = _ZOOM if turn else _FIRST
        logs = low + (high - low) * np.linspace(0.0, 1.0, count)
        values = _at(logs, rate, trials, nats, fineness)
        best = np.minimum(best, values.min(axis=-1))
        least = values.argmin(axis=-1)[..., None]
        low = np.take_along_axis(logs, np.maximum(least - 1, 0), -1)
        high = np.take_along_axis(logs, np.minimum(least + 1, count - 1), -1)
    return best[()]


def _at(logs: Float, rate: Float, n: Float, nats: Float, alpha: Float) -> Float:
    """The bound at each lambda = e^logs, every step rounded towards the larger value."""
    scale = np.exp(logs)
    union = 2 * np.log(2 + logs / np.log1p(alpha))
    inner = rate + (1 + alpha) / scale * (nats + union) * (1 + 16 * UNIT * (1 + logs))
    share = scale / n
    bound = np.expm1(-share * inner) / np.expm1(-share) * (1 + 32 * UNIT)
    return np.minimum(bound, 1.0)

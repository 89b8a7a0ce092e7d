"""From draws to weights: how many distinct weights m draws with replacement leave in a neuron."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory import _numeric as nm
from sipp_theory._numeric import Float

# Draw counts are handed to integer samplers, so they must stay exact in float64.
MOST_DRAWS = 2.0**50


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
    q = nm.at_least("probabilities", probabilities, 0.0)
    if (q > 1).any():
        raise ValueError(f"probabilities must not exceed 1; found {float(q.max())!r}")
    draws = nm.at_least("m", m, 0.0)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = np.where(draws == 0, 0.0, draws * np.log1p(-q))
    return -np.expm1(missed).sum(axis=-1)


def draws_for_distinct(probabilities: ArrayLike, target: ArrayLike) -> Float:
    """Whole number of draws whose expected number of distinct weights is nearest a target.

    Args:
        probabilities: (..., k) q_j in [0, 1], one row a neuron, adding up to 1 (or all 0).
        target: (...) wanted distinct weights, >= 0.

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
    q = nm.at_least("probabilities", probabilities, 0.0)
    wanted = nm.at_least("target", target, 0.0)
    live = (wanted > 0) & (q.max(axis=-1, initial=0.0) > 0)
    low, high = np.zeros_like(wanted), np.full_like(wanted, np.log2(MOST_DRAWS))
    # 40 halvings of log2 m resolve m to a relative 1e-10; the last unit is settled below.
    for _ in range(40):
        middle = (low + high) / 2
        enough = expected_distinct(q, 2**middle) >= wanted
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    above = np.ceil(2**high - 1e-6)
    below = np.maximum(above - 1, 1.0)
    over = expected_distinct(q, above) - wanted
    under = wanted - expected_distinct(q, below)
    best = np.where(np.abs(under) <= np.abs(over), below, above)
    return np.where(live, best, 0.0)

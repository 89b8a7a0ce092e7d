"""SP-8: the sampler itself, each weight kept by a coin of its own with p_j = min(1, c s_j)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float


def inclusion_probabilities(sensitivity: ArrayLike, rate: float) -> Float:
    """Inclusion probability of each weight, p_j = min(1, c s_j).

    Args:
        sensitivity: (k,) s_j in [0, 1].
        rate: c >= 0; may be +inf (keep every weight with s_j > 0).

    Returns:
        (k,) float64 in [0, 1].

    Raises:
        ValueError: a negative or non-finite sensitivity, or a negative rate.

    Claim: SP-8. Source: [OWN].

    Example:
        >>> inclusion_probabilities([0.5, 0.1, 0.0], 4.0).tolist()
        [1.0, 0.4, 0.0]
    """
    s = nm.at_least("sensitivity", sensitivity, 0.0)
    check_rate(rate)
    if np.isinf(rate):
        return np.where(s > 0, 1.0, 0.0)
    return np.minimum(1.0, rate * s)


def expected_kept(sensitivity: ArrayLike, rate: float) -> np.float64:
    """Expected number of weights that Poisson inclusion keeps, sum_j min(1, c s_j).

    Args:
        sensitivity: (k,) s_j in [0, 1].
        rate: c >= 0, may be +inf.

    Returns:
        float64, expected nonzeros.

    Raises:
        ValueError: a negative or non-finite sensitivity, or a negative rate.

    Claim: SP-8. Source: [OWN].

    Example:
        >>> float(expected_kept([0.5, 0.1], 4.0))
        1.4
    """
    return np.float64(inclusion_probabilities(sensitivity, rate).sum())


def check_rate(rate: float) -> None:
    """Refuse a rate that is negative or no number.

    Example:
        >>> check_rate(float("inf"))
    """
    if not rate >= 0:
        raise ValueError(f"rate must be at least 0; found {rate!r}")

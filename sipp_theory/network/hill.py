"""Tail index of Delta (NW-6), an estimate and no bound: does assumption A2 survive the data?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from sipp_theory.numeric import checks as numeric


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

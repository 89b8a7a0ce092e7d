"""Accuracy from held-out inputs (CT-6), and statements for a family at once (CT-7)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.certificates.certificates import clopper_pearson, violation_bound
from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float


def accuracy_bound(correct: ArrayLike, n: ArrayLike, confidence: ArrayLike) -> Float:
    """Lower bound on a network's accuracy from the right answers among n held-out points.

    1 - BetaInv(confidence; n - correct + 1, correct): accuracy on fresh points is at least this
    with the given confidence.

    Args:
        correct: right answers, whole, 0 <= correct <= n; any shape.
        n: number of i.i.d. held-out points, whole, >= 0; broadcasts.
        confidence: 1 - alpha, in (0, 1); broadcasts.

    Returns:
        float64 array, a probability, rounded down; 0 (vacuous) where nothing was right.

    Raises:
        ValueError: a count out of range or not whole, confidence outside (0, 1).

    Claim: CT-6. Source: Clopper and Pearson, Biometrika 26 (1934).

    Example:
        >>> round(float(accuracy_bound(9800, 10000, 0.99)), 4)
        0.9765
    """
    right, trials = binomial.counts(correct, n)
    wrong = violation_bound(trials - right, trials, confidence)
    return np.maximum(numeric.down(1.0 - wrong), 0.0)[()]


def accuracy_drop(
    broken: ArrayLike, mended: ArrayLike, n: ArrayLike, confidence: ArrayLike
) -> Float:
    """Upper bound on the accuracy that pruning costs.

    U(broken; alpha/2) - L(mended; alpha/2), the ends of CT-1's two-sided intervals: the accuracy of
    the original minus that of the pruned network is Pr(broken) - Pr(mended) on fresh points, and at
    most this with the given confidence. Sharper than a bound on each accuracy, since points on
    which both networks agree do not enter.

    Args:
        broken: points that the original gets right and the pruned network wrong, whole; any shape.
        mended: points that it is the other way round for, whole; broadcasts.
        n: number of i.i.d. held-out points, whole, >= broken + mended; broadcasts.
        confidence: 1 - alpha, in (0, 1); broadcasts.

    Returns:
        float64 array in [-1, 1], a difference of probabilities, rounded up; below 0 where the
        pruned network is better; 1 (vacuous) where n = 0.

    Raises:
        ValueError: a count out of range or not whole, broken + mended above n, confidence outside
            (0, 1).

    Claim: CT-6. Source: [OWN]; Clopper and Pearson, Biometrika 26 (1934).

    Example:
        >>> round(float(accuracy_drop(300, 250, 10_000, 0.99)), 4)
        0.0135
    """
    lost, trials = binomial.counts(broken, n)
    won, _ = binomial.counts(mended, n)
    binomial.counts(lost + won, trials)
    upper, lower = (
        clopper_pearson(lost, trials, confidence)[1],
        clopper_pearson(won, trials, confidence)[0],
    )
    return np.clip(numeric.up(upper - lower), -1.0, 1.0)[()]


def family_confidence(confidence: float, statements: int) -> float:
    """Confidence that each of several statements needs for all of them to hold at once.

    1 - alpha/G, rounded up: by the union bound the chance that any of G statements is false is at
    most alpha, however they depend on each other.

    Args:
        confidence: 1 - alpha of all statements together, in [0.5, 1); in (0, 1) for one.
        statements: G >= 1, fixed before the points are looked at (for groups: labels may be).

    Returns:
        A confidence in (0, 1).

    Raises:
        ValueError: confidence out of range, statements not a whole number >= 1, or so many that
            float64 has no confidence below 1 for them.

    Claim: CT-7. Source: Bonferroni (1936).

    Example:
        >>> family_confidence(0.99, 10)
        0.999
    """
    sure = float(numeric.probability("confidence", confidence))
    count = float(numeric.integer_at_least("statements", statements, 1))
    if count == 1:
        return sure
    if sure < 0.5:
        raise ValueError(f"confidence of a family must be at least 0.5; found {confidence!r}")
    alpha = (1.0 - sure) / count  # 1 - sure is exact
    each = 1.0 - alpha
    while (1.0 - each) * count > 1.0 - sure and each < 1.0:
        each = float(numeric.up(each))
    if each >= 1.0:
        raise ValueError(f"{statements} statements leave none of them a confidence below 1")
    return each

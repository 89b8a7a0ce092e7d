"""CT-8: CoreNet's sentence about a drawn network, tested by drawing it again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.certificates.certificates import fixed_sequence, violation_bound
from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric

# What a product and a difference of float64 numbers may be off by, relatively.
ROUNDING = 4 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class LeastBudget:
    """Least of several budgets of a randomly pruned network that is proved to be enough.

    Attributes:
        index: which of the budgets, -1 if none.
        budget: the budget itself, in its own unit; +inf if none.
        failure: upper bound on the failure probability at that budget (CT-1 at the level of the
            family, so that it is at most delta); 1 if none.
        level: 1 - confidence, of the search and of `failure` together.

    Claim: CT-8. Source: [OWN]; Clopper and Pearson (1934), Maurer et al. (1995).
    """

    index: int
    budget: float
    failure: float
    level: float


def leaves_entrywise(outputs: ArrayLike, pruned: ArrayLike, eps: float) -> NDArray[np.bool_]:
    """Whether some entry of an output leaves (1 +- eps) times what it was.

    |f^_k - f_k| > eps |f_k| for some k: the event of CoreNet's network theorem (NW-5). An entry
    that was 0 must stay 0. What float64 cannot tell counts as leaving, and so does NaN.

    Args:
        outputs: (n, ...) f(x), real, no unit; one row an input.
        pruned: (n, ...) f^(x).
        eps: relative error, > 0.

    Returns:
        (n,) bool.

    Raises:
        ValueError: shapes that differ, no dimension, or eps out of range.

    Claim: CT-8. Source: [CN] arXiv 1804.05345, theorem 4 (the event).

    Example:
        >>> leaves_entrywise([[1.0, -2.0], [1.0, 0.0]], [[1.1, -2.1], [1.0, 1e-9]], 0.2).tolist()
        [False, True]
    """
    before, after = (np.asarray(each, dtype=np.float64) for each in (outputs, pruned))
    if before.shape != after.shape or before.ndim == 0:
        raise ValueError(
            f"outputs and pruned must be (n, ...) alike; found {before.shape} and {after.shape}"
        )
    share = float(binomial.positive("eps", eps))
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.abs(after - before) * (1 + ROUNDING)
        within = moved <= share * np.abs(before) * (1 - ROUNDING)
    return ~(within | ((before == 0) & (after == 0))).reshape(len(before), -1).all(axis=1)


def least_budget(
    failures: ArrayLike, budgets: ArrayLike, n: int, delta: float, confidence: float
) -> LeastBudget:
    """Least budget at which a network that is drawn at random is proved to fail rarely enough.

    At each budget n independent pairs (draw of the network, fresh input) were tried; a pair fails
    if an output leaves (1 +- eps) f(x). Budgets are tested from the largest to the least, each at
    level 1 - confidence by Pr(Bin(n, delta) <= failures), and the first that is not proved ends the
    search: the chance that the budget named has Pr(failure) > delta over draw and input together
    is at most 1 - confidence. Order and budgets must not depend on the inputs of the pairs.

    Args:
        failures: (k,) whole numbers, failing pairs at each budget.
        budgets: (k,) numbers > 0, strictly decreasing, in any unit (draws, weights).
        n: pairs tried at each budget, whole, >= 0.
        delta: failure probability over draw and input, in (0, 1).
        confidence: 1 - alpha, in (0, 1).

    Returns:
        LeastBudget(index, budget, failure, level).

    Raises:
        ValueError: a count out of range, budgets that do not fall, or lists of different length.

    Claim: CT-8. Source: [OWN]; Maurer et al. (1995), fixed-sequence testing.

    Example:
        >>> least_budget([0, 1, 60], [4e6, 2e6, 1e6], 200, 0.05, 0.99)
        LeastBudget(index=1, budget=2000000.0, failure=0.0327..., level=0.01...)
    """
    sizes = binomial.positive("budgets", budgets)
    if sizes.ndim != 1 or np.shape(failures) != sizes.shape or not (np.diff(sizes) < 0).all():
        raise ValueError(
            "budgets must be (k,) and strictly decreasing, one for each of the failures; found "
            f"{np.asarray(budgets).tolist()} for {np.shape(failures)} failures"
        )
    passed = fixed_sequence(failures, n, delta, confidence)
    if passed.last < 0:
        return LeastBudget(-1, float("inf"), 1.0, passed.level)
    count = numeric.integer_at_least("failures", failures, 0)[passed.last]
    failure = float(violation_bound(count, n, confidence))
    return LeastBudget(passed.last, float(sizes[passed.last]), failure, passed.level)

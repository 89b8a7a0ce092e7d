"""Coverage of fresh inputs without assumptions (ES-5, ES-6): the scenario approach.

"s_j >= g_j(x) for all j" is a scenario program: minimise sum s_j subject to one constraint a point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import binomial, special
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float


def scenario_violation(points: ArrayLike, dimension: ArrayLike, beta: ArrayLike) -> Float:
    """A-priori bound e on the mass of inputs that some sensitivity fails to cover.

    With confidence 1 - beta over i.i.d. S, Pr_x(exists j: g_j(x) > s_j) <= e, where e solves
    sum_{i<d} C(n,i) e^i (1-e)^(n-i) = beta. Any distribution. Vacuous (1) for n <= d.

    Args:
        points: n = |S|, i.i.d. inputs, whole, >= 0; any shape.
        dimension: d = number of sensitivities to cover at once, whole, >= 0; broadcasts.
        beta: 1 - confidence, in (0, 1); broadcasts.

    Returns:
        float64 array, a probability, rounded up: the binomial tail at it is at most beta.

    Raises:
        ValueError: a count that is negative or not whole, beta outside (0, 1).

    Claim: ES-5. Source: Campi and Garatti, SIAM J. Optim. 19 (2008), theorem 1; applied here [OWN].

    Example:
        >>> round(float(scenario_violation(500, 20, 0.05)), 4)
        0.0553
    """
    n = numeric.integer_at_least("points", points, 0)
    d = numeric.integer_at_least("dimension", dimension, 0)
    share = numeric.probability("beta", beta)
    rate = binomial.rate_above(d - 1, n, share)
    return np.where((d > 0) & (n <= d), 1.0, rate)[()]


def scenario_points(dimension: ArrayLike, violation: ArrayLike, beta: ArrayLike) -> Float:
    """Least number of points whose a-priori violation bound is at most the target.

    The least n with scenario_violation(n, dimension, beta) <= violation.

    Args:
        dimension: d, whole, >= 0; any shape.
        violation: target bound on the uncovered mass, in (0, 1); broadcasts.
        beta: 1 - confidence, in (0, 1); broadcasts.

    Returns:
        float64 array of whole numbers, in points; +inf beyond 2**50.

    Raises:
        ValueError: a value out of range.

    Claim: ES-5. Source: Campi and Garatti, SIAM J. Optim. 19 (2008), theorem 1; applied here [OWN].

    Example:
        >>> float(scenario_points(20, 0.0553, 0.05))
        500.0
    """
    d = numeric.integer_at_least("dimension", dimension, 0)
    target = numeric.probability("violation", violation)
    share = numeric.probability("beta", beta)
    d, target, share = np.broadcast_arrays(d, target, share)
    low = np.where(d > 0, d + 1, 0.0)
    return binomial.least_whole(lambda n: scenario_violation(n, d, share) <= target, low)[()]


def scenario_support(shares: ArrayLike) -> np.float64:
    """Number k of distinct points that set some sensitivity, for the a-posteriori bound.

    The points x in S that are the first argmax of g_j for some j with s_j > 0. Ties go to the first
    point: the order of an i.i.d. sample is independent of its values, so this is a valid random
    priority, and it makes the program non-degenerate, which the theorem asks for.

    Args:
        shares: (n, k) real, >= 0, no unit: one row a point, one column a sensitivity. Where a point
            has several rows (signs of its activations, patches), give their maximum.

    Returns:
        numpy.float64, a whole number from 0 to min(n, k).

    Raises:
        ValueError: wrong shape, or entries that are negative or not finite.

    Claim: ES-5. Source: Campi and Garatti, Math. Program. 167 (2018); tie-breaking [OWN].

    Example:
        >>> float(scenario_support([[0.9, 0.8, 0.0], [0.1, 0.2, 0.0]]))
        1.0
    """
    values = numeric.at_least("shares", shares, 0.0)
    if values.ndim != 2:
        raise ValueError(f"shares must have two dimensions; found shape {values.shape}")
    if values.size == 0:
        return np.float64(0.0)
    setting = values.argmax(axis=0)[values.max(axis=0) > 0]
    return np.float64(np.unique(setting).size)


def _log_excess(violation: Float, k: Float, n: Float, beta: Float) -> Float:
    """Log of beta I_e(k+1, n-k+1) over e times its density: >= 0 on the safe side of the root.

    The sum over m is a negative binomial law's: sum C(m,k) t^(m-k) = (1-t)^-(k+1) I_{1-t}(k+1,
    n-k+1).
    """
    with np.errstate(divide="ignore"):
        log_cdf = np.log(special.betainc(k + 1, n - k + 1, violation))
    parts = [
        np.log(beta),
        log_cdf,
        special.betaln(k + 1, n - k + 1),
        -special.xlogy(k + 1, violation),
        -special.xlog1py(n - k, -violation),
    ]
    slack = binomial.log_slack(k + 1, n - k + 1, parts[2:])
    return sum(parts, np.zeros(())) - slack


def wait_and_judge_violation(points: ArrayLike, support: ArrayLike, beta: ArrayLike) -> Float:
    """A-posteriori bound on the uncovered mass, from the number of points that set a sensitivity.

    With confidence 1 - beta over i.i.d. S, Pr_x(exists j: g_j(x) > s_j) <= 1 - t(k), t the root in
    (0, 1) of (beta/(n+1)) sum_{m=k}^{n} C(m,k) t^(m-k) = C(n,k) t^(n-k). Equivalently, at e = 1 -
    t, beta F(e) = e F'(e) for F the CDF of Beta(k+1, n-k+1). Vacuous (1) for k >= n.

    Adapting to k has a price: for k close to d the a-priori bound is smaller (n=1000, d=200,
    beta=.05: .221 against .236 at k=194). To take the smaller of the two, give beta/2 to each.

    Args:
        points: n = |S|, i.i.d. inputs, whole, >= 0; any shape.
        support: k, see scenario_support; whole, 0 <= k <= n; broadcasts. Overcounting is safe.
        beta: 1 - confidence, in (0, 1); broadcasts.

    Returns:
        float64 array, a probability, rounded up.

    Raises:
        ValueError: a count that is negative, not whole, or above n; beta outside (0, 1).

    Claim: ES-5. Source: Campi and Garatti, Math. Program. 167 (2018), theorem 1.

    Example:
        >>> round(float(wait_and_judge_violation(1000, 194, 0.05)), 3)
        0.236
    """
    n = numeric.integer_at_least("points", points, 0)
    k = numeric.integer_at_least("support", support, 0)
    share = numeric.probability("beta", beta)
    n, k, share = np.broadcast_arrays(n, k, share)
    if (k > n).any():
        raise ValueError(f"support must not exceed points; found {k[k > n].flat[0]:g}")
    usable = k < n
    inner = np.where(usable, k, 0.0)
    trials = np.where(usable, n, 1.0)
    root = numeric.bisect_up(
        lambda e: _log_excess(e, inner, trials, share) >= 0,
        np.full(n.shape, 1e-300),
        np.ones(n.shape),
    )
    return np.where(usable, root, 1.0)[()]


def exchangeable_violation(points: ArrayLike) -> Float:
    """Probability that a fresh point exceeds the maximum over S, one sensitivity at a time.

    Pr(g_j(x) > s_j) <= 1/(|S|+1), over S and x together, for exchangeable points.

    Args:
        points: |S|, whole, >= 0; any shape.

    Returns:
        float64 array, a probability, rounded up.

    Raises:
        ValueError: a number that is negative or not whole.

    Claim: ES-6. Source: [OWN].

    Example:
        >>> round(float(exchangeable_violation(99)), 6)
        0.01
    """
    n = numeric.integer_at_least("points", points, 0)
    return np.minimum(numeric.up(1.0 / (n + 1)), 1.0)[()]

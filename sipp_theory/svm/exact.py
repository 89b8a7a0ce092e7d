"""SV-5: exact sensitivities by convex programs, the oracle of every bound."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float
from sipp_theory.svm.problem import Instance, instance, positive_number
from sipp_theory.svm.solver import minimise

ROUNDS = 40


def exact_sensitivity(
    index: int,
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    sample_weight: ArrayLike | None = None,
    tol: float = 1e-4,
) -> tuple[float, float]:
    """The sensitivity of one point, between a witness and a dual value.

    s_i = sup c_i h_i/F = 1/(1 + lam/c_i), where lam = inf (||w||^2/2 + sum_{j != i} c_j h_j)/h_i is
    the root of the concave lam -> min ||w||^2/2 + sum_{j != i} c_j h_j - lam (1 - y_i (<x_i, w> +
    b)). Dinkelbach's iteration comes down to it from witnesses; multipliers prove it from below.

    Args:
        index: of the point, 0 <= index < n.
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given.
        tol: relative width to stop at, > 0.

    Returns:
        (low, high): some (w, b) reaches low, none exceeds high.

    Raises:
        ValueError: an argument is out of range, or there is one class.

    Claim: SV-5. Source: [OWN].

    Example:
        >>> low, high = exact_sensitivity(0, [[0.0], [1.0], [3.0]], [-1, 1, 1], 1.0)
        >>> 0 < low <= high <= 1 and high - low < 1e-3
        True
    """
    given = instance(X, y, C, sample_weight)
    at, width = int(nm.integer_at_least("index", index, 0.0)), positive_number("tol", tol)
    if at >= len(given.y):
        raise ValueError(f"index must be below {len(given.y)}; found {at}")
    if given.c[at] == 0:
        return 0.0, 0.0
    return _bracket(given, at, width)


def _bracket(given: Instance, at: int, tol: float) -> tuple[float, float]:
    weight = float(given.c[at])
    own = given.y == given.y[at]
    c = given.c.copy()
    c[at] = 0.0
    if not (c[own] > 0).any():
        # Alone in its class: w = 0 and b on the other side leave nothing but its own hinge.
        return 1.0, 1.0
    centre = given.X[at]
    V = np.column_stack([given.y[:, None] * (given.X - centre), given.y])
    t = np.ones(len(c))

    def ratio(theta: Float) -> float:
        """(||w||^2/2 + the others' hinges)/h_i at a witness; +inf where its hinge is 0."""
        h = 1 - given.y[at] * theta[-1]  # the point is the origin
        rest = theta[:-1] @ theta[:-1] / 2 + c @ np.maximum(1 - V @ theta, 0)
        return float(rest / h) if h > 0 else np.inf

    # Witnesses that put all of the other class on the right side.
    theta = np.zeros(V.shape[1])
    theta[-1] = -given.y[at]
    upper, lower = min(ratio(theta), ratio(np.zeros_like(theta))), 0.0
    factor = 1.0 - tol / 8
    tau = 1e-4
    for _ in range(ROUNDS):
        lam = upper * factor
        g = np.zeros(V.shape[1])
        g[-1] = lam * given.y[at]
        theta = minimise(V, t, c, g, theta, tau)
        upper = min(upper, ratio(theta))
        a = c * np.clip((1 - V @ theta) / tau, 0, 1)
        lower = max(lower, _proved(given, V, a, at, lam))
        if upper - lower <= tol * (weight + lower):
            break
        # No witness came below: a dual value is missing, which a sharper hinge gives.
        tau = max(tau * 0.3, 1e-9)
    return weight / (weight + upper) * (1 - 1e-12), weight / (weight + lower) * (1 + 1e-9)


def _proved(given: Instance, V: Float, a: Float, at: int, lam: float) -> float:
    """The largest nu <= lam that scaled multipliers a prove, or 0."""
    own = given.y == given.y[at]
    mine, others = float(a[own].sum()), float(a[~own].sum())
    # The own class must be heavier by nu.
    if mine <= 0:
        return 0.0
    if mine - others > lam:
        a = np.where(own, a * ((others + lam) / mine), a)
    elif others > 0:
        a = np.where(own, a, a * max(0.0, (mine - lam) / others))
        others = max(0.0, mine - lam)
    nu = float(a[own].sum()) - float(a[~own].sum())
    v, total = V[:, :-1].T @ a, float(a.sum())
    square = float(v @ v)
    # t a with t nu in place of nu: t (sum a - nu) - t^2 ||v||^2/2 >= 0, the point at the origin.
    scale = min(1.0, 2 * (total - nu) / square) if square > 0 else 1.0
    return max(0.0, scale * nu * (1 - 1e-9))

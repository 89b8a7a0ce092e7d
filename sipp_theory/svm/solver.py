"""SV-0: Newton's method on the smoothed hinge, with a certified gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric.checks import Float
from sipp_theory.numeric.threads import blas_threads_for
from sipp_theory.svm.problem import (
    Instance,
    check_scale,
    dual_lower,
    hinge_sum,
    instance,
    positive_number,
    primal_value,
    suboptimality,
)

# Newton steps at most; ill-scaled data took 320.
STEPS = 1000
# of them at one tau, once the primal has settled there.
TRIES = 12
SHRINK = 0.1
LEAST_TAU = 1e-13
# Gains below this share of the objective are lost to rounding.
ROUNDED = 1e-14


@dataclass(frozen=True)
class SvmSolution:
    """A solution with the bracket around the optimum that proves it.

    Attributes:
        w: (d,) normal.
        b: intercept.
        alpha: (n,) feasible multipliers.
        primal: F(w, b), rounded up.
        dual: D(alpha) <= F*, rounded down.
        eps: F(w, b) <= (1 + eps) F*, rounded up.
        passes: Newton steps, each of them one pass over the data.

    Claim: SV-0. Source: [OWN].
    """

    w: Float
    b: float
    alpha: Float
    primal: float
    dual: float
    eps: float
    passes: int


class Smoothed:
    """||w||^2/2 + g . (w, b) + sum c_i max(0, t_i - v_i . (w, b)), smoothed over (0, tau).

    V (n, d + 1), its last column is the intercept's; t, c (n,); g (d + 1,).
    """

    def __init__(self, V: Float, t: Float, c: Float, g: Float, start: Float) -> None:
        self.V, self.t, self.c, self.g = V, t, c, g
        self.theta, self.r = start, t - V @ start
        self.free = np.ones(V.shape[1])
        self.free[-1] = 0.0

    def multipliers(self, tau: float) -> Float:
        """(n,) a_i = c_i clip(r_i/tau, 0, 1)."""
        return self.c * np.clip(self.r / tau, 0, 1)

    def step(self, tau: float) -> float:
        """One Newton step with exact line search; its decrement, 0 where none is left."""
        a = self.multipliers(tau)
        gradient = self.free * self.theta + self.g - self.V.T @ a
        inside = np.flatnonzero((self.r > 0) & (self.r < tau))
        rows = self.V[inside]
        hessian = rows.T @ (rows * (self.c[inside] / tau)[:, None])
        # Without a point inside, nothing curves along the intercept.
        hessian[-1, -1] += 1e-12 * np.trace(hessian) if len(inside) else self.c.sum()
        hessian[np.diag_indices_from(hessian)] += self.free
        direction: Float
        try:
            direction = -np.asarray(np.linalg.solve(hessian, gradient), np.float64)
        except np.linalg.LinAlgError:
            direction = -gradient
        slope = float(gradient @ direction)
        if not slope < 0 or not np.isfinite(direction).all():
            direction, slope = -gradient, -float(gradient @ gradient)
            if slope == 0:
                return 0.0
        length = self._search(tau, direction, slope)
        self.theta = self.theta + length * direction
        self.r = self.t - self.V @ self.theta
        return -slope / 2

    def _search(self, tau: float, direction: Float, slope: float) -> float:
        """Zero of the derivative along a direction, to a hundredth of the slope at its start."""
        q = self.V @ direction
        flat, square = (
            float((self.free * self.theta + self.g) @ direction),
            float((self.free * direction) @ direction),
        )
        moved = np.flatnonzero(q)
        q, r, c = q[moved], self.r[moved], self.c[moved]

        def derivative(s: float) -> float:
            return flat + s * square - float((c * np.clip((r - s * q) / tau, 0, 1)) @ q)

        low, high, at_low, s = 0.0, np.inf, slope, 1.0
        at_high = np.inf
        for turn in range(100):
            value = derivative(s)
            if abs(value) <= -0.01 * slope:
                return s
            if value < 0:
                low, at_low = s, value
            else:
                high, at_high = s, value
            if not np.isfinite(high):
                s = 4 * s
            elif turn % 2:
                s = (low + high) / 2
            else:
                s = low + (high - low) * at_low / (at_low - at_high)
        return low if low > 0 else s


def minimise(
    V: Float, t: Float, c: Float, g: Float, start: Float, tau: float = 1e-6, first: float = 1.0
) -> Float:
    """The (w, b) of least ||w||^2/2 + g . (w, b) + sum c max(0, t - V (w, b)), smoothed by tau."""
    work = Smoothed(V, t, c, g, start)
    now, settled = max(first, tau), 1e-6 * float(c.sum())
    with blas_threads_for(V.size * V.shape[1]):
        for _ in range(STEPS):
            if work.step(now) <= settled * now:
                if now <= tau:
                    break
                now = max(now * SHRINK, tau)
    return work.theta


def solve(given: Instance, tol: float, w: Float | None = None, b: float = 0.0) -> SvmSolution:
    """Solve an instance until F - D <= tol D, from (w, b) if given."""
    with blas_threads_for(given.X.size * min(given.X.shape)):
        return _solve(given, tol, w, b)


def _solve(given: Instance, tol: float, w: Float | None, b: float) -> SvmSolution:
    X, y, c = given.X, given.y, given.c
    check_scale(X, c)
    n, d = X.shape
    basis = None
    if d > n:
        # Only the span of the points matters.
        basis, triangle = np.linalg.qr(X.T)
        X, w = triangle.T, None if w is None else basis.T @ w
    centre = c @ X / c.sum()
    rows = X - centre
    norms = np.linalg.norm(X, axis=1)
    V = np.column_stack([y[:, None] * rows, y])
    start = np.zeros(V.shape[1])
    if w is not None:
        start = np.append(w, b + float(w @ centre))
    work = Smoothed(V, np.ones(n), c, np.zeros(V.shape[1]), start)
    warm = w is not None
    tau = float(np.quantile(np.abs(work.r), 0.05)) + 1e-3 if warm else 1.0
    best_primal, best_dual = np.inf, 0.0
    theta, alpha = start, np.zeros(n)
    steps = tries = 0
    while steps < STEPS:
        steps += 1
        decrement = work.step(tau)
        tries += 1
        a = work.multipliers(tau)
        hinges = c * np.maximum(work.r, 0)
        smoothing = float((hinges - a * work.r).sum())
        rounded = ROUNDED * float(hinges.sum() + work.theta[:-1] @ work.theta[:-1] / 2)
        if decrement > 0.2 * smoothing + rounded:
            continue
        normal = work.theta[:-1]
        offset = float(work.theta[-1] - normal @ centre)
        primal = primal_value(normal, hinge_sum(normal, offset, X, y, c, norms)[1])
        if primal < best_primal:
            best_primal, theta = primal, np.append(normal, offset)
        dual, feasible = dual_lower(a, X, y, c, norms)
        if dual > best_dual:
            best_dual, alpha = dual, feasible
        if best_dual > 0 and best_primal - best_dual <= tol * best_dual:
            break
        # Multipliers that are not yet balanced cost the dual more than smoothing does.
        if primal - dual > 3 * smoothing + rounded and tries < TRIES:
            continue
        if tau <= LEAST_TAU or smoothing <= rounded:
            break
        tau, tries = tau * SHRINK, 0
    if not np.isfinite(best_primal):
        offset = float(work.theta[-1] - work.theta[:-1] @ centre)
        theta = np.append(work.theta[:-1], offset)
        best_primal = primal_value(theta[:-1], hinge_sum(theta[:-1], offset, X, y, c, norms)[1])
    normal, offset = theta[:-1], float(theta[-1])
    if basis is not None:
        normal = basis @ normal
        norms = np.linalg.norm(given.X, axis=1)
        hinge = hinge_sum(normal, offset, given.X, y, c, norms)[1]
        best_primal = primal_value(normal, hinge)
        best_dual = dual_lower(alpha, given.X, y, c, norms)[0]
    best_dual = max(best_dual, 0.0)
    return SvmSolution(normal, offset, alpha, best_primal, best_dual,
                       suboptimality(best_primal, best_dual), steps)  # fmt: skip


def solve_svm(
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    sample_weight: ArrayLike | None = None,
    tol: float = 1e-9,
) -> SvmSolution:
    """Solve a soft-margin linear SVM, with the gap that proves how well.

    Newton's method on the hinge smoothed over (0, tau), a_i = c_i clip(r_i/tau, 0, 1), with exact
    line search and tau -> 0, drives to 0 the gap
    F - D = ||w - sum a y x||^2/2 + sum_i [c_i max(0, r_i) - a_i r_i], whose terms are >= 0.

    Args:
        X: (n, d) finite points; where d > n it works in their span.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given. A weight 2 is the point twice.
        tol: relative gap to stop at, > 0.

    Returns:
        The solution; its `eps` says what was reached, which is above `tol` where float64 allows no
        more.

    Raises:
        ValueError: an argument is out of range, or there is one class.

    Claim: SV-0. Source: [OWN].

    Example:
        >>> solution = solve_svm([[0.0], [1.0], [3.0], [4.0]], [-1, -1, 1, 1], 10.0)
        >>> round(float(solution.w[0]), 6), round(solution.b, 6), solution.eps < 1e-8
        (1.0, -2.0, True)
    """
    return solve(instance(X, y, C, sample_weight), positive_number("tol", tol))

"""SV-7: sensitivities bounded by the dimension, through Lewis weights of a dual point's slack."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float
from sipp_theory.numeric.threads import blas_threads_for
from sipp_theory.svm.problem import Instance, balanced, instance

ROUNDS = 30
# Directions that rows have less of than this share count as none.
RANK = 1e-9
GUARD = 1e-6


def lewis_weights(rows: ArrayLike) -> Float:
    """l1 Lewis weights: w_j = sqrt(z_j^T (sum z z^T/w)^-1 z_j), adding up to the rank.

    Args:
        rows: (n, k) finite rows z_j.

    Returns:
        (n,) weights >= 0, 0 for a row of zeros.

    Raises:
        ValueError: rows that are not finite or no matrix.

    Claim: SV-7. Source: Lewis 1978; Cohen and Peng 2015, arXiv 1412.0588.

    Example:
        >>> lewis_weights([[1.0, 0.0], [1.0, 0.0], [0.0, 3.0]]).round(6).tolist()
        [0.5, 0.5, 1.0]
    """
    z = nm.finite("rows", rows)
    if z.ndim != 2 or z.size == 0:
        raise ValueError(f"rows must be a matrix; found shape {z.shape}")
    basis = _basis(z)
    flat = z @ basis
    live = np.linalg.norm(flat, axis=1) > 0
    w = np.where(live, 1.0, 0.0)
    with blas_threads_for(flat.size * flat.shape[1]):
        for _ in range(ROUNDS):
            w[live] = np.sqrt(_leverage(flat[live], flat[live], w[live]))
    return w


def _basis(z: Float) -> Float:
    """(k, r) orthonormal directions that rows of unit columns span, scaled to the columns."""
    size = np.sqrt((z**2).mean(axis=0))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh((z / size).T @ (z / size))
    kept = values > RANK**2 * max(float(values[-1]), 0.0)
    return vectors[:, kept] / size[:, None]


def _leverage(z: Float, rows: Float, w: Float) -> Float:
    """z_i^T (sum rows rows^T/w)^-1 z_i."""
    gram = rows.T @ (rows / np.maximum(w, 1e-300)[:, None])
    values, vectors = np.linalg.eigh(gram)
    inverse = vectors / np.sqrt(np.maximum(values, values[-1] * 1e-15))
    return np.maximum(((z @ inverse) ** 2).sum(axis=1), 0.0)


def logistic_dual(given: Instance) -> Float:
    """(n,) c sigmoid(1 - m) at an optimum of the logistic problem, which is a dual point."""
    X, y, c = given.X, given.y, given.c
    centre = c @ X / c.sum()
    V = np.column_stack([y[:, None] * (X - centre), y])
    theta, free = np.zeros(V.shape[1]), np.append(np.ones(X.shape[1]), 0.0)

    def value(at: Float) -> float:
        return float((free * at * at).sum() / 2 + c @ np.logaddexp(0, 1 - V @ at))

    now = value(theta)
    with blas_threads_for(V.size * V.shape[1]):
        for _ in range(60):
            p = 1 / (1 + np.exp(np.clip(V @ theta - 1, -700, 700)))
            gradient = free * theta - V.T @ (c * p)
            hessian = V.T @ (V * (c * p * (1 - p))[:, None]) + np.diag(free)
            hessian[-1, -1] += 1e-12 * (1 + np.trace(hessian))
            step = -np.linalg.solve(hessian, gradient)
            if -float(gradient @ step) <= 1e-12 * now:
                break
            length = 1.0
            while length > 1e-6 and value(theta + length * step) > now:
                length /= 2
            theta = theta + length * step
            now = value(theta)
    return c / (1 + np.exp(np.clip(V @ theta - 1, -700, 700)))


def dimension_sensitivities(
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    sample_weight: ArrayLike | None = None,
    alpha: ArrayLike | None = None,
) -> Float:
    """Bounds on sensitivities that add up to some multiple of the dimension, for any C.

    With a dual point a, D(a) >= 0, slack g_j = min(a_j, c_j - a_j) and rows z_j = (y_j x_j, y_j):
    s_i <= c_i tau_i, tau_i = sqrt(z_i^T G^-1 z_i), G = sum g_j^2 z_j z_j^T/w_j with w_j >= g_j
    tau_j (l1 Lewis weights of g_j z_j). The total is at most (d + 2)/kappa where g >= kappa c.

    Args:
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given.
        alpha: (n,) multipliers; it is clipped to [0, c], balanced and scaled until D(a) >= 0.
            If not given, c sigmoid(1 - m) at a logistic optimum.

    Returns:
        (n,) bounds, at most 1; 1 where the slack does not span a point.

    Raises:
        ValueError: an argument is out of range, or there is one class.

    Claim: SV-7. Source: [OWN]; cf. Mai, Musco and Rao 2021, arXiv 2106.08443.

    Example:
        >>> X, y = [[0.0], [1.0], [3.0], [4.0]] * 25, [-1, 1, -1, 1] * 25
        >>> bool(dimension_sensitivities(X, y, 1.0).sum() < 20)
        True
    """
    given = instance(X, y, C, sample_weight)
    if alpha is None:
        a = logistic_dual(given)
    else:
        a = nm.finite("alpha", alpha)
        if a.shape != given.y.shape:
            raise ValueError(f"alpha must have {len(given.y)} entries; found shape {a.shape}")
    a = balanced(np.clip(a, 0, given.c), given.y)
    v = (a * given.y) @ given.X
    square = float(v @ v)
    if square > 0:
        a = a * min(1.0, 2 * float(a.sum()) / square * (1 - 1e-9))
    slack = np.minimum(a, given.c - a)
    bound = np.ones(len(a))
    live = slack > 0
    if not live.any():
        return np.where(given.c > 0, bound, 0.0)
    z = np.column_stack([given.y[:, None] * given.X, given.y])
    rows = slack[live, None] * z[live]
    basis = _basis(rows)
    flat, reach = rows @ basis, z @ basis
    w = np.ones(len(flat))
    for _ in range(ROUNDS):
        w = np.sqrt(_leverage(flat, flat, w))
    w = np.maximum(w, 1e-300)
    # Scaled until w >= g tau holds at every row, converged or not.
    widen = float(np.max(np.sqrt(_leverage(flat, flat, w)) / w))
    tau = np.sqrt(_leverage(reach, flat, w)) * max(widen, 1.0) * (1 + GUARD)
    # z_i must be what the slack's rows span: its part outside of them is bounded by nothing.
    size = np.maximum(np.sqrt((rows**2).mean(axis=0)), 1e-300)
    unit = basis * size[:, None]
    scaled = z / size
    outside = np.linalg.norm(scaled - (scaled @ unit) @ unit.T, axis=1)
    spanned = outside <= 1e-7 * np.linalg.norm(scaled, axis=1)
    bound[spanned] = np.minimum(1.0, (given.c * tau)[spanned])
    return np.where(given.c > 0, bound, 0.0)

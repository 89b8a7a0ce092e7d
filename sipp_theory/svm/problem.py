"""The soft-margin linear SVM with weights: its instance, checked, and its two values (SV-0).

F(w, b) = ||w||^2/2 + sum_i c_i max(0, 1 - y_i (<x_i, w> + b)), c_i = C u_i, and the intercept b is
free. Dual: a in [0, c] with sum a y = 0 has D(a) = sum a - ||sum a y x||^2/2 <= F* <= F(w, b).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import UNIT, Float

# Additions that numpy's pairwise sum of up to 2^48 terms puts on top of each other, and more.
PAIRWISE = 128
# Squares of entries and of the total penalty must not leave float64.
LEAST, MOST = 1e-100, 1e100


@dataclass(frozen=True)
class Instance:
    """One checked problem: X (n, d), y (n,) of -1 and 1, c (n,) >= 0 and not all 0."""

    X: Float
    y: Float
    c: Float


def check_scale(X: Float, c: Float) -> None:
    """Refuse entries and penalties whose squares are no float64 any more."""
    largest = float(np.abs(X).max(initial=0.0))
    if not largest <= MOST:
        raise ValueError(f"X must be at most {MOST:g} in size; found {largest:.3g}; scale it down")
    total = float(c.sum())
    if not LEAST <= total <= MOST:
        raise ValueError(
            f"C times the sum of sample_weight must be between {LEAST:g} and {MOST:g}; found "
            f"{total:.3g}; scale one of them"
        )


def positive_number(name: str, value: float) -> float:
    """A finite number above 0."""
    given = nm.finite(name, value)
    if given.ndim:
        raise ValueError(f"{name} must be one number; found shape {given.shape}")
    number = float(given)
    if not number > 0:
        raise ValueError(f"{name} must be above 0; found {number!r}")
    return number


def points(X: ArrayLike) -> Float:
    """(n, d) finite rows, at least one of each."""
    rows = nm.finite("X", X)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"X must have rows and columns; found shape {rows.shape}")
    return rows


def instance(X: ArrayLike, y: ArrayLike, C: float, sample_weight: ArrayLike | None) -> Instance:
    """Check a problem; what is wrong is refused by name."""
    rows = points(X)
    labels = nm.numbers("y", y)
    if labels.shape != rows.shape[:1]:
        raise ValueError(f"y must have one label a row of X, {len(rows)}; found {labels.shape}")
    wrong = ~np.isin(labels, (-1.0, 1.0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"y must be -1 or 1; found {labels[at]!r} at index {at}")
    weight = np.ones(len(rows)) if sample_weight is None else nm.at_least(
        "sample_weight", sample_weight, 0.0
    )  # fmt: skip
    if weight.shape != labels.shape:
        raise ValueError(f"sample_weight must have {len(rows)} entries; found {weight.shape}")
    c = positive_number("C", C) * weight
    with np.errstate(over="ignore"):
        check_scale(rows, c)
    for side in (-1.0, 1.0):
        if not (c[labels == side] > 0).any():
            raise ValueError(
                f"there must be two classes; found no point of class {side:g} with weight above 0"
            )
    return Instance(rows, labels, c)


def hyperplane(w: ArrayLike, b: float, d: int) -> tuple[Float, float]:
    """(d,) finite normal and a finite intercept."""
    normal = nm.finite("w", w)
    if normal.shape != (d,):
        raise ValueError(f"w must have {d} entries, one a column of X; found shape {normal.shape}")
    offset = float(nm.finite("b", b))
    if not max(float(np.abs(normal).max(initial=0.0)), abs(offset)) <= MOST:
        raise ValueError(f"w and b must be at most {MOST:g} in size; found more")
    return normal, offset


def slacks(w: Float, b: float, X: Float, y: Float) -> Float:
    """(n,) r_i = 1 - y_i (<x_i, w> + b)."""
    return 1 - y * (X @ w + b)


def hinge_sum(
    w: Float, b: float, X: Float, y: Float, c: Float, norms: Float
) -> tuple[Float, float]:
    """The slacks r, and sum c max(0, r) rounded up; norms (n,) >= ||x_i||."""
    r = slacks(w, b, X, y)
    size = norms * float(np.linalg.norm(w)) + abs(b) + 1
    # A slack is off by at most d + 3 roundings of what it is added up from.
    off = (X.shape[1] + 4) * UNIT * (1 + PAIRWISE * UNIT)
    total = float((c * np.maximum(r + off * size, 0)).sum())
    return r, total * (1 + 2 * PAIRWISE * UNIT)


def primal_value(w: Float, hinge: float) -> float:
    """||w||^2/2 + hinge, rounded up."""
    return float((w @ w / 2 + hinge) * (1 + 2 * (len(w) + 4) * UNIT))


def svm_objective(
    w: ArrayLike,
    b: float,
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Objective of a soft-margin SVM with a free intercept, rounded up.

    F(w, b) = ||w||^2/2 + C sum_i u_i max(0, 1 - y_i (<x_i, w> + b)).

    Args:
        w: (d,) finite normal.
        b: finite intercept; it is not penalised.
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given.

    Returns:
        F(w, b), never below the exact value.

    Raises:
        ValueError: an argument is out of range, or there is one class.

    Claim: SV-0. Source: Cortes and Vapnik 1995; [OWN].

    Example:
        >>> round(svm_objective([1.0], 0.0, [[1.0], [-0.5]], [1, -1], 2.0), 9)
        1.5
    """
    rows = points(X)
    normal, offset = hyperplane(w, b, rows.shape[1])
    given = instance(rows, y, C, sample_weight)
    norms = np.linalg.norm(rows, axis=1)
    return primal_value(normal, hinge_sum(normal, offset, rows, given.y, given.c, norms)[1])


def balanced(alpha: Float, y: Float) -> Float:
    """Scale the heavier class down until sum a y = 0 (up to rounding); 0 <= a stays <= c."""
    plus, minus = float(alpha[y > 0].sum()), float(alpha[y < 0].sum())
    if not (plus > 0 and minus > 0):
        return np.zeros_like(alpha)
    return alpha * np.where(y > 0, min(1.0, minus / plus), min(1.0, plus / minus))


def dual_lower(
    alpha: Float, X: Float, y: Float, c: Float, norms: Float, additions: int = 0
) -> tuple[float, Float]:
    """A dual value that is certainly <= F*, and the feasible multipliers behind it.

    alpha (n,) is clipped to [0, c], balanced, and scaled to its best multiple. Rows X may be means
    that took `additions` additions each to form; norms (n,) >= mean norm of what they are means of.
    """
    a = balanced(np.clip(alpha, 0, c), y)
    v = X.T @ (a * y)
    total, square = float(a.sum()), float(v @ v)
    if square > total > 0:
        a, v = a * (total / square), v * (total / square)
        total, square = float(a.sum()), float(v @ v)
    # Rounding of v, of the two class sums (which a smaller multiple of one class would make
    # equal), of means and of this sum itself, each in units of what is added up.
    unit = 4 * (len(a) + X.shape[1] + PAIRWISE + additions) * UNIT
    weight = float((a * norms).sum())
    off = unit * (weight + total * float(norms.max(initial=0.0)))
    length = float(np.sqrt(square)) + off
    return float(total * (1 - unit) - length * length / 2 * (1 + unit)), a


def svm_dual(
    alpha: ArrayLike, X: ArrayLike, y: ArrayLike, C: float, sample_weight: ArrayLike | None = None
) -> float:
    """Dual value of any multipliers: a certain lower bound of the least objective.

    alpha is clipped to [0, C u], the heavier class is scaled down until sum a y = 0, and the best
    multiple is taken; then D(a) = sum a - ||sum a y x||^2/2 <= F*.

    Args:
        alpha: (n,) finite multipliers.
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given.

    Returns:
        D(a), rounded down.

    Raises:
        ValueError: an argument is out of range, or there is one class.

    Claim: SV-0. Source: Cortes and Vapnik 1995; [OWN].

    Example:
        >>> round(svm_dual([0.5, 0.5], [[1.0], [-1.0]], [1, -1], 2.0), 9)
        0.5
    """
    given = instance(X, y, C, sample_weight)
    a = nm.finite("alpha", alpha)
    if a.shape != given.y.shape:
        raise ValueError(f"alpha must have {len(given.y)} entries; found shape {a.shape}")
    norms = np.linalg.norm(given.X, axis=1)
    return max(0.0, dual_lower(a, given.X, given.y, given.c, norms)[0])


def suboptimality(primal: float, dual: float) -> float:
    """primal/dual - 1, rounded up; +inf where the dual says nothing."""
    if not dual > 0:
        return float("inf")
    return max(0.0, float((primal - dual) / dual * (1 + 8 * UNIT)) + 4 * UNIT)

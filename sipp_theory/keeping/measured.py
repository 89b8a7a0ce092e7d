"""The error of delivered weights, measured on given inputs and certain there (SP-12)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float

# Products and quotients of two numbers between SMALL and 1/SMALL neither over- nor underflow.
SMALL = 2.0**-400


def measured_error(
    weight: ArrayLike, stored: ArrayLike, rows: ArrayLike, shift: ArrayLike = 0.0
) -> Float:
    """Largest relative error of each neuron on given activation rows, of the weights as stored.

    eps_i = max_x |(w^_i - w_i).a(x) + shift_i| / (|w_i|.|a(x)|): with z~ the denominator,
    |z^_i(x) - z_i(x)| <= eps_i z~_i(x) at each of the rows, whatever the weights were chosen by.
    The rounding of this very computation is bounded and added. It says nothing of other rows.

    Args:
        weight: (out, k) real, the dense weights, no unit.
        stored: (out, k) real, the weights that took their place, as their dtype holds them.
        rows: (n, k) real, any sign: what enters the layer.
        shift: (out,) real, new biases minus old ones; broadcasts.

    Returns:
        (out,) float64 >= 0, rounded up; 0 where nothing changed, +inf where z~ = 0 at a row at
        which the output moved.

    Raises:
        ValueError: shapes that do not fit, or a value that is not finite.

    Claim: SP-12. Source: [OWN].

    Example:
        >>> eps = measured_error([[1.0, 1.0]], [[1.0, 0.0]], [[3.0, 1.0], [1.0, 1.0]])
        >>> round(float(eps[0]), 12)
        0.5
    """
    old, new = numeric.finite("weight", weight), numeric.finite("stored", stored)
    a, moved = numeric.finite("rows", rows), numeric.finite("shift", shift)
    if old.ndim != 2 or old.shape != new.shape or a.ndim != 2 or a.shape[1] != old.shape[1]:
        raise ValueError(
            "weight and stored must be (out, k) and rows (n, k); found shapes "
            f"{old.shape}, {new.shape} and {a.shape}"
        )
    if moved.shape not in ((), (1,), old.shape[:1]):
        raise ValueError(f"shift must be one number a neuron; found shape {moved.shape}")
    moved = np.broadcast_to(moved, old.shape[:1])
    terms = old.shape[1] + 4
    with np.errstate(all="ignore"):
        difference = new - old
        total = np.abs(a) @ np.abs(old).T
        change = a @ difference.T
        ratio = np.where(difference == 0, 0.0, np.abs(difference / old)).max(axis=1, initial=0.0)
        sizes = [np.abs(x[x != 0]) for x in (a, old, difference, moved)]
        usual = all(((x > SMALL) & (x < 1 / SMALL)).all() for x in sizes)
        wide = ~np.isfinite(ratio) | (change + moved == 0).all(axis=0) | (not usual)
        spread = total * np.where(wide, 0.0, ratio)
        if wide.any():
            spread[:, wide] = np.abs(a) @ np.abs(difference[wide]).T
        lost = np.zeros(())
        if not usual:
            # Each term may underflow, by half of the least number.
            touched = (a != 0).astype(np.float64) @ (difference != 0).astype(np.float64).T
            lost = np.where((touched > 0) | (moved != 0), terms * 2.0**-1074, 0.0)
            total = np.maximum(total - terms * 2.0**-1074, 0.0)
    return error_of_products(change, total, spread, moved, old.shape[1], lost)


def error_of_products(
    change: ArrayLike, total: ArrayLike, spread: ArrayLike, shift: ArrayLike, k: int,
    lost: ArrayLike = 0.0,
) -> Float:  # fmt: skip
    """SP-12 from its products of matrices, wherever they were computed and in whatever order.

    eps_i = max_x (|change + shift| + gamma (spread + |shift|))/(total (1 - gamma)), gamma = (k + 4)
    u/(1 - (k + 4) u): sums of k products in float64, fused or not, are off by no more.

    Args:
        change: (n, out) float64 sums of k products, a(x) . (w^_i - w_i), no unit.
        total: (n, out) float64 sums of k products, |a(x)| . |w_i|, no unit.
        spread: (n, out) float64 >= |a(x)| . |w^_i - w_i| but for the rounding of a sum, no unit.
        shift: (out,) real, new biases minus old ones; broadcasts.
        k: inputs of a neuron, >= 0.
        lost: (n, out) >= 0, what underflow may hide; broadcasts. Of `total` it is taken off before.

    Returns:
        (out,) float64 >= 0, rounded up, as `measured_error`.

    Claim: SP-12. Source: [OWN].

    Example:
        >>> eps = error_of_products([[-1.0]], [[4.0]], [[1.0]], 0.0, 2)
        >>> round(float(eps[0]), 12)
        0.25
    """
    terms = k + 4
    gamma = terms * UNIT / (1 - terms * UNIT)
    moved, total = np.asarray(shift), np.asarray(total)
    with np.errstate(all="ignore"):
        error = np.abs(np.asarray(change) + moved)
        # What rounding may hide is at most gamma of the sum of the terms' magnitudes.
        error = error + gamma * (np.asarray(spread) + np.abs(moved)) + np.asarray(lost)
        eps = error / (total * (1 - gamma))
    eps = np.where(np.isfinite(eps) & np.isfinite(total), eps, np.inf)
    worst = np.where(error == 0, 0.0, eps).max(axis=0, initial=0.0)
    return np.where(worst > 0, np.nextafter(worst * (1 + 4 * UNIT), np.inf), 0.0)

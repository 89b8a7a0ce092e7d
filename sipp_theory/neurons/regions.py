"""Boxes and balls of inputs, and how far a linear function moves on them; rounded outward.

A region is a centre (d,) and a radius: an array (d,) of half widths of a box, or one number, the
radius of a ball.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import UNIT, Float


def rounding(terms: int) -> float:
    """Relative error of a sum of so many products, whatever its order: n u/(1 - n u), and more."""
    return 1.01 * (terms + 2) * UNIT / (1 - (terms + 2) * UNIT)


def support(rows: ArrayLike, radius: ArrayLike) -> Float:
    """Most that g.(x - o) can be on a region, for each row g.

    sum_j r_j |g_j| on a box, r ||g|| on a ball.

    Args:
        rows: (n, d) vectors g.
        radius: (d,) half widths >= 0 of a box, or one number >= 0, the radius of a ball.

    Returns:
        (n,) float64, rounded up.

    Raises:
        ValueError: a negative radius, shapes that do not fit, or numbers that are not finite.

    Claim: NC-3g. Source: [OWN].

    Example:
        >>> support([[3.0, -4.0]], [1.0, 1.0]).round(6), support([[3.0, -4.0]], 1.0).round(6)
        (array([7.]), array([5.]))
    """
    g = np.atleast_2d(nm.finite("rows", rows))
    r = nm.at_least("radius", radius, 0.0)
    if r.ndim and r.shape != g.shape[1:]:
        raise ValueError(f"radius has shape {r.shape}, the rows {g.shape}: one half width a column")
    size = np.abs(g) @ r if r.ndim else float(r) * np.sqrt((g * g).sum(axis=1))
    return size * (1 + 2 * rounding(g.shape[1])) + 1e-300 * (size > 0)


def preactivation_range(
    incoming: ArrayLike, bias: ArrayLike, centre: ArrayLike, radius: ArrayLike
) -> tuple[Float, Float]:
    """Range of z = p.x + b over a region, for each neuron p.

    p.o + b -+ h(p), h the support function of the region about its centre o.

    Args:
        incoming: (n, d) incoming weights p.
        bias: (n,) biases b, or 0.
        centre: (d,) centre o.
        radius: (d,) half widths of a box, or one number, the radius of a ball.

    Returns:
        ((n,) least, (n,) largest) float64, rounded outward.

    Raises:
        ValueError: a negative radius, shapes that do not fit, or numbers that are not finite.

    Claim: NC-1g. Source: [OWN].

    Example:
        >>> low, high = preactivation_range([[1.0, -1.0]], 0.0, [0.5, 0.5], [0.5, 0.5])
        >>> low.round(6), high.round(6)
        (array([-1.]), array([1.]))
    """
    p = np.atleast_2d(nm.finite("incoming", incoming))
    b, o = nm.finite("bias", bias), nm.finite("centre", centre)
    if o.shape != p.shape[1:]:
        raise ValueError(f"centre has shape {o.shape}, incoming {p.shape}: one number a column")
    middle, spread = p @ o + b, support(p, radius)
    error = rounding(p.shape[1]) * (np.abs(p) @ np.abs(o) + np.abs(b) + spread)
    return nm.down(middle - spread - error), nm.up(middle + spread + error)


def middle_and_half(low: ArrayLike, high: ArrayLike) -> tuple[Float, Float]:
    """Middle of intervals, and the distance from it to the farther end, rounded up.

    Args:
        low: lower ends, any shape.
        high: upper ends, >= low.

    Returns:
        (middle, half width) float64.

    Raises:
        ValueError: numbers that are not finite, or ends that are swapped.

    Claim: NC-1g. Source: [OWN].

    Example:
        >>> middle_and_half(0.0, 3.0)[0]
        np.float64(1.5)
    """
    below, above = nm.finite("low", low), nm.finite("high", high)
    if (below > above).any():
        raise ValueError("low must not exceed high: the ends of an interval are swapped")
    middle = below + (above - below) / 2
    half = np.maximum(above - middle, middle - below)
    return middle[()], np.where(half > 0, nm.up(half), 0.0)[()]

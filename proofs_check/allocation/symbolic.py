"""The algebra behind AL-1 and AL-2: convexity, optimality conditions, the cubic, duality.

With y = 1/eps a pair's size is m = 2 V y^2 + 2 b y, which needs no square root; every step is
derived in y, for b, V > 0 and at the two edges b = 0 and V = 0.
"""

from __future__ import annotations

import numpy as np
import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, symbolic
from sipp_theory.allocation import pair

y, t, weight, mu = sp.symbols("y t l mu", positive=True)
# At most one of a live pair's coefficients is zero.
CASES = tuple(
    tuple(sp.Integer(0) if gone == name else sp.Symbol(name, positive=True) for name in ("b", "v"))
    for gone in ("", "b", "v")
)


def _size(b: sp.Expr, v: sp.Expr, at: sp.Expr = y) -> sp.Expr:
    return 2 * v * at**2 + 2 * b * at


def _slope(b: sp.Expr, v: sp.Expr) -> sp.Expr:
    """Derivative of the error in the draws, by the chain rule through y."""
    return sp.diff(1 / y, y) / sp.diff(_size(b, v), y)


@symbolic("AL-1", "AL-2")
def error_in_y(setting: Setting) -> Result:
    """Bernstein's error at m = 2 V y^2 + 2 b y is 1/y, in the algebra and in the code."""
    for b, v in CASES:
        m = _size(b, v)
        # The radicand is a square, which sympy does not see by itself.
        equal(b**2 + 2 * v * m, (b + 2 * v * y) ** 2, "b^2 + 2 V m is a square")
        equal((b + (b + 2 * v * y)) / m, 1 / y, "eps(m) = 1/y")
    b, v = CASES[0]
    size = sp.lambdify((b, v, y), _size(b, v))
    for point in ((1.0, 3.0, 2.0), (9.837, 29.511, 10.0), (0.5, 1e-3, 0.1)):
        computed = float(pair.pair_error(np.asarray(size(*point)), *map(np.asarray, point[:2])))
        if abs(computed * point[2] - 1) > 1e-12:
            raise Refuted(f"pair_error(m, b, V) is {computed!r} at (b, V, 1/eps) = {point}")
    return Result(cases=3)


@symbolic("AL-1", "AL-2")
def error_falls_and_is_convex(setting: Setting) -> None:
    """The promised error falls in the draws and is strictly convex."""
    for b, v in CASES:
        slope = _slope(b, v)
        holds(slope < 0, "eps'(m) < 0")
        holds(sp.diff(slope, y) / sp.diff(_size(b, v), y) > 0, "eps''(m) > 0")


@symbolic("AL-1")
def tangent_lies_below(setting: Setting) -> None:
    """The error at any other size is at least its tangent: a square times a positive factor."""
    ratio = sp.Symbol("r", positive=True)
    for b, v in CASES:
        gap = 1 / (y * ratio) - 1 / y - _slope(b, v) * (_size(b, v, y * ratio) - _size(b, v))
        factor = (v * y * (ratio + 2) + b) / (y * ratio * (2 * v * y + b))
        equal(gap, (ratio - 1) ** 2 * factor, "eps(m') - eps(m) - eps'(m)(m' - m)")
        holds(factor > 0, "the factor is positive")


@symbolic("AL-1")
def conditions_suffice(setting: Setting) -> None:
    """Equal derivatives, larger ones at a cap, and a spent budget make an allocation optimal."""
    # One pair: gap >= 0 is the tangent's, room = n - m' >= 0, spare = -l eps'(m) - mu >= 0.
    before, gap, m, other, cap, spare = sp.symbols("p g m o n s", nonnegative=True)
    after = before - (mu + spare) * (other - m) + weight * gap
    inner = (after + mu * other - before - mu * m).subs(spare, 0)
    equal(inner, weight * gap, "an inner pair's Lagrangian is least at m")
    capped = (after + mu * other - before - mu * m).subs(m, cap).subs(other, cap - t)
    equal(capped, weight * gap + spare * t, "a capped pair's Lagrangian is least at its cap")
    holds(weight * gap + spare * t >= 0, "both excesses are at least 0")
    # All pairs: excess is the sum of the above, slack = B - sum m' >= 0.
    budget, total, excess, slack = sp.symbols("B P e k", nonnegative=True)
    rival = total + mu * budget + excess - mu * (budget - slack)
    equal(rival - total, excess + mu * slack, "a rival within the budget is no better")
    holds(excess + mu * slack >= 0, "weak duality")


@symbolic("AL-1")
def stationarity_is_a_cubic(setting: Setting) -> None:
    """-l eps'(m) = mu is the cubic 4 V y^3 + 2 b y^2 = l/mu, with exactly one positive root."""
    for b, v in CASES:
        cubic = 4 * v * y**3 + 2 * b * y**2
        equal(-weight * _slope(b, v) - mu, (weight - mu * cubic) / cubic, "-l eps'(m) - mu")
        holds(sp.diff(cubic, y) > 0, "the cubic rises")
        holds(sp.limit(cubic, y, 0) == 0, "from 0")
        holds(sp.limit(cubic, y, sp.oo) == sp.oo, "without bound")


@symbolic("AL-1")
def newton_from_above(setting: Setting) -> None:
    """Newton's start is above the root, at most sqrt(2) times it; the cubic is convex there."""
    b, v = CASES[0]
    r = 4 * v * y**3 + 2 * b * y**2
    by_cube, by_square = sp.cbrt(r / (4 * v)), sp.sqrt(r / (2 * b))
    equal(by_cube**3 - y**3, b * y**2 / (2 * v), "one start is above the root")
    equal(by_square**2 - y**2, 2 * v * y**3 / b, "so is the other")
    holds(sp.diff(r, y, 2) > 0, "the cubic is convex, so Newton stays above and falls")
    # q, the cubic term's share of r, is above or below 1/2: cube^3 = y^3/q, square^2 = y^2/(1-q).
    q = 4 * v * y**3 / r
    equal(by_cube**3, y**3 / q, "the first start to the third is y^3/q")
    equal(by_square**2, y**2 / (1 - q), "the second to the second is y^2/(1-q)")
    holds(sp.Rational(2) ** sp.Rational(1, 3) < sp.sqrt(2), "q >= 1/2: the first is 2^(1/3) off")
    free = sp.Symbol("r", positive=True)
    step = y - (4 * v * y**3 + 2 * b * y**2 - free) / (12 * v * y**2 + 4 * b * y)
    equal(step, (8 * v * y**3 + 2 * b * y**2 + free) / (12 * v * y**2 + 4 * b * y), "Newton's step")


@symbolic("AL-1")
def size_falls_in_the_multiplier(setting: Setting) -> None:
    """A pair's size rises with l/mu, from 0 and without bound: some mu spends the budget."""
    for b, v in CASES:
        cubic = 4 * v * y**3 + 2 * b * y**2
        holds(sp.diff(_size(b, v), y) / sp.diff(cubic, y) > 0, "dm/d(l/mu) > 0")
        holds(sp.limit(_size(b, v), y, 0) == 0, "no draws where they are dear")
        holds(sp.limit(_size(b, v), y, sp.oo) == sp.oo, "any number where they are cheap")


@symbolic("AL-2")
def size_inverts_error(setting: Setting) -> None:
    """The one size of error eps is m = (2 V + 2 b eps)/eps^2, and it falls as eps grows."""
    e = sp.Symbol("e", positive=True)
    for b, v in CASES:
        size = (2 * v + 2 * b * e) / e**2
        equal(size, _size(b, v, 1 / e), "the size at y = 1/eps")
        holds(sp.diff(size, e) < 0, "a larger error needs fewer draws")
        # With m = size + t draws, t > 0, the error y solves y^2 m = 2 V + 2 b y and is below e.
        equal(size * e**2 - 2 * v - 2 * b * e, sp.Integer(0), "e solves Bernstein's equation")


@symbolic("AL-2")
def same_multiplier(setting: Setting) -> None:
    """The least draws for a sum of errors solve AL-1's cubic with the multiplier inverted."""
    price = sp.Symbol("lambda", positive=True)
    for b, v in CASES:
        condition = 1 + price * weight * _slope(b, v)
        cubic = 4 * v * y**3 + 2 * b * y**2
        equal(
            condition, (cubic - price * weight) / cubic, "stationarity of sum m + lambda sum l eps"
        )
    # AL-1's excess: P' = P + mu (M - M') + e. A rival with P' = P - k, k >= 0, has M' >= M.
    excess, short = sp.symbols("e k", nonnegative=True)
    more = (excess + short) / mu
    equal(mu * more - excess, short, "M' - M = (e + k)/mu where P' = P - k")
    holds(more >= 0, "so no rival meets the same sum of errors with fewer draws")

"""The algebra behind NC."""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.registry import Setting, symbolic

t, m, delta, k = sp.symbols("t m delta k", positive=True)
z, a = sp.symbols("z a", real=True)


@symbolic("NC-1", "NC-1g", "NC-5")
def one_draw_is_bounded(setting: Setting) -> None:
    """A draw w v/pr, pr = W h/t, |w| <= W, |v| <= h, lies in [-t, t], or [0, t] for one sign."""
    part, other, load, bound = sp.symbols("s r W h", positive=True)
    # |w| = W/(1 + s), |v| = h/(1 + r): anything within the two bounds.
    draw = load / (1 + part) * bound / (1 + other) / (load * bound / t)
    spare = t * (part + other + part * other) / ((1 + part) * (1 + other))
    equal(t - draw, spare, "what t has to spare")
    holds(spare > 0, "a draw is at most t")
    holds(draw > 0, "one sign: above 0")


@symbolic("NC-1", "NC-1g", "NC-5")
def hoeffding_inverts(setting: Setting) -> None:
    """2 exp(-2 m e^2/range^2) is delta at the printed errors: range t, 2t, and 2t at delta/k."""
    one = t * sp.sqrt(sp.log(2 / delta) / (2 * m))
    equal(2 * sp.exp(-2 * m * one**2 / t**2), delta, "range t")
    both = t * sp.sqrt(2 * sp.log(2 * k / delta) / m)
    equal(k * 2 * sp.exp(-2 * m * both**2 / (2 * t) ** 2), delta, "range 2t, k outputs")


@symbolic("NC-1g")
def middles_cancel(setting: Setting) -> None:
    """With the next bias corrected by the middles the error is that of v - mid, drawn likewise."""
    w, u, v, mid = sp.symbols("w u v mid", real=True)
    equal((w * v - u * v) - (w - u) * mid, w * (v - mid) - u * (v - mid), "per neuron")


@symbolic("NC-3", "NC-3g")
def relu_in_halves(setting: Setting) -> None:
    """relu(z) = z/2 + |z|/2: its linear half costs 1/2 by variance, the other 2 x 1/2: 3/2."""
    x = sp.Symbol("x", positive=True)
    equal(x / 2 + sp.Abs(x) / 2, x, "above 0")
    equal(-x / 2 + sp.Abs(-x) / 2, sp.Integer(0), "below 0")
    equal(sp.Rational(1, 2) + 2 * sp.Rational(1, 2), sp.Rational(3, 2), "the two halves")


@symbolic("NC-3", "NC-3g")
def mcdiarmid_inverts(setting: Setting) -> None:
    """exp(-2 e^2 m/R^2) is delta/(2k) at e = R sqrt(ln(2k/delta)/(2m)): k outputs, two sides."""
    e = t * sp.sqrt(sp.log(2 * k / delta) / (2 * m))
    equal(2 * k * sp.exp(-2 * e**2 * m / t**2), delta, "all sides of all outputs")


@symbolic("NC-4")
def stopping_is_biased(setting: Setting) -> None:
    """Two neurons, pr = (.9, .1), drawn until both were met: the second's mean share is not .1.

    The stopping time is N = 1 + a geometric number; the second was met N - 1 times or once.
    """
    i = sp.Symbol("i", integer=True, positive=True)
    p, q = sp.Rational(9, 10), sp.Rational(1, 10)
    # First comes a run of one neuron, of length i, then the other: multiplier counts/(m pr).
    first = sp.summation(p**i * q * (1 / (i + 1)), (i, 1, sp.oo))
    second = sp.summation(q**i * p * (i / (i + 1)), (i, 1, sp.oo))
    mean = sp.N(sp.sympify(f"{first} + {second}"), 20)
    holds(mean > sp.Rational(2, 10), "E is above 2/10, twice the truth")


@symbolic("NC-6")
def parabolas_are_on_the_right_side(setting: Setting) -> None:
    """z^2/(2k) + k/2 >= |z| for k > 0, and z^2/M <= |z| for |z| <= M; the chord is above |z|."""
    y, rest = sp.symbols("y r", positive=True)
    equal(y**2 / (2 * k) + k / 2 - y, (y - k) ** 2 / (2 * k), "the parabola above")
    equal(y - y**2 / (y + rest), y * rest / (y + rest), "the parabola below, M = y + r")
    low, high = sp.symbols("l v", positive=True)
    slope, lift = (high - low) / (high + low), 2 * high * low / (high + low)
    for point, value in ((-low, low), (high, high)):
        equal(slope * point + lift, value, "the chord meets |z| at both ends")


@symbolic("NC-6")
def one_eigenvalue_bounds_the_box(setting: Setting) -> None:
    """s^T M s <= lambda s^T D s <= lambda (D_0 + sum D_i) wherever |s_i| <= 1 and lambda >= 0."""
    lam, first, second, s = sp.symbols("lambda D_0 D_1 s", nonnegative=True)
    inside = s / (1 + s)  # any number in [0, 1)
    gap = lam * (first + second) - lam * (first + second * inside**2)
    equal(gap, lam * second * (1 - inside**2), "what is left")
    equal(1 - inside**2, (1 + 2 * s) / (1 + s) ** 2, "as a fraction")
    holds((1 + 2 * s) / (1 + s) ** 2 > 0, "it is not negative")


@symbolic("NC-7")
def telescoping(setting: Setting) -> None:
    """F - f^ is the sum of the steps of networks pruned so far, each moved on by pruned layers."""
    whole, first, both = sp.symbols("f f_1 f_2", real=True)
    equal(whole - both, (whole - first) + (first - both), "the steps add up")


@symbolic("NC-10")
def the_difference_of_a_layer(setting: Setting) -> None:
    """W^ (z + d) + b^ - W z - b = W^ d + (W^ - W) z + (b^ - b): linear in the two."""
    w, u, b, c, d = sp.symbols("w u b c d", real=True)
    equal(u * (z + d) + c - (w * z + b), u * d + (u - w) * z + (c - b), "a layer")


@symbolic("NC-10")
def lines_hold_the_difference(setting: Setting) -> None:
    """max(l d, L d) is convex in d, so it lies below its chord; on one side of 0 it is a line."""
    least, more, low, high = sp.symbols("l m a b", positive=True)
    most = least + more  # L >= l
    # d from -a to b: at -a the larger of the two is -l a, at b it is L b.
    slope = (most * high + least * low) / (high + low)
    lift = -least * low + slope * low
    equal(slope * -low + lift, -least * low, "the chord meets it at -a")
    equal(slope * high + lift, most * high, "and at b")
    part = sp.Symbol("r", positive=True)
    up, down = high / (1 + part), -low / (1 + part)  # anywhere between
    for inside, own, where in ((up, most, "d > 0"), (down, least, "d < 0")):
        spare: Any = sp.factor(slope * inside + lift - own * inside)
        holds(spare > 0, f"above it for {where}")
    # act(z + d) - act(z) is the integral of the slope over [z, z + d].
    equal(least * high + more * high, most * high, "its largest value over slopes in [l, L]")


@symbolic("NC-10")
def a_line_above_relu(setting: Setting) -> None:
    """The chord v (z - l)/(v - l) is relu at both ends of [l, v], and above it in between."""
    low, high, part = sp.symbols("a v r", positive=True)
    slope = high / (high + low)
    equal(slope * (-low + low), sp.Integer(0), "at l = -a")
    equal(slope * (high + low), high, "at v")
    up, down = high / (1 + part), -low / (1 + part)
    for inside, own, where in ((up, up, "z > 0"), (down, sp.Integer(0), "z < 0")):
        spare: Any = sp.factor(slope * (inside + low) - own)
        holds(spare > 0, f"above relu for {where}")


@symbolic("NC-8")
def shares_do_not_depend_on_scale(setting: Setting) -> None:
    """The share of a ray is that of its point with p_j.x = 1, so its supremum is one program."""
    own, others, weight, scale = sp.symbols("z_j r w c", positive=True)
    share = weight * own / (weight * own + others)
    scaled = weight * (scale * own) / (weight * scale * own + scale * others)
    equal(share, scaled, "homogeneous")
    equal(share, weight / (weight + others / own), "at p_j.x = 1")


@symbolic("NC-8r")
def an_isolated_neuron_has_share_one(setting: Setting) -> None:
    """With z_j = 1 and every other z_q = -1 the sum is w_j alone, and mu = 2 + 1/v for |z|."""
    w, v = sp.symbols("w v", positive=True)
    equal(w * 1 / (w * 1 + 0), sp.Integer(1), "its share")
    positive, total = v, -1
    # |z| = 2 relu(z) - z, at sum w z = -1 and sum w relu(z) = v.
    equal((2 * positive - total) / positive, 2 + 1 / v, "mu")


@symbolic("NC-9")
def rounds_add_up(setting: Setting) -> None:
    """Beaten by f in each of i - 1 rounds, and in its own: its share is at most 1/(1 + (i-1)/f)."""
    f, i, own = sp.symbols("f i x", positive=True)
    total = own + (i - 1) * own / f
    equal(own / total, 1 / (1 + (i - 1) / f), "the share")

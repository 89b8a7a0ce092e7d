"""The algebra behind SP-4, SP-5 and the order SP-5x <= SP-5 <= SP-4 <= SP-3.

The rates are Legendre transforms; any tilt gives a bound, the best one is only the sharpest. As in
`sp_draws`, expectations are finite sums and what is derived is their general term.
"""

from __future__ import annotations

import sympy as sp

from proofs_check.registry import Setting, check
from proofs_check.symbolic import equal, holds
from proofs_check.symbolic.sp_draws import no_minus, starts_flat
from sipp_theory import exact


@check("SP-4", "SP-5")
def two_point_has_the_largest_moments(setting: Setting) -> None:
    """On [0, M] the exponential lies below its chord, so T in {0, M} has the largest E exp(l T)."""
    x, s = sp.Symbol("x", real=True), sp.Symbol("s", positive=True)
    gap = 1 + s * (sp.exp(x) - 1) - sp.exp(s * x)
    equal(gap.subs(s, 0), sp.Integer(0), "chord and curve meet at t = 0")
    equal(gap.subs(s, 1), sp.Integer(0), "and at t = M")
    bend = sp.diff(gap, s, 2)
    equal(bend, -(x**2) * sp.exp(s * x), "the gap is concave, so it is >= 0 in between")
    # With t = s M and E T = 1 the mean of the chord is the moment of the two-point law.
    p = sp.Symbol("p", positive=True)
    equal((1 + s * (sp.exp(x) - 1)).subs(s, p), 1 - p + p * sp.exp(x), "E of the chord, p = 1/M")


@check("SP-4")
def two_point_rate(setting: Setting) -> None:
    """The Legendre transform of the two-point law at 1 +- eps is kl((1 +- eps) p || p), p = 1/M."""
    p, share = sp.symbols("p w", positive=True)
    # a = w in (0, 1) is (1 + eps) p or (1 - eps) p; x = l M is the tilt.
    a = share / (1 + share)
    odds = p / (1 - p)
    tilt = sp.log(share / odds)
    moment = 1 - p + p * share / odds
    equal(moment, (1 - p) * (1 + share), "the moment at the stationary tilt")
    slope = p * sp.exp(tilt) / moment
    equal(slope, a, "the tilt is stationary: the tilted mean is a")
    rate = a * tilt - sp.log(1 - p) - sp.log(1 + share)
    kl = a * (sp.log(a) - sp.log(p)) + (1 - a) * (sp.log(1 - a) - sp.log(1 - p))
    equal(sp.expand_log(rate, force=True), sp.expand_log(kl, force=True), "rate and kl")


@check("SP-4")
def divergence_without_cancelling(setting: Setting) -> None:
    """kl((1+e)p || p) = p h(e) + (1-p) h(-e p/(1-p)), the form that the code computes."""
    p, e = sp.symbols("p e", positive=True)

    def h(t: sp.Expr) -> sp.Expr:
        return (1 + t) * sp.log(1 + t) - t

    for sign in (1, -1):
        a = (1 + sign * e) * p
        kl = a * sp.log(1 + sign * e) + (1 - a) * (sp.log(1 - a) - sp.log(1 - p))
        rest = -sign * e * p / (1 - p)
        code = p * h(sign * e) + (1 - p) * h(rest)
        code = code.subs(sp.log(1 + rest), sp.log(1 - a) - sp.log(1 - p))
        equal(1 + rest, (1 - a) / (1 - p), "its argument")
        equal(kl, code, f"side {sign:+d}")


@check("SP-3", "SP-4")
def chernoff_is_above_bernstein(setting: Setting) -> None:
    """kl((1 +- e)p || p) >= e^2/(2(M-1) + (2/3) max(M-1, 1) e): both start flat, kl bends more."""
    e, r, d, largest = sp.symbols("e r d b", positive=True)
    bernstein = e**2 / (2 * r + 2 * largest * e / 3)
    bend = starts_flat(bernstein, e, 2, "Bernstein's exponent")
    equal(bend, r**2 / (r + largest * e / 3) ** 3, "its second derivative")
    p = 1 / (1 + r)
    for sign in (1, -1):
        a = (1 + sign * e) * p
        kl = a * sp.log(1 + sign * e) + (1 - a) * sp.log((1 - a) / (1 - p))
        equal(
            starts_flat(kl, e, 2, "kl"),
            1 / ((1 + sign * e) * (r - sign * e)),
            f"second derivative of kl on side {sign:+d}, r = M - 1",
        )
    # So kl bends more where (r + b e/3)^3 >= r^2 (1 +- e)(r -+ e), and b is r or 1, the larger.
    for sign, large, small, name in (
        (1, r, r, "above, M >= 2"),
        (1, r + d, r, "above, M < 2"),
        (-1, 1 + d, 1 + d, "below, M >= 2"),
        (-1, sp.Integer(1), r, "below, M < 2"),
    ):
        gap = (small + large * e / 3) ** 3 - small**2 * (1 + sign * e) * (small - sign * e)
        no_minus(gap, name)


@check("SP-5")
def rates_keep_the_order_of_moments(setting: Setting) -> None:
    """A smaller moment at every tilt is a larger rate: SP-5 never asks for more than SP-4."""
    tilt, a, mine, excess, log = sp.symbols("l a K d L", positive=True)
    # K <= K + d at every tilt; so is the supremum of l a - K.
    holds((tilt * a - mine) - (tilt * a - (mine + excess)) > 0, "the transform at each tilt")
    rate = sp.Symbol("I", positive=True)
    equal(log / rate - log / (rate + excess), log * excess / (rate * (rate + excess)), "the sizes")


@check("SP-5")
def error_is_the_inverse_rate(setting: Setting) -> None:
    """Least (K(mu) + y)/mu is the error at which the rate is y: stationary where mu K' - K = y."""
    mu, y = sp.symbols("mu y", positive=True)
    moment = sp.Function("K")(mu)
    error = (moment + y) / mu
    equal(
        sp.diff(error, mu),
        (mu * sp.diff(moment, mu) - moment - y) / mu**2,
        "derivative of the error",
    )
    # At any mu the exponent mu eps - K at that error is y, so every mu gives a true bound.
    equal(mu * error - moment, y, "the exponent at any tilt")


@check("SP-5x")
def exact_tail_is_below_chernoff(setting: Setting) -> None:
    """At the size of SP-5 Chernoff's bound of the tail is delta, so the tail itself is no more."""
    log, rate = sp.symbols("L I", positive=True)
    # The step itself is `markov`; at SP-5's size m = L/I its two sides are delta = 2 exp(-L).
    m = log / rate
    equal(2 * sp.exp(-m * rate), 2 * sp.exp(-log), "both sides at SP-5's size")


@check("SP-5x")
def bookkeeping_is_paid(setting: Setting) -> None:
    """Four events of a thousandth of delta and the grid's tail make delta; errors add up."""
    delta, h, grid, residue, drift, m = sp.symbols("delta h k r d m", positive=True)
    event = sp.Rational(1, round(1 / exact.BOOKKEEPING)) * delta
    no_minus(delta - 4 * event, "what four events leave for the tail on the grid")
    # One draw is h k + r; the sum of m of them is its grid part, its drift and what is left.
    left = m * (residue - drift)
    equal(m * (h * grid + residue), h * m * grid + m * drift + left, "the sum of the draws")
    # |a + b + c| <= |a| + |b| + |c|, squared once: 2(|a||b| - ab) >= 0 either sign.
    a, b = sp.symbols("a b", positive=True)
    for sign in (1, -1):
        no_minus((a + b) ** 2 - (a + sign * b) ** 2, "the triangle inequality, squared")

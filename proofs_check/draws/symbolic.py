"""The algebra behind SP-1 to SP-3: drawing weights with replacement, by its range and variance.

A draw has finitely many values, so an expectation is a finite sum. A relation between two such sums
is derived for their general term; that adding the terms up keeps it is not derived again. Nor is
the schoolbook step from the sign of a derivative to the sign of the function.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Refuted
from proofs_check.ledger.registry import Setting, symbolic
from sipp_theory.draws import exact

THIRD = sp.Rational(1, 3)


def starts_flat(function: sp.Expr, variable: sp.Symbol, order: int, step: str) -> sp.Expr:
    """Derive that a function and its derivatives below `order` are 0 at 0; give the next one."""
    for _ in range(order):
        equal(sp.sympify(function.subs(variable, 0)), sp.Integer(0), f"{step}: 0 at 0")
        function = sp.diff(function, variable)
    return function


def no_minus(expression: sp.Expr, step: str) -> None:
    """Derive that a polynomial in positive symbols is >= 0: none of its coefficients is below 0."""
    terms: Any = sp.expand(expression).as_ordered_terms()
    if bad := [term for term in terms if not term.is_nonnegative]:
        raise Refuted(f"{step}: {sp.expand(expression)} has the term {bad[0]}")


@symbolic("SP-1")
def unbiased(setting: Setting) -> None:
    """A draw picks j with probability q_j and pays c_j/q_j: z on average, and so do m of them."""
    q, c, m, t = sp.symbols("q_j c_j m t", positive=True)
    equal(q * (c / q), c, "term j of E T is c_j")
    # N_j counts successes of chance q_j; its generating function is that of m coins.
    generating = (1 - q + q * t) ** m
    equal(generating.diff(t).subs(t, 1), m * q, "E N_j = m q_j")
    equal(m * q * c / (m * q), c, "term j of E z^ is c_j")


@symbolic("SP-1", "SP-2", "SP-3", "SP-4")
def range_and_variance(setting: Setting) -> None:
    """Where g_j <= C s_j, a draw T = g_J/q_J lies in [0, M], M = C S_sum, and Var T <= M - 1."""
    s, total, factor, slack = sp.symbols("s_j S C d", positive=True)
    # g_j = C s_j - d with a slack d >= 0, and q_j = s_j/S.
    value = (factor * s - slack) / (s / total)
    equal(factor * total - value, slack * total / s, "M - T is the slack over q_j, so T <= M")
    top, below, q = sp.symbols("M b q_j", positive=True)
    draw = top - below
    equal(q * draw * (top - draw), q * draw * below, "term j of E T(M - T) is q_j T (M - T) >= 0")
    second = sp.Symbol("E_T2", positive=True)
    equal(top * 1 - second, (top - 1) - (second - 1), "E T(M - T) = M - 1 - Var T, as E T = 1")


@symbolic("SP-2", "SP-3", "SP-4", "SP-5", "SP-5x")
def markov(setting: Setting) -> None:
    """1{X >= a} <= exp(l (X - a)), and the mean of exp(l X) multiplies over independent draws."""
    x, tilt, first, second, p, q = sp.symbols("x l a b p q", positive=True)
    slope = starts_flat(sp.exp(x) - 1, x, 1, "e^x - 1")
    holds(slope > 0, "beyond a the exponential exceeds 1; before it, it is positive")
    joint = p * q * sp.exp(tilt * (first + second))
    equal(joint, (p * sp.exp(tilt * first)) * (q * sp.exp(tilt * second)), "term of the product")


@symbolic("SP-3")
def bennett_moment(setting: Setting) -> None:
    """(e^x - 1 - x)/x^2 rises, so E exp(l X) <= exp(v (e^(l b) - 1 - l b)/b^2) for X <= b."""
    x, positive = sp.Symbol("x", real=True), sp.Symbol("x", positive=True)
    rise = sp.exp(x) * (x - 2) + x + 2
    quotient = (sp.exp(x) - 1 - x) / x**2
    equal(sp.diff(quotient, x), rise / x**3, "the derivative is r(x)/x^3")
    bend = starts_flat(rise, x, 2, "r and r'")
    # r'' = x e^x has the sign of x, so r' >= 0, so r has the sign of x, so r/x^3 >= 0.
    equal(bend, x * sp.exp(x), "r'' = x e^x")
    # 1 + y <= e^y, for the last step from a sum to an exponential.
    gap = starts_flat(sp.exp(positive) - 1 - positive, positive, 2, "e^y - 1 - y")
    equal(gap, sp.exp(positive), "its second derivative is positive")


@symbolic("SP-3")
def bennett_exponent(setting: Setting) -> None:
    """At the best tilt Bennett's exponent is (v/b^2) h(b t/v), h(u) = (1 + u) ln(1 + u) - u."""
    v, b, t = sp.symbols("v b t", positive=True)
    u = b * t / v
    tilt = sp.log(1 + u) / b
    exponent = tilt * t - v * ((1 + u) - 1 - tilt * b) / b**2
    equal(exponent, v / b**2 * ((1 + u) * sp.log(1 + u) - u), "the exponent")


@symbolic("SP-3", "SP-5x")
def bennett_to_bernstein(setting: Setting) -> None:
    """h(u) >= u^2/(2 + 2u/3): both start flat, and the second derivatives differ by u^3 + 9u^2."""
    u = sp.Symbol("u", positive=True)
    gap = (1 + u) * sp.log(1 + u) - u - u**2 / (2 + 2 * u / 3)
    bend = starts_flat(gap, u, 2, "h(u) - u^2/(2 + 2u/3)")
    top, bottom = sp.fraction(sp.together(bend))
    equal(top / bottom, (u**3 + 9 * u**2) / ((1 + u) * (3 + u) ** 3), "the second derivative")


@symbolic("SP-3")
def bernstein_inverse(setting: Setting) -> None:
    """The error that SP-3 promises for m draws solves Bernstein's equation for m exactly."""
    m, log, variance, largest = sp.symbols("m L v b", positive=True)
    linear = largest * log / (3 * m)
    error = linear + sp.sqrt(linear**2 + 2 * variance * log / m)
    needed = (2 * variance + sp.Rational(2, 3) * largest * error) * log
    equal(m * error**2, needed, "m eps^2 = (2 v + 2 b eps/3) L at the error promised")
    # The exponent of m draws, each with variance v and range b, at a sum m eps above its mean.
    eps = sp.Symbol("eps", positive=True)
    u = largest * eps / variance
    equal(
        m * variance / largest**2 * u**2 / (2 + 2 * u / 3),
        m * eps**2 / (2 * variance + 2 * largest * eps / 3),
        "m (v/b^2) u^2/(2 + 2u/3) at u = b eps/v",
    )
    equal(2 * sp.exp(-sp.log(2 / eps)), eps, "two sides at exp(-L), L = ln(2/delta), are delta")


@symbolic("SP-2", "SP-3")
def bernstein_simple_form(setting: Setting) -> None:
    """SP-3 never exceeds its simple form 2 M (1 + eps/3) L/eps^2, for M below 2 and above."""
    spare, eps = sp.symbols("r eps", positive=True)
    simple = 2 * (1 + spare) * (1 + eps * THIRD)
    # M = 1 + r; the larger of r and 1 is either.
    for largest in (spare, sp.Integer(1)):
        no_minus(simple - 2 * spare - 2 * THIRD * largest * eps, f"the larger is {largest}")


@symbolic("SP-2")
def eight_is_three_too_many(setting: Setting) -> None:
    """CoreNet's 8 covers the (6 + 2 eps)/3 that its proof needs, 3 to 4 times over."""
    eps, span, spare = sp.symbols("eps M d", positive=True)
    needed = (6 + 2 * eps) / 3
    equal(2 * span * (1 + eps / 3), needed * span, "Bernstein's simple form is (6 + 2 eps)/3 M")
    # With eps = 1 - d, 0 < d < 1, what is left of 8 is positive.
    no_minus((8 - needed).subs(eps, 1 - spare), "8 - (6 + 2 eps)/3")
    waste = 8 / needed
    equal(waste.subs(eps, 0), sp.Integer(4), "4 times at eps = 0")
    equal(waste.subs(eps, 1), sp.Integer(3), "3 times at eps = 1")
    equal(sp.diff(waste, eps), -48 / (6 + 2 * eps) ** 2, "and it falls in between")


@symbolic("SP-2")
def corenet_failure(setting: Setting) -> None:
    """delta/(8 eta) for the coverage and twice that for two sides make 3 delta/(8 eta)."""
    delta, eta = sp.symbols("delta eta", positive=True)
    side = sp.exp(-sp.log(8 * eta / delta))
    equal(side, delta / (8 * eta), "one side of Bernstein at L = ln(8 eta/delta)")
    equal(side + 2 * side, sp.Rational(3, 8) * delta / eta, "coverage and two sides")
    own = delta / (4 * eta)
    equal(sp.log(2 / own), sp.log(8 * eta / delta), "it is SP-3's L at delta/(4 eta)")


@symbolic("SP-3")
def plus_one_is_no_plus_two(setting: Setting) -> None:
    """The authors' code solves m eps^2 = (1 + 2 eps/3) M L where Bernstein needs 2 + 2 eps/3."""
    m, log, span = sp.symbols("m L M", positive=True)
    ratio = 2 * span * log / (3 * m)
    heuristic = (sp.sqrt(ratio**2 + 6 * ratio) + ratio) / 2
    bernstein = (ratio + sp.sqrt(ratio**2 + 12 * ratio)) / 2
    two_thirds = sp.Rational(2, 3)
    equal(m * heuristic**2, (1 + two_thirds * heuristic) * span * log, "the code's equation")
    equal(m * bernstein**2, (2 + two_thirds * bernstein) * span * log, "Bernstein's, simple form")
    ask = sp.limit((heuristic / bernstein) ** 2, m, sp.oo)
    equal(ask, sp.Rational(1, 2), "for many draws it asks for half of Bernstein's")


@symbolic("SP-4", "SP-5")
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


@symbolic("SP-4")
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


@symbolic("SP-4")
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


@symbolic("SP-3", "SP-4")
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


@symbolic("SP-5")
def rates_keep_the_order_of_moments(setting: Setting) -> None:
    """A smaller moment at every tilt is a larger rate: SP-5 never asks for more than SP-4."""
    tilt, a, mine, excess, log = sp.symbols("l a K d L", positive=True)
    # K <= K + d at every tilt; so is the supremum of l a - K.
    holds((tilt * a - mine) - (tilt * a - (mine + excess)) > 0, "the transform at each tilt")
    rate = sp.Symbol("I", positive=True)
    equal(log / rate - log / (rate + excess), log * excess / (rate * (rate + excess)), "the sizes")


@symbolic("SP-5")
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


@symbolic("SP-5x")
def exact_tail_is_below_chernoff(setting: Setting) -> None:
    """At the size of SP-5 Chernoff's bound of the tail is delta, so the tail itself is no more."""
    log, rate = sp.symbols("L I", positive=True)
    # The step itself is `markov`; at SP-5's size m = L/I its two sides are delta = 2 exp(-L).
    m = log / rate
    equal(2 * sp.exp(-m * rate), 2 * sp.exp(-log), "both sides at SP-5's size")


@symbolic("SP-5x")
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

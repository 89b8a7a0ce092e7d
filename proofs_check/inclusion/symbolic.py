"""The algebra behind SP-8: inclusion with p_j = min(1, c s_j), independent and coupled."""

from __future__ import annotations

from typing import cast

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.registry import Setting, symbolic


@symbolic("SP-8")
def moments_of_a_coin(setting: Setting) -> None:
    """B/p has mean 1, and g B/p has variance g^2 (1-p)/p, at most b g with b = C/c."""
    p, g, rate, cover = sp.symbols("p g c C", positive=True)
    equal(p * (1 / p) + (1 - p) * 0, sp.S.One, "unbiased")
    variance = p * (g / p - g) ** 2 + (1 - p) * g**2
    equal(variance, g**2 * (1 - p) / p, "the variance of one weight")
    equal(g**2 / p - variance, g**2, "at most g^2/p")
    # Coverage g <= C s with p = c s: s = (g + t)/C.
    t = sp.Symbol("t", nonnegative=True)
    chance = rate * (g + t) / cover
    equal(cover * g / rate - g**2 / chance, g / chance * t, "and g^2/p <= (C/c) g")
    holds(g / chance * t >= 0, "by coverage")
    equal(cover / rate - g / chance, t / chance, "the largest value g/p is at most C/c")
    holds(t / chance >= 0, "by coverage")
    # The other side: a weight that is left out misses g = C s - t, and c s < 1.
    equal(
        (cover / rate - g).subs(g, cover * (1 - p) / rate), cover * p / rate, "g < C/c as c s < 1"
    )
    # Sum over R by induction: b G_R(x) bounds the variances, one weight more adds at most b g.
    total, slack, b = sp.symbols("V S b", nonnegative=True)
    equal(b * (total + g) - (b * total - slack + b * g - t), slack + t, "the variances add up")


@symbolic("SP-8")
def exponential_moment(setting: Setting) -> None:
    """A centred X in [-b, b] of variance v: E e^(lam X) <= exp(v/b^2 (e^y - 1 - y)), y = lam b."""
    lam, b = sp.symbols("lambda b", positive=True)
    k = sp.Symbol("k", integer=True, nonnegative=True)
    # E X^k <= b^(k-2) v for k >= 2, since X^k = X^2 X^(k-2) and, with r = |X|/b, r^j <= 1.
    r, rest = sp.symbols("r s", nonnegative=True)
    equal(1 - r * (1 - rest), (1 - r) + r * rest, "1 - r^(j+1) = (1-r) + r (1 - r^j)")
    # The mean is 0; sum the series.
    term = lam ** (k + 2) * b**k / sp.factorial(k + 2)
    series = cast(sp.Expr, sp.summation(term, (k, 0, sp.oo)))
    y = lam * b
    equal(series, (sp.exp(y) - 1 - y) / b**2, "the sum of the series")
    # 1 + x <= e^x: the difference has its minimum 0 at x = 0, as it is convex there and everywhere.
    x = sp.Symbol("x", real=True)
    gap = sp.exp(x) - 1 - x
    equal(gap.subs(x, 0), sp.S.Zero, "1 + x = e^x at 0")
    equal(sp.diff(gap, x).subs(x, 0), sp.S.Zero, "where the slope vanishes")
    holds(sp.diff(gap, x, 2) > 0, "and the difference is convex")
    # Independent weights: the expectation of a product of two-point laws factorises.
    p, q, u, v = sp.symbols("p q u v", positive=True)
    joint = p * q * u * v + p * (1 - q) * u + (1 - p) * q * v + (1 - p) * (1 - q)
    equal(joint, (1 + p * (u - 1)) * (1 + q * (v - 1)), "moments of independent coins multiply")


@symbolic("SP-8")
def bennett_exponent(setting: Setting) -> None:
    """The best lam turns that into exp(-(c/C) G_R h(eps/G_R)), h(t) = (1+t) ln(1+t) - t."""
    lam, b, share, eps = sp.symbols("lambda b G epsilon", positive=True)
    variance = b * share  # b = C/c
    log_moment = variance / b**2 * (sp.exp(lam * b) - 1 - lam * b) - lam * eps
    best = sp.log(1 + b * eps / variance) / b
    equal(sp.diff(log_moment, lam).subs(lam, best), sp.S.Zero, "the slope vanishes at the best lam")
    holds(sp.diff(log_moment, lam, 2) > 0, "which is the minimum")
    t = eps / share
    h = (1 + t) * sp.log(1 + t) - t
    equal(log_moment.subs(lam, best), -share / b * h, "the exponent is (c/C) G h(eps/G)")
    delta = sp.Symbol("delta", positive=True)
    equal(2 * sp.exp(-sp.log(2 / delta)), delta, "two sides at ln(2/delta) cost delta")


@symbolic("SP-8")
def bennett_beats_bernstein(setting: Setting) -> None:
    """h(t) >= t^2/(2 (1 + t/3)): the Bennett form never asks for more than the Bernstein form."""
    t = sp.Symbol("t", positive=True)
    h = (1 + t) * sp.log(1 + t) - t
    gap = h - t**2 / (2 + 2 * t / 3)
    equal(sp.limit(gap, t, 0), sp.S.Zero, "equal at 0")
    equal(sp.limit(sp.diff(gap, t), t, 0), sp.S.Zero, "and so are the slopes")
    bend = t**2 * (t + 9) / ((t + 1) * (t + 3) ** 3)
    equal(sp.diff(gap, t, 2), bend, "the second derivative")
    holds(bend > 0, "is positive")


@symbolic("SP-8")
def bernstein_rate(setting: Setting) -> None:
    """The rate 2 C (G_R + eps/3) L/eps^2 solves Bernstein's equation, and the error inverts it."""
    cover, share, eps, log, rate = sp.symbols("C G epsilon L c", positive=True)
    b = cover / rate
    exponent = eps**2 / (2 * (b * share + b * eps / 3))
    needed = 2 * cover * (share + eps / 3) * log / eps**2
    equal(exponent.subs(rate, needed), log, "the exponent at that rate is L")
    holds(sp.diff(exponent, rate) > 0, "and it grows with the rate")
    # The exponent is Bernstein's: (c/C) G t^2/(2(1 + t/3)) at t = eps/G.
    t = eps / share
    equal(share / b * t**2 / (2 + 2 * t / 3), exponent, "it is the lower bound of Bennett's")
    linear = b * log / 3
    error = linear + sp.sqrt(linear**2 + 2 * b * share * log)
    equal(rate * error**2, 2 * cover * (share + error / 3) * log, "the error solves it for eps")


@symbolic("SP-8")
def expected_count(setting: Setting) -> None:
    """The expected number of weights kept is the sum of the p_j: one weight more adds its p."""
    p, so_far = sp.symbols("p E", nonnegative=True)
    equal(p * (so_far + 1) + (1 - p) * so_far, so_far + p, "one coin more")


@symbolic("SP-8")
def pivotal_duel(setting: Setting) -> None:
    """A duel of pivotal sampling keeps means and total and never raises E prod(1 + u_j B_j)."""
    a, b, u, v = sp.symbols("a b u v", real=True)
    merged, decided = a + b, a + b - 1
    # a + b < 1: one drops out, the other carries a + b on; the first with probability a/(a+b).
    first = a / merged
    equal(first * merged, a, "the first keeps its mean where one drops out")
    equal((1 - first) * merged, b, "and so does the second")
    duel = first * (1 + u * merged) + (1 - first) * (1 + v * merged)
    equal((1 + u * a) * (1 + v * b) - duel, u * v * a * b, "what the duel loses: u v a b")
    # a + b >= 1: one is kept for certain, the other carries a + b - 1 on.
    wins = (1 - b) / (2 - a - b)
    equal(wins + (1 - wins) * decided, a, "the first keeps its mean where one is kept")
    equal((1 - wins) + wins * decided, b, "and so does the second")
    duel = wins * (1 + u) * (1 + v * decided) + (1 - wins) * (1 + v) * (1 + u * decided)
    equal((1 + u * a) * (1 + v * b) - duel, u * v * (1 - a) * (1 - b),
          "what the duel loses: u v (1-a)(1-b)")  # fmt: skip
    # u = e^(lam v_j) - 1 has the sign of lam for every weight, and 1 + u p >= 0: induction over the
    # duels, the last carried probability being a coin of its own.
    s, t = sp.symbols("s t", nonnegative=True)
    holds(s * t >= 0, "u v >= 0 on the upper side")
    holds((-s) * (-t) >= 0, "and on the lower")
    lam, p = sp.symbols("lambda p", positive=True)
    equal(p * sp.exp(lam) + (1 - p), 1 + (sp.exp(lam) - 1) * p, "e^(lam v B) is 1 + u B")
    equal(1 + decided, merged, "and the total of the two is what it was")

"""Steps of SP-11's proof: one exponential moment for both signs and both halves of a neuron."""

from __future__ import annotations

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.registry import Setting, symbolic


@symbolic("SP-11")
def moment_of_a_coin(setting: Setting) -> None:
    """E e^(t v (B - p)) = (1 - p + p e^(t v)) e^(-t p v), whatever the sign of v."""
    p = sp.Symbol("p", positive=True)
    t, v, a, z = sp.symbols("t v a z", real=True)
    moment = p * sp.exp(t * v * (1 - p)) + (1 - p) * sp.exp(-t * v * p)
    equal(moment, (1 - p + p * sp.exp(t * v)) * sp.exp(-t * p * v), "the moment of one coin")
    # w a (B/p - 1) is v z~ (B - p) with v = w a/(p z~).
    w, coin = sp.symbols("w B", real=True)
    equal(w * a * (coin / p - 1), w * a / (p * z) * z * (coin - p), "one weight's part of z^ - z")


@symbolic("SP-11")
def moment_of_draws(setting: Setting) -> None:
    """One of m draws moves z^ - z by v - E v, and moments of independent draws multiply."""
    q, m = sp.symbols("q m", positive=True)
    t, u, v = sp.symbols("t u v", real=True)
    one = q * sp.exp(t * u) + (1 - q) * sp.exp(t * v)
    mean = q * u + (1 - q) * v
    centred = q * sp.exp(t * (u - mean)) + (1 - q) * sp.exp(t * (v - mean))
    equal(centred, one * sp.exp(-t * mean), "centring takes t times the mean from the logarithm")
    equal(sp.log(sp.exp(m * t)) - m * t, sp.S.Zero, "m equal factors add up in the logarithm")


@symbolic("SP-11")
def one_union_of_two_tails(setting: Setting) -> None:
    """Each tail at ln(2/delta): together delta, with no union over signs or halves."""
    delta = sp.Symbol("delta", positive=True)
    equal(2 * sp.exp(-sp.log(2 / delta)), delta, "two tails at ln(2/delta)")
    # Pr(X > eps) <= E e^(t X) e^(-t eps): exp(t (x - eps)) is at least 1 where x >= eps.
    t, gap = sp.symbols("t g", nonnegative=True)
    equal(sp.exp(t * sp.S.Zero), sp.S.One, "e^(t (x - eps)) is 1 at x = eps")
    holds(sp.diff(sp.exp(t * gap), gap) >= 0, "and no less beyond")


@symbolic("SP-11")
def strata_help(setting: Setting) -> None:
    """Signs drawn apart, m Q_s each, have no larger moment than m draws from both together."""
    share, other = sp.symbols("Q x", positive=True)
    # ln is concave: Q ln(x) + (1 - Q) ln(1) <= ln(Q x + 1 - Q), equal at x = 1.
    gap = sp.log(share * other + 1 - share) - share * sp.log(other)
    equal(gap.subs(other, 1), sp.S.Zero, "equal where both signs have one moment")
    slope = share * (1 - share) * (other - 1) / (other * (share * other + 1 - share))
    equal(sp.diff(gap, other), slope, "the gap falls before x = 1 and grows after it")


@symbolic("SP-11")
def duels_of_one_sign(setting: Setting) -> None:
    """A duel changes the moment by -u v a b, which is no gain only where u and v have one sign."""
    s, t, lam = sp.symbols("s t lambda", positive=True)
    v = sp.Symbol("v", real=True)
    holds(s * t >= 0, "both push up")
    holds((-s) * (-t) >= 0, "both push down")
    holds(-s * t <= 0, "one each way: the moment grows, so such weights are drawn independently")
    # u = e^(lam v) - 1 has the sign of lam v.
    equal((sp.exp(lam * v) - 1).subs(v, 0), sp.S.Zero, "u is 0 at v = 0")
    holds(sp.diff(sp.exp(lam * v) - 1, v) > 0, "and grows with v")


@symbolic("SP-11")
def four_moments_of_a_coin(setting: Setting) -> None:
    """k(t) = ln(1 - p + p e^t) - p t is at most a cubic and what k'' e^|t| leaves from t^4 on."""
    p, q, t = sp.symbols("p q t", positive=True)
    k = sp.log(1 - p + p * sp.exp(t)) - p * t
    variance = p * (1 - p)
    for order, value in enumerate((sp.S.Zero, sp.S.Zero, variance, variance * (1 - 2 * p))):
        equal(sp.limit(sp.diff(k, t, order), t, 0), value, f"derivative {order} at 0")
    # At the tilted chance q, dq/dt = q (1 - q) = k''.
    chance = p * sp.exp(t) / (1 - p + p * sp.exp(t))
    second = q * (1 - q)
    equal(sp.diff(chance, t), chance * (1 - chance), "the chance moves by its own variance")
    equal(sp.diff(sp.log(second), q) * second, 1 - 2 * q, "ln k'' moves by at most |t|")
    fourth = sp.diff(sp.diff(second, q) * second, q) * second
    equal(fourth, second - 6 * second**2, "the fourth derivative is at most k''")
    # The sum of t^n/n! from n = 4 is at most t^4/24 times the geometric sum of t/5.
    n = sp.Symbol("n", nonnegative=True)
    holds(n + 5 >= 5, "each term is at most t/5 of the one before")
    equal(sp.Rational(1, 24) / (1 - t / 5), 5 / (24 * (5 - t)), "the geometric sum")

"""The algebra behind GN-1 to GN-4: margins, unions, codes, Chernoff's and Catoni's exponents."""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, symbolic

a, n = sp.symbols("a n", positive=True)
s, t = sp.symbols("s t", positive=True)
# Every pair q < p in (0, 1): q = 1/(1+s+t), p = (1+s)/(1+s+t).
Q, P = 1 / (1 + s + t), (1 + s) / (1 + s + t)


def _kl(q: sp.Expr, p: sp.Expr) -> sp.Expr:
    return q * sp.log(q / p) + (1 - q) * sp.log((1 - q) / (1 - p))


@symbolic("GN-1")
def half_a_margin(setting: Setting) -> None:
    """A margin above gamma stays positive if scores move by gamma/2, not if they move by gamma."""
    gamma, more, spare, other = sp.symbols("gamma m u v", nonnegative=True)
    moved = gamma + more - (gamma / 2 - spare) - (gamma / 2 - other)
    equal(moved, more + spare + other, "the right score falls and the best other one rises")
    holds(moved.subs(more, s) > 0, "a margin above gamma stays above 0")
    holds(sp.Rational(3, 2) * s - s - s < 0, "a margin of 3 gamma/2 is lost to moves of gamma")


@symbolic("GN-1")
def union_of_lists(setting: Setting) -> None:
    """At GN-1's deviation the failures of c lists of r^q classifiers add up to delta."""
    count, levels, lists, level = sp.symbols("q r c delta", positive=True)
    square = (count * sp.log(levels) + sp.log(lists) - sp.log(level)) / (2 * n)
    logs = sp.log(lists) + count * sp.log(levels) - 2 * n * square
    equal(logs, sp.log(level), "ln(c r^q exp(-2 n t^2)) = ln(delta)")


@symbolic("GN-2")
def corenet_constants(setting: Setting) -> None:
    """CoreNet's squared penalty: 32 L^2 over eps^2 with eps = gamma/(2 max ||f||), over 2 n."""
    output, gamma, layers, rest = sp.symbols("F gamma L X", positive=True)
    eps = gamma / (2 * output)
    equal(eps * output, gamma / 2, "the outputs move by half of the margin")
    squared = 32 * layers**2 * rest / eps**2 / (2 * n)
    equal(squared, 64 * layers**2 * (output / gamma) ** 2 * rest / n, "the constants multiply")


@symbolic("GN-3")
def counts_are_a_code(setting: Setting) -> None:
    """Elias' delta code: Kraft sums 2^-(f+1) for the numbers with f, and 1 in all."""
    e, f = sp.symbols("e f", integer=True, nonnegative=True)
    # 2^e numbers have the exponent e, each e + 2 f + 1 bits; 2^f exponents have the same f.
    one = 2**e * 2 ** (-(e + 2 * f + 1))
    equal(one, 2 ** (-2 * f - 1), "the numbers of one exponent")
    block = 2**f * 2 ** (-2 * f - 1)
    equal(block, 2 ** (-f - 1), "the exponents with one f")
    total: Any = sp.summation(block, (f, 0, sp.oo))
    equal(total, sp.Integer(1), "all whole numbers")


@symbolic("GN-3", "GN-4")
def least_exponent_is_kl(setting: Setting) -> None:
    """Chernoff's exponent has its least value at one a > 0, where it is -kl(q || p)."""
    p, q, z = sp.symbols("p q z", positive=True)  # z = e^-a, dz/da = -z
    exponent = sp.log(1 - p + p * z) - q * sp.log(z)
    slope = -z * sp.diff(exponent, z)
    best = q * (1 - p) / (p * (1 - q))
    equal(slope.subs(z, best), sp.Integer(0), "the slope at the best a")
    bend = p * (1 - p) * z / (1 - p + p * z) ** 2
    equal(-z * sp.diff(slope, z), bend, "the second derivative")
    holds(sp.simplify(P * (1 - P)) > 0, "it is above 0: the exponent is convex")
    holds(sp.simplify(1 / best.subs({p: P, q: Q}) - 1) > 0, "the best a is above 0 for q < p")
    equal(1 - p + p * best, (1 - p) / (1 - q), "the moment at the best a")
    hit, miss, rate, rest = sp.symbols("lnq ln1q lnp ln1p")
    value = (rest - miss) - q * (hit + rest - rate - miss)
    equal(value, -q * (hit - rate) - (1 - q) * (miss - rest), "the exponent there is -kl(q || p)")


@symbolic("GN-3")
def pinsker(setting: Setting) -> None:
    """The kl of q and p exceeds 2 (p-q)^2: the difference is 0 at p = q and rises in p."""
    p, q = sp.symbols("p q", positive=True)
    slope = sp.diff(_kl(q, p) - 2 * (p - q) ** 2, p)
    equal(slope, (p - q) * (1 - 2 * p) ** 2 / (p * (1 - p)), "the slope")
    equal(_kl(q, q), sp.Integer(0), "at p = q")
    factor = sp.simplify((P - Q) / (P * (1 - P)))
    holds(factor > 0, "p - q and p (1 - p) are above 0, and (1 - 2p)^2 is a square")


@symbolic("GN-4")
def catoni_moment(setting: Setting) -> None:
    """An error's exponential moment is exp(-a Phi_a(p)), and Phi^-1 inverts Phi."""
    p = sp.Symbol("p", positive=True)
    phi = -sp.log(1 - p * (1 - sp.exp(-a))) / a
    equal(p * sp.exp(-a) + (1 - p), sp.exp(-a * phi), "the moment")
    equal((1 - sp.exp(-a * phi)) / (1 - sp.exp(-a)), p, "the inverse")
    equal(sp.diff(phi, p, 2), (1 - sp.exp(-a)) ** 2 / (a * (1 - p * (1 - sp.exp(-a))) ** 2),
          "a square over a square: Phi is convex in p")  # fmt: skip


@symbolic("GN-4")
def grid_of_lambda(setting: Setting) -> None:
    """The weights 1/((k+1)(k+2)) add up to 1, and the logarithm is at most the one that is paid."""
    k, fine = sp.Symbol("k", integer=True, nonnegative=True), sp.Symbol("alpha", positive=True)
    weight = 1 / ((k + 1) * (k + 2))
    total: Any = sp.summation(weight, (k, 0, sp.oo))
    equal(total, sp.Integer(1), "the sum of the weights")
    equal((k + 2) ** 2 - 1 / weight, k + 2, "(k+1)(k+2) <= (k+2)^2")
    paid = 2 + k * sp.log(1 + fine) / sp.log(1 + fine)
    equal(paid, k + 2, "at lambda = (1+alpha)^k the paid logarithm is that of (k+2)^2")


@symbolic("GN-4")
def inverse_rises(setting: Setting) -> Result:
    """Phi^-1_a(q) rises in a for q < 1: its log-slope is psi(aq)/a - psi(a)/a, and psi falls."""
    q, x, y = sp.symbols("q x y", positive=True)

    def psi(z: sp.Expr) -> sp.Expr:
        return z / (sp.exp(z) - 1)

    for share in (q, sp.Integer(1)):
        part = sp.diff(sp.log(1 - sp.exp(-a * share)), a)
        equal(part, psi(a * share) / a, "the slope of the logarithm of 1 - e^(-aq)")
    top = sp.exp(x) - 1 - x * sp.exp(x)
    equal(sp.diff(psi(x), x), top / (sp.exp(x) - 1) ** 2, "the slope of psi")
    equal(top, -sp.integrate(y * sp.exp(y), (y, 0, x)), "minus the integral of y e^y: below 0")
    return Result("for q above 1 the bound is above 1 and says nothing")

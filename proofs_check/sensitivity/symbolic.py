"""The algebra behind ES-1 to ES-4 and ES-6: shares, their maxima, and how seldom a maximum misses.

Sums have a symbolic number of terms. Maxima are built up point by point: a statement about
max_{x in S} is its base case (one point) and the step that adds a point.
"""

from __future__ import annotations

import math
from typing import Any, cast

import sympy as sp

import sipp_theory
from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Refuted
from proofs_check.ledger.registry import Setting, symbolic

# pyright takes what these two make for something narrower than what it is.
Sum = cast(Any, sp.Sum)
IndexedBase = cast(Any, sp.IndexedBase)
COUNT = sp.Symbol("k", integer=True, positive=True)
INDEX = sp.Symbol("j", integer=True, positive=True)


def _sum(term: Any) -> Any:
    """A sum over j = 1..k with what does not depend on j in front of it."""
    inside, outside = term.as_independent(INDEX, as_Add=False)[::-1]
    return outside * Sum(inside, (INDEX, 1, COUNT))


@symbolic("ES-1")
def shares_add_up(setting: Setting) -> None:
    """A share lies in [0, 1], and those of a live row add up to 1, for any number of weights."""
    for own, rest in (
        (sp.Symbol("c", positive=True), sp.Symbol("r", nonnegative=True)),
        (sp.Symbol("c", nonnegative=True), sp.Symbol("r", positive=True)),
    ):
        some = own / (own + rest)
        holds(some >= 0, "g_j >= 0 where z = c_j + r > 0")
        holds(sp.simplify(1 - some) >= 0, "1 - g_j = r/(c_j + r) >= 0")
    terms = IndexedBase("c")
    total = sp.Symbol("z", positive=True)
    added = _sum(terms[INDEX] / total)
    equal(added.subs(Sum(terms[INDEX], (INDEX, 1, COUNT)), total), sp.Integer(1),
          "sum_j c_j/z = 1 with z = sum_j c_j")  # fmt: skip


def _max(a: Any, b: Any) -> Any:
    return (a + b + sp.Abs(a - b)) / 2


@symbolic("ES-2")
def sum_between_one_and_edges_and_points(setting: Setting) -> None:
    """1 <= S_sum <= min(|I|, |S|), by adding one point at a time."""
    s, gap = sp.Symbol("s", nonnegative=True), sp.Symbol("d", nonnegative=True)
    for old, new in ((s, s + gap), (s + gap, s)):
        largest = _max(old, new)
        holds(sp.simplify(old + new - largest) >= 0, "max(s, g) <= s + g for s, g >= 0")
        holds(sp.simplify(largest - new) >= 0, "max(s, g) >= g")
    points, slack = sp.Symbol("n", integer=True, positive=True), sp.Symbol("q", nonnegative=True)
    old, new = IndexedBase("s"), IndexedBase("g")
    both = old[INDEX] + new[INDEX]
    added = sp.expand(Sum(both, (INDEX, 1, COUNT)))
    hypothesis = {Sum(old[INDEX], (INDEX, 1, COUNT)): points - slack,
                  Sum(new[INDEX], (INDEX, 1, COUNT)): 1}  # fmt: skip
    raised = added.subs(hypothesis)
    holds(sp.simplify(points + 1 - raised) >= 0, "S_sum <= n and a row more give S_sum <= n + 1")
    equal(Sum(1, (INDEX, 1, COUNT)).doit(), COUNT, "k sensitivities of at most 1 add up to k")
    for fan_in, rows in ((3, 7), (7, 3), (5, 5), (1, 1)):
        computed = float(sipp_theory.sensitivity_sum_bound(fan_in, rows))
        if computed != min(fan_in, rows):
            raise Refuted(f"sensitivity_sum_bound({fan_in}, {rows}) = {computed}")


@symbolic("ES-3")
def scaling_order_and_growth(setting: Setting) -> None:
    """Factors of a weight row and of an activation row cancel; order is free; a maximum grows."""
    t, u = sp.symbols("t u", positive=True)
    w, a = IndexedBase("w"), IndexedBase("a")
    own, first = sp.symbols("w_1 a_1", positive=True)
    plain = own * first / _sum(w[INDEX] * a[INDEX])
    scaled = (t * own) * (u * first) / _sum(t * w[INDEX] * u * a[INDEX])
    equal(scaled, plain, "t w_j u a_j / sum t w_i u a_i = w_j a_j / sum w_i a_i")
    c, d, rest = sp.symbols("c d r", positive=True)
    equal(c / (c + d + rest), c / (d + c + rest), "a swap of two edges leaves z as it is")
    s, g = sp.symbols("s g", nonnegative=True)
    equal(_max(s, g), _max(g, s), "a swap of two points leaves the maximum as it is")
    gap = sp.Symbol("d", nonnegative=True)
    for old, new in ((s, s + gap), (s + gap, s)):
        holds(sp.simplify(_max(old, new) - old) >= 0, "max(s, g) >= s")


@symbolic("ES-4")
def failure_arithmetic(setting: Setting) -> None:
    """|S| = K' ln(8 eta eta*/delta) points miss one edge with probability delta/(8 eta eta*)."""
    factor, eta, star, delta, more = sp.symbols("K eta s delta x", positive=True)
    size = factor * sp.log(8 * eta * star / delta)
    miss = sp.exp(-1 / factor)
    equal(sp.expand_log(miss**size, force=True), delta / (8 * eta * star),
          "exp(-1/K')^|S| = delta/(8 eta eta*)")  # fmt: skip
    one = delta / (8 * eta * star)
    equal(star * one, delta / (8 * eta), "Boole over the eta* edges into one neuron")
    equal(eta * star * one, delta / 8, "Boole over all eta neurons")
    holds(sp.diff(miss**more, more) < 0, "rounding |S| up makes the probability smaller")
    code = float(sipp_theory.calibration_size(20, 30, 0.1))
    expected = math.ceil(
        size.subs({factor: sp.log(600), eta: 20, star: 30, delta: sp.Rational(1, 10)})
    )
    if code != expected:
        raise Refuted(f"calibration_size(20, 30, 0.1) = {code}, the derivation says {expected}")


@symbolic("ES-6")
def strict_maximum_of_exchangeable(setting: Setting) -> None:
    """One of n + 1 exchangeable points is the strict maximum with probability at most 1/(n+1)."""
    n = sp.Symbol("n", integer=True, nonnegative=True)
    one, slack, u = sp.Symbol("p"), sp.Symbol("q", nonnegative=True), sp.Symbol("u", positive=True)
    a, b = sp.symbols("a b", real=True)
    holds(sp.Not(sp.And(a > b, b > a)), "two points are not both the strict maximum")
    point = sp.Symbol("i", integer=True)
    equal(Sum(one, (point, 1, n + 1)).doit(), (n + 1) * one, "n + 1 equal probabilities")
    # The disjoint events leave q >= 0, the chance of a tie at the top.
    solved = sp.solve(sp.Eq((n + 1) * one + slack, 1), one)[0]
    holds(sp.simplify(1 / (n + 1) - solved) >= 0, "(n+1) p + q = 1 gives p <= 1/(n+1)")
    equal(
        cast(Any, sp.integrate(u**n, (u, 0, 1))),
        1 / (n + 1),
        "without ties it is the integral of F^n dF",
    )
    for count in (0, 1, 19, 99):
        computed = sp.Rational(float(sipp_theory.exchangeable_violation(count)))
        holds(computed >= sp.Rational(1, count + 1), f"exchangeable_violation({count}) is above it")


E = sp.Symbol("e", positive=True)
ONE, ZERO = sp.Integer(1), sp.Integer(0)


def _binomial(n: Any, k: Any) -> Any:
    return sp.gamma(n + 1) / (sp.gamma(k + 1) * sp.gamma(n - k + 1))


def _beta(a: Any, b: Any) -> Any:
    return sp.gamma(a) * sp.gamma(b) / sp.gamma(a + b)


def _reduced(expression: Any) -> Any:
    """Powers and gamma functions of shifted arguments brought together."""
    return sp.simplify(sp.gammasimp(sp.powsimp(sp.expand(expression), force=True)))


def _over(parts: list[Any], unit: Any) -> Any:
    """A sum of terms of one shape, in units of one of them."""
    ratios: Any = [sp.gammasimp(sp.simplify(part / unit)) for part in parts]
    return sp.simplify(sp.Add(*cast(Any, ratios)))


@symbolic("ES-5")
def tail_is_an_incomplete_beta(setting: Setting) -> None:
    """The binomial tail falls strictly in e: its derivative telescopes to minus Beta's density."""
    n, d = sp.symbols("n d", positive=True)

    # T_d(e) = sum_{i<d} C(n,i) e^i (1-e)^(n-i); claimed: T_d' = -n C(n-1,d-1) e^(d-1) (1-e)^(n-d).
    def slope(d: Any) -> Any:
        return -n * _binomial(n - 1, d - 1) * E ** (d - 1) * (1 - E) ** (n - d)

    equal(_reduced(sp.diff((1 - E) ** n, E) / slope(ONE)), ONE, "d = 1: T_1 = (1-e)^n")
    added = _binomial(n, d) * E**d * (1 - E) ** (n - d)
    step = _over([sp.diff(added, E), -slope(d + 1), slope(d)], added)
    equal(step, ZERO, "the step from d to d + 1")
    # Hence T_d = 1 - I_e(d, n-d+1), which is what the code inverts.
    density = E ** (d - 1) * (1 - E) ** (n - d) / _beta(d, n - d + 1)
    equal(_reduced(-slope(d) / density), ONE, "T_d' is minus the density of Beta(d, n-d+1)")
    rest, inside = sp.symbols("r t", positive=True)
    sign = E ** (d - 1) * inside**rest / _beta(d, rest + 1)
    holds(sign > 0, "-T_d' > 0 with n = d + r and t = 1 - e > 0: the tail has one root")


@symbolic("ES-5")
def wait_and_judge_by_incomplete_beta(setting: Setting) -> None:
    """The printed sum is e^-(k+1) I_e(k+1, n-k+1), and the printed equation beta F(e) = e F'(e)."""
    k, m, a, b = sp.symbols("k m a b", positive=True)
    # Raising b by one adds x^a (1-x)^b/(b B(a,b)) to I_x(a, b): both sides vanish at x = 0, and
    # their derivatives agree.
    term = E**a * (1 - E) ** b / (b * _beta(a, b))
    raised = E ** (a - 1) * (1 - E) ** b / _beta(a, b + 1)
    plain = E ** (a - 1) * (1 - E) ** (b - 1) / _beta(a, b)
    step = _over([sp.diff(term, E), -raised, plain], plain)
    equal(step, ZERO, "I_x(a, b+1) - I_x(a, b) = x^a (1-x)^b/(b B(a, b))")
    # n = k + m. Base m = 0: the sum is its one term C(k,k) = 1, and I_e(k+1, 1) = e^(k+1).
    upper = sp.Symbol("u", positive=True)
    base = sp.integrate(upper**k / sp.gammasimp(_beta(k + 1, ONE)), (upper, 0, E))
    equal(_reduced(base / E ** (k + 1)), ONE, "I_e(k+1, 1) = e^(k+1)")
    more = term.subs({a: k + 1, b: m + 1}) / E ** (k + 1)
    printed = _binomial(k + m + 1, k) * (1 - E) ** (m + 1)
    equal(_reduced(more / printed), ONE, "the step from n = k + m to n + 1")
    # (beta/(n+1)) e^-(k+1) F = C(n,k) t^(n-k) is beta F = e F', F' the density of Beta(k+1, n-k+1).
    density = E**k * (1 - E) ** m / _beta(k + 1, m + 1)
    right = _binomial(k + m, k) * (1 - E) ** m * (k + m + 1) * E ** (k + 1)
    equal(_reduced(E * density / right), ONE, "C(n,k) t^(n-k) (n+1) e^(k+1) = e F'(e)")

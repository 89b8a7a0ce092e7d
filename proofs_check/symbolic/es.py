"""The algebra behind ES-1 to ES-4 and ES-6: shares, their maxima, and how seldom a maximum misses.

Sums have a symbolic number of terms. Maxima are built up point by point: a statement about
max_{x in S} is its base case (one point) and the step that adds a point.
"""

from __future__ import annotations

import math
from typing import Any, cast

import sympy as sp

import sipp_theory
from proofs_check.evidence import Refuted
from proofs_check.registry import Setting, check
from proofs_check.symbolic import equal, holds

# pyright takes what these two make for something narrower than what it is.
Sum = cast(Any, sp.Sum)
IndexedBase = cast(Any, sp.IndexedBase)
COUNT = sp.Symbol("k", integer=True, positive=True)
INDEX = sp.Symbol("j", integer=True, positive=True)


def _sum(term: Any) -> Any:
    """A sum over j = 1..k with what does not depend on j in front of it."""
    inside, outside = term.as_independent(INDEX, as_Add=False)[::-1]
    return outside * Sum(inside, (INDEX, 1, COUNT))


@check("ES-1")
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


@check("ES-2")
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
        found = float(sipp_theory.sensitivity_sum_bound(fan_in, rows))
        if found != min(fan_in, rows):
            raise Refuted(f"sensitivity_sum_bound({fan_in}, {rows}) = {found}")


@check("ES-3")
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


@check("ES-4")
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
    want = math.ceil(size.subs({factor: sp.log(600), eta: 20, star: 30, delta: sp.Rational(1, 10)}))
    if code != want:
        raise Refuted(f"calibration_size(20, 30, 0.1) = {code}, the derivation says {want}")


@check("ES-6")
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
        found = sp.Rational(float(sipp_theory.exchangeable_violation(count)))
        holds(found >= sp.Rational(1, count + 1), f"exchangeable_violation({count}) is above it")

"""The algebra behind ES-5: binomial tails, their roots, and the two ways to write the equations.

The theorems of Campi and Garatti themselves are cited. What is derived here is that their equations
have one root each, and that the code solves these equations.
"""

from __future__ import annotations

from typing import Any, cast

import sympy as sp

from proofs_check.registry import Setting, check
from proofs_check.symbolic import equal, holds

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


@check("ES-5")
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


@check("ES-5")
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

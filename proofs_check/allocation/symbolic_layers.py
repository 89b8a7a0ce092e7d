"""The algebra behind AL-3: the authors' estimate is of AL-1's form, and balances the layers."""

from __future__ import annotations

import sympy as sp

from proofs_check.kinds.symbolic import equal
from proofs_check.ledger.registry import Setting, symbolic

a, m, scale = sp.symbols("a m t", positive=True)
first, second, budget, widths = sp.symbols("a1 a2 B k", positive=True)


def _estimate(draws: sp.Expr) -> sp.Expr:
    """The authors' f, as their code has it."""
    ratio = a / (3 * draws)
    return (sp.sqrt(ratio**2 + 6 * ratio) + ratio) / 2


@symbolic("AL-3")
def estimate_is_of_bernstein_form(setting: Setting) -> None:
    """The authors' estimate is (b + sqrt(b^2 + 2 V m))/m with b = a/6 and V = a/4."""
    b, v = a / 6, a / 4
    equal((b**2 + 2 * v * m) / m**2, ((a / (3 * m)) ** 2 + 6 * a / (3 * m)) / 4, "the radicands")
    equal(b / m, a / (3 * m) / 2, "what is outside of the roots")


@symbolic("AL-3")
def balance_of_layers(setting: Setting) -> None:
    """For small m/a, m f(m) tends to a/3, whose objective is least at m ~ sqrt(a/k)."""
    limit = sp.limit(scale * _estimate(scale) / a, scale, 0, "+")
    equal(limit, sp.Rational(1, 3), "m f(m)/a for m/a -> 0")
    roots = sp.sqrt(first), sp.sqrt(second / widths)
    best = budget * roots[0] / sum(roots)
    cost = first / (3 * m) + second / (3 * widths * (budget - m))
    equal(sp.diff(cost, m).subs(m, best), sp.Integer(0), "the slope at m1 : m2 = sqrt(a1 : a2/k)")

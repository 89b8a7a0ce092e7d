"""The algebra behind PF-1 and PF-2: one sequence of draws for many pre-activations."""

from __future__ import annotations

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.registry import Setting, symbolic

eps, delta, widest, many = sp.symbols("eps delta eta_star N", positive=True)


@symbolic("PF-1", "PF-2")
def one_draw_serves_all(setting: Setting) -> None:
    """s_c exceeds the share at one pre-activation by some slack, so g_c/q_c is at most K S."""
    share, above, total, factor, slack = sp.symbols("t h S K d", positive=True)
    # s_c = t + h, t the largest share at this pre-activation, h what another one has more; there
    # g_c = K t - d at a fresh input.
    s = share + above
    value = (factor * share - slack) / (s / total)
    equal(factor * total - value, total * (factor * above + slack) / s, "K S - g_c/q_c")
    holds(total * (factor * above + slack) / s > 0, "it is at least 0")


@symbolic("PF-1")
def printed_is_three_times(setting: Setting) -> None:
    """The printed size is Bernstein's simple form 2 M (1 + eps/3) L/eps^2 at three times its L."""
    span, log = sp.symbols("M L", positive=True)
    simple = 2 * span * (1 + eps / 3) * log / eps**2
    equal((6 + 2 * eps) * span * log / eps**2, simple.subs(log, 3 * log), "L is ln(4 eta*/delta)")
    spare = sp.Symbol("r", positive=True)
    for largest in (spare, sp.Integer(1)):
        # M = 1 + r; the larger of r and 1 is either.
        gap = 2 * (1 + spare) * (1 + eps / 3) - 2 * spare - sp.Rational(2, 3) * largest * eps
        holds(sp.expand(gap) > 0, "the simple form is above SP-3")


@symbolic("PF-1")
def what_the_printed_size_pays_for(setting: Setting) -> None:
    """N failures of 2 exp(-3 ln(4 eta*/delta)) add up to delta at N = 32 eta*^3/delta^2."""
    one = 2 * sp.exp(-3 * sp.log(4 * widest / delta))
    equal(32 * widest**3 / delta**2 * one, delta, "N times one failure")


@symbolic("PF-2")
def union(setting: Setting) -> None:
    """N T failures of 2 exp(-ln(2 N T/delta)) add up to delta, for one size or T of them."""
    sizes = sp.Symbol("T", positive=True)
    for count in (many, many * sizes):
        equal(count * 2 * sp.exp(-sp.log(2 * count / delta)), delta, "the sum of the failures")


@symbolic("PF-1", "PF-2")
def a_single_position_is_not_enough(setting: Setting) -> None:
    """Of k equal positions each has 1/k, so S falls to 1/k of ES-2's 1 and a draw is k times S."""
    k = sp.Symbol("k", positive=True, integer=True)
    single = 1 / k  # the largest share of one position, of the only channel there is
    equal(k * single, sp.Integer(1), "the channel's share is 1")
    draw = k * single / (single / single)
    equal(draw / single, k, "the draw over S")

"""AL-1 and AL-2 on drawn instances: feasible, monotone, equivariant, locally optimal, dual."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _column(draw: st.DrawFn, count: int, low: float, high: float, zeros: bool) -> np.ndarray:
    """Equal numbers, near-ties, a wide range, one that dominates, or some zeros."""
    shape = draw(st.sampled_from(["equal", "ties", "wide", "dominant"] + ["sparse"] * zeros))
    exponents = st.floats(low, high, allow_nan=False)
    if shape in ("wide", "sparse"):
        column = 10.0 ** np.array(draw(st.lists(exponents, min_size=count, max_size=count)))
        if shape == "sparse":
            column *= draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=count, max_size=count))
        return column
    column = np.full(count, 10.0 ** draw(exponents))
    if shape == "ties":
        column *= 1 + np.arange(count) * 2.0**-50
    if shape == "dominant":
        column[draw(st.integers(0, count - 1))] = 10.0**high
    return column


@st.composite
def pairs(draw: st.DrawFn, span: float = 30.0, zeros: bool = True, most: int = 6) -> Rows:
    """Draw (linear, variance, capacity, importance); importances span 10^-span to 10^span."""
    count = draw(st.integers(1, most))
    return (
        _column(draw, count, -3, 3, zeros),
        _column(draw, count, -3, 4, zeros),
        _column(draw, count, 0, 3, zeros),
        _column(draw, count, -span, span, zeros),
    )


def _error(m: np.ndarray, b: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (b + np.sqrt(b * b + 2 * v * m)) / m


SHARES = st.floats(1e-3, 1.2)


@law("AL-1")
def feasible(setting: Setting) -> Result:
    """An allocation keeps caps and budget, spends the budget, and gives nothing to dead pairs."""

    @given(pairs(), SHARES)
    def law(rows: Rows, share: float) -> None:
        b, v, cap, weight = rows
        live = (weight > 0) & (cap > 0) & ((b > 0) | (v > 0))
        budget = share * float(cap[live].sum())
        m = sipp_theory.allocate(b, v, cap, budget, weight).sizes
        assert (m >= 0).all() and (m <= cap).all() and (m[~live] == 0).all()
        assert m.sum() <= budget * (1 + 1e-12)
        assert m.sum() >= min(budget, cap[live].sum()) * (1 - 1e-9)
        assert budget == 0 or (m[live] > 0).all()

    return hold(setting, law)


@law("AL-1")
def monotone_in_budget(setting: Setting) -> Result:
    """A larger budget takes draws from no pair, and never raises the objective."""

    @given(pairs(), SHARES, st.floats(1.0, 3.0))
    def law(rows: Rows, share: float, factor: float) -> None:
        b, v, cap, weight = rows
        budget = share * float(cap.sum())
        less = sipp_theory.allocate(b, v, cap, budget, weight)
        more = sipp_theory.allocate(b, v, cap, budget * factor, weight)
        assert (more.sizes >= less.sizes * (1 - 1e-9)).all()
        assert more.objective <= less.objective * (1 + 1e-9)
        assert more.multiplier <= less.multiplier * (1 + 1e-9)

    return hold(setting, law)


@law("AL-1", "AL-2")
def equivariant(setting: Setting) -> Result:
    """Permuting the pairs permutes the draws; scaling all importances changes nothing."""

    @given(pairs(), SHARES, st.permutations(range(6)), st.sampled_from([2.0**-20, 2.0**30]))
    def law(rows: Rows, share: float, ranks: list[int], scale: float) -> None:
        b, v, cap, weight = rows
        order = np.array([rank for rank in ranks if rank < b.size])
        budget = share * float(cap.sum())
        m = sipp_theory.allocate(b, v, cap, budget, weight).sizes
        permuted = sipp_theory.allocate(b[order], v[order], cap[order], budget, weight[order])
        np.testing.assert_allclose(permuted.sizes, m[order], rtol=1e-9)
        scaled = sipp_theory.allocate(b, v, cap, budget, weight * scale)
        np.testing.assert_allclose(scaled.sizes, m, rtol=1e-9)
        each = sipp_theory.allocate_for_errors(b, v, 0.3)
        again = sipp_theory.allocate_for_errors(b[order], v[order], 0.3)
        assert np.array_equal(again, each[order])

    return hold(setting, law)


@law("AL-1")
def no_exchange_improves(setting: Setting) -> Result:
    """Moving draws from one pair to another never lowers the weighted sum of errors."""

    @given(pairs(zeros=False), SHARES, st.floats(1e-3, 0.9))
    def law(rows: Rows, share: float, part: float) -> None:
        b, v, cap, weight = rows
        m = sipp_theory.allocate(b, v, cap, share * float(cap.sum()), weight).sizes
        for giver in range(b.size):
            for taker in np.flatnonzero(m < cap * (1 - 1e-9)):
                moved = part * min(m[giver], cap[taker] - m[taker])
                if taker == giver or moved < 1e-3 * m[giver] or moved < 1e-3 * m[taker]:
                    continue
                lost = weight[giver] * np.diff(
                    _error(m[giver] - np.array([0, moved]), b[giver], v[giver])
                )
                won = weight[taker] * -np.diff(
                    _error(m[taker] + np.array([0, moved]), b[taker], v[taker])
                )
                assert lost >= won * (1 - 1e-7)

    return hold(setting, law)


@law("AL-1", "AL-2")
def duals(setting: Setting) -> Result:
    """The least draws for the sum of errors that a budget reaches are that budget."""

    @given(pairs(span=2.0, zeros=False), st.floats(0.02, 0.95))
    def law(rows: Rows, share: float) -> None:
        b, v, cap, weight = rows
        budget = share * float(cap.sum())
        got = sipp_theory.allocate(b, v, cap, budget, weight)
        target = got.objective * (1 + 1e-12)
        back = sipp_theory.allocate_for_total(b, v, weight, target, cap)
        assert back.objective <= target
        assert (back.sizes <= cap).all()
        # The price of a draw turns the rounding of the target into draws.
        slack = 1e-9 * budget + 1e-11 * got.objective / got.multiplier
        assert abs(back.sizes.sum() - budget) <= slack

    return hold(setting, law)


@law("AL-2")
def least_for_errors(setting: Setting) -> Result:
    """Sizes for given errors meet them, one draw less does not, and they fall as errors grow."""

    @given(pairs(), st.floats(1e-3, 3.0), st.floats(1.0, 10.0))
    def law(rows: Rows, eps: float, factor: float) -> None:
        b, v, _, _ = rows
        m = sipp_theory.allocate_for_errors(b, v, eps)
        live = (b > 0) | (v > 0)
        assert (m[~live] == 0).all() and (m[live] >= 1).all() and (m == np.floor(m)).all()
        assert (_error(m[live], b[live], v[live]) <= eps).all()
        spare = live & (m > 1)
        assert (_error(m[spare] - 1, b[spare], v[spare]) > eps * (1 - 1e-14)).all()
        assert (sipp_theory.allocate_for_errors(b, v, eps * factor) <= m).all()
        assert (sipp_theory.allocate_for_errors(b * factor, v * factor, eps) >= m).all()

    return hold(setting, law)


@law("AL-1")
def rounding(setting: Setting) -> Result:
    """Rounding spends the budget to the last draw, within the caps, and moves no pair by 1."""

    @given(pairs(), SHARES)
    def law(rows: Rows, share: float) -> None:
        b, v, cap, weight = rows
        cap = np.floor(cap)
        budget = float(np.floor(share * cap.sum()))
        real = sipp_theory.allocate(b, v, cap, budget, weight).sizes
        whole = sipp_theory.round_allocation(real, cap, budget)
        assert whole.sum() == min(budget, cap.sum())
        assert (whole >= 0).all() and (whole <= cap).all() and (whole == np.floor(whole)).all()
        live = (real > 0) & (cap >= 1)
        if live.sum() <= budget:
            assert (whole[live] >= 1).all()
        if (real >= 1).all() and real.sum() >= budget * (1 - 1e-9):
            assert (np.abs(whole - real) < 1 + 1e-6).all()

    return hold(setting, law)

"""Budget mode: divide a number of weights among layers, neurons and signs, and plan each layer.

A method is a rule that turns the tables of one scope (one layer, or all of them) and a budget into
plans. The budget counts weights in the expected network; rules that draw weights with replacement
solve for the draws that leave as many distinct ones (SP-1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import sipp_theory
from sipp_core.methods import entrywise
from sipp_core.pruning import baselines, planning, promise, ranking
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import Table
from sipp_core.runtime.numbers import Float

Rule = Callable[[Sequence[Table], float], list[LayerPlan]]


def _shares_of_budget(tables: Sequence[Table], budget: float) -> list[Float]:
    """AL-1 over the Bernstein errors of all pairs of the scope: whole numbers of weights."""
    totals = np.concatenate([t.total.ravel() for t in tables])
    deltas = np.concatenate([t.delta.ravel() for t in tables])
    capacity = np.concatenate([t.support.ravel() for t in tables])
    linear, variance = sipp_theory.bernstein_coefficients(totals, deltas)
    live = (totals > 0).astype(np.float64)
    real = sipp_theory.allocate(linear, variance, capacity, budget, importance=live).sizes
    whole = sipp_theory.round_allocation(real, capacity, budget)
    cuts = np.cumsum([t.total.size for t in tables])[:-1]
    return [
        part.reshape(t.total.shape) for part, t in zip(np.split(whole, cuts), tables, strict=True)
    ]


def sipp_det(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Keep the weights of largest sensitivity: it minimises the sum of SP-6's errors (AL-1).

    Args:
        tables: the layers of one scope.
        budget: weights to keep.

    Returns:
        One plan a layer.

    Claim: SP-6, AL-1. Source: [SP] arXiv 1910.05422.
    """
    masks = ranking.largest([t.sensitivity for t in tables], budget)
    return [planning.mask_plan(t, m, t.sensitivity) for t, m in zip(tables, masks, strict=True)]


def sipp_recentred(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Keep the weights of largest sensitivity, scaled so that the worst case is halved.

    Args:
        tables: the layers of one scope.
        budget: weights to keep.

    Returns:
        One plan a layer.

    Claim: SP-6. Source: [OWN].
    """
    masks = ranking.largest([t.sensitivity for t in tables], budget)
    return [
        planning.mask_plan(t, m, t.sensitivity, recentred=True)
        for t, m in zip(tables, masks, strict=True)
    ]


def sipp_rand(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Draw weights in proportion to sensitivity, the budget shared by AL-1 on Bernstein's errors.

    Args:
        tables: the layers of one scope.
        budget: weights to leave, in expectation.

    Returns:
        One plan a layer.

    Claim: SP-1, SP-3, AL-1. Source: [SP] arXiv 1910.05422.
    """
    sizes = _shares_of_budget(tables, budget)
    return [planning.draws_plan(t, t.sensitivity, n) for t, n in zip(tables, sizes, strict=True)]


def sipp_hybrid(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Per pair whichever of draws and dropping promises less, under the better of two allocations.

    Both allocations are tried, AL-1's for draws and the one that is optimal for dropping; the one
    with the smaller sum of promised errors is taken.

    Args:
        tables: the layers of one scope.
        budget: weights to leave, in expectation.

    Returns:
        One plan a layer.

    Claim: SP-7, AL-1. Source: [SP] arXiv 1910.05422.
    """
    masks = ranking.largest([t.sensitivity for t in tables], budget)
    counted = [
        np.stack([(m & t.sign(s)).sum(axis=1) for s in (0, 1)]).astype(np.float64)
        for t, m in zip(tables, masks, strict=True)
    ]
    candidates = []
    for sizes in (counted, _shares_of_budget(tables, budget)):
        plans = []
        for table, n in zip(tables, sizes, strict=True):
            drawn = planning.draws_plan(table, table.sensitivity, n)
            dropped = planning.mask_plan(
                table, ranking.top_per_pair(table, table.sensitivity, n), table.sensitivity
            )
            plans.append(planning.merge(table, drawn, dropped, drawn.eps < dropped.eps))
        candidates.append(plans)
    totals = [sum(float(p.eps.sum()) for p in plans) for plans in candidates]
    return candidates[int(np.argmin(totals))]


def sipp_poisson(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Include each weight with probability min(1, c s_j), one rate c for the whole scope.

    The weights of a pair are included by pivotal sampling, which keeps SP-8's promise and fixes the
    count; independently only where the exact law (SP-5x) is what promises.

    Args:
        tables: the layers of one scope.
        budget: weights to keep, in expectation.

    Returns:
        One plan a layer.

    Claim: SP-8. Source: [OWN].
    """
    s = np.concatenate([t.sensitivity.ravel() for t in tables])
    rate = _common_rate(s[s > 0], budget)
    return [planning.inclusion_plan(t, np.where(t.total > 0, rate, 0.0)) for t in tables]


def _common_rate(s: Float, budget: float) -> float:
    """Rate c with sum min(1, c s_j) = budget over one scope."""
    if s.size == 0 or budget <= 0:
        return 0.0
    ranked = -np.sort(-s)
    rest = np.cumsum(ranked[::-1])[::-1]
    c = (min(budget, s.size) - np.arange(s.size)) / rest
    fits = (c > 0) & (c * ranked <= 1 + 1e-12)
    return float(c[np.argmax(fits)]) if fits.any() else float(np.nextafter(1 / ranked[-1], np.inf))


def corenet(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """CoreNet's shares: the same eps for all neurons of a scope, so draws in proportion to S_sum.

    Args:
        tables: the layers of one scope.
        budget: weights to leave, in expectation.

    Returns:
        One plan a layer; nothing is kept deterministically.

    Claim: SP-2, NW-5. Source: [CN] arXiv 1804.05345.
    """
    plans = [planning.base_plan(t) for t in tables]
    q = [np.stack([p.draw_probabilities(s) for s in (0, 1)]) for p in plans]

    def kept(scale: float) -> float:
        return sum(
            float(sipp_theory.expected_distinct(qq, np.ceil(scale * t.total)).sum())
            for qq, t in zip(q, tables, strict=True)
        )

    low, high = -30.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(2.0**middle) < budget else (low, middle)
    # Of the two scales that bracket the budget, the one nearer to it.
    below, above = kept(2.0**low), kept(2.0**high)
    scale = 2.0 ** (low if budget - below <= above - budget else high)
    result = []
    for table in tables:
        draws = np.where(table.total > 0, np.ceil(scale * table.total), 0.0)
        result.append(
            planning.base_plan(
                table,
                draws=draws,
                probability=np.zeros_like(table.sensitivity),
                eps=promise.draws_error(table, table.sensitivity, draws),
                whole=np.zeros_like(table.dead),
            )
        )
    return result


RULES: dict[str, Rule] = {
    "sipp-rand": sipp_rand,
    "sipp-det": sipp_det,
    "sipp-recentred": sipp_recentred,
    "sipp-hybrid": sipp_hybrid,
    "sipp-poisson": sipp_poisson,
    "corenet": corenet,
    "corenet+": corenet,
    "corenet++": corenet,
    **baselines.BUDGET_RULES,
    **entrywise.BUDGET_RULES,
}

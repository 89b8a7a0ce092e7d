"""Guarantee mode: the fewest weights of each neuron with which the chosen bound promises eps.

Each pair (sign, neuron) is solved on its own. Where a bound asks for at least as many draws as the
pair has weights, the pair is kept whole and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import sipp_theory
from sipp_core.methods import entrywise
from sipp_core.pruning import baselines, fewest, planning
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import INSTANCE_BOUNDS, Table
from sipp_theory.inclusion import poisson_rate

Rule = Callable[[Table, float], LayerPlan]


def by_draws(table: Table, eps: float) -> LayerPlan:
    """Fewest draws in proportion to sensitivity that promise eps.

    Claim: SP-1 with the table's bound. Source: [SP] arXiv 1910.05422.
    """
    return fewest.as_plan(
        table, table.sensitivity, fewest.draw_sizes(table, table.sensitivity, eps)
    )


def by_dropping(table: Table, eps: float) -> LayerPlan:
    """Keep the fewest weights of largest sensitivity with which SP-6 promises eps.

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    return fewest.dropping(table, table.sensitivity, eps)


def by_recentred_dropping(table: Table, eps: float) -> LayerPlan:
    """Keep the fewest weights of largest sensitivity with which SP-6, recentred, promises eps.

    Claim: SP-6. Source: [OWN].
    """
    return fewest.dropping(table, table.sensitivity, eps, recentred=True)


def by_hybrid(table: Table, eps: float) -> LayerPlan:
    """Per pair whichever of draws and dropping leaves fewer weights in expectation.

    Claim: SP-7. Source: [SP] arXiv 1910.05422.
    """
    drawn, dropped = by_draws(table, eps), by_dropping(table, eps)
    counts = []
    for plan in (drawn, dropped):
        per_sign = []
        for sign in (0, 1):
            mask = plan.sign(sign)
            fixed = np.where(mask, plan.probability, 0.0).sum(axis=1)
            q = plan.draw_probabilities(sign)
            random = sipp_theory.expected_distinct(np.minimum(q, 1.0), plan.draws[sign])
            per_sign.append(np.where(plan.draws[sign] > 0, random, fixed))
        counts.append(np.stack(per_sign))
    return planning.merge(table, drawn, dropped, counts[0] < counts[1])


def by_inclusion(table: Table, eps: float) -> LayerPlan:
    """Least inclusion rate of each pair that promises eps.

    Claim: SP-8. Source: [OWN].
    """
    rates = np.zeros_like(table.total)
    for sign, neuron in np.argwhere(table.total > 0):
        columns = table.sign(sign)[neuron] & (table.sensitivity[neuron] > 0)
        s = table.sensitivity[neuron, columns]
        shares = table.shares(sign, neuron, columns) if table.bound in INSTANCE_BOUNDS else None
        if shares is not None and len(shares) == 0:
            rates[sign, neuron] = 2 / s.min()  # live only on rows that were not kept: all stays
            continue
        rates[sign, neuron] = poisson_rate.inclusion_rate(
            s,
            eps,
            float(table.delta[sign, neuron]),
            shares=shares,
            coverage_factor=table.coverage_factor,
            bound=table.bound,
        )
    return planning.inclusion_plan(table, rates)


def corenet_plans(
    tables: Sequence[Table], eps: float, delta: float
) -> tuple[list[LayerPlan], sipp_theory.NetworkSize]:
    """CoreNet's own mode: NW-5's sample sizes for the whole network.

    Claim: NW-5. Source: [CN] arXiv 1804.05345, Theorem 4.
    """
    eta, eta_star = tables[0].eta, tables[0].eta_star
    hats = [
        sipp_theory.delta_hat(t.statistics.cancellation.cpu().numpy(), eta, eta_star, delta)
        for t in tables
    ]
    size = sipp_theory.corenet_network_size(
        [t.total for t in tables], hats, eps, delta, eta, eta_star
    )
    plans = [
        fewest.as_plan(t, t.sensitivity, np.asarray(m))
        for t, m in zip(tables, size.sizes, strict=True)
    ]
    return plans, size


RULES: dict[str, Rule] = {
    "sipp-rand": by_draws,
    "sipp-det": by_dropping,
    "sipp-recentred": by_recentred_dropping,
    "sipp-hybrid": by_hybrid,
    "sipp-poisson": by_inclusion,
    **baselines.GUARANTEE_RULES,
    **entrywise.GUARANTEE_RULES,
}

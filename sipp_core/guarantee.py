"""Guarantee mode: the fewest weights of each neuron with which the chosen bound promises eps.

Each pair (sign, neuron) is solved on its own. Where a bound asks for at least as many draws as the
pair has weights, the pair is kept whole and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import sipp_theory
from sipp_core import planning, promise
from sipp_core.plan import Float, LayerPlan
from sipp_core.promise import INSTANCE_BOUNDS, Table
from sipp_theory import poisson

Rule = Callable[[Table, float], LayerPlan]


def _finish_draws(table: Table, scores: Float, sizes: Float) -> LayerPlan:
    """Turn sample sizes into a plan: whole pairs where the size reaches the number of weights."""
    live = table.total > 0
    whole = live & (sizes >= table.support)
    draws = np.where(live & ~whole, sizes, 0.0)
    return planning.whole_or_drawn(table, scores, draws, whole)


def draw_sizes(table: Table, scores: Float, eps: float) -> Float:
    """Draws that each pair needs for eps; +inf where its whole support would not be enough.

    Args:
        table: the layer.
        scores: (out, fan_in) >= 0, what draws are proportional to.
        eps: target relative error, in (0, 1).

    Returns:
        (2, out) float64, 0 for dead pairs.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x. Source: see `sipp_theory.sample_size`.
    """
    sums = promise.span(table, scores)
    if table.bound == "corenet":
        return sipp_theory.corenet_size(
            sums,
            eps,
            table.failure,
            table.eta,
            table.eta_star,
        )
    if table.bound not in INSTANCE_BOUNDS:
        finite = np.where(np.isfinite(sums), sums, 0.0)
        sizes = sipp_theory.sample_size(
            table.bound,
            sensitivity_sum=finite,
            eps=eps,
            delta=table.delta,
            coverage_factor=table.coverage_factor,
        )
        return np.where(np.isfinite(sums), sizes, np.inf)
    sizes = np.zeros_like(table.total)
    for sign, neuron in np.argwhere(table.total > 0):
        columns = table.sign(sign)[neuron] & (scores[neuron] > 0)
        shares = table.shares(sign, neuron, columns)
        if len(shares) == 0:  # live only on rows that were not kept: nothing to go by
            sizes[sign, neuron] = np.inf
            continue
        q = scores[neuron, columns] / scores[neuron, columns].sum()
        failure = float(table.delta[sign, neuron])
        # A size of the whole support or more is of no use: the pair is then kept whole.
        most = float(table.support[sign, neuron]) - 1
        solve = sipp_theory.cramer_size if table.bound == "cramer" else sipp_theory.exact_size
        sizes[sign, neuron] = solve(shares, q, eps, failure, limit=most)
    return sizes


def by_draws(table: Table, eps: float) -> LayerPlan:
    """Fewest draws in proportion to sensitivity that promise eps.

    Args:
        table: the layer.
        eps: target relative error per sign, in (0, 1).

    Returns:
        The plan.

    Claim: SP-1 with the table's bound. Source: [SP] arXiv 1910.05422.
    """
    return _finish_draws(table, table.sensitivity, draw_sizes(table, table.sensitivity, eps))


def by_uniform_draws(table: Table, eps: float) -> LayerPlan:
    """Fewest uniform draws that promise eps; M = max_j s_j/q_j takes S_sum's place.

    Args:
        table: the layer.
        eps: target relative error per sign, in (0, 1).

    Returns:
        The plan.

    Claim: SP-1 with the table's bound. Source: [CN] arXiv 1804.05345 (the baseline).
    """
    scores = (table.sensitivity > 0).astype(np.float64)
    return _finish_draws(table, scores, draw_sizes(table, scores, eps))


def _dropping(table: Table, scores: Float, eps: float, recentred: bool = False) -> LayerPlan:
    """Drop the weights of least score, per pair, as long as SP-6 promises eps."""
    kept = np.zeros(scores.shape, dtype=bool)
    for sign in (0, 1):
        mask = table.sign(sign) & (table.sensitivity > 0)
        order = np.argsort(np.where(mask, scores, np.inf), axis=1, kind="stable")
        for neuron in np.flatnonzero(table.total[sign] > 0):
            columns = order[neuron, : int(mask[neuron].sum())]
            if table.bound in INSTANCE_BOUNDS:
                shares = table.shares(sign, int(neuron), columns)
                # A pair that lives only on rows that were not kept has nothing to go by: all stays.
                unseen = 0.0 if len(shares) else np.inf
                lost = np.cumsum(shares, axis=1).max(axis=0, initial=unseen)
            else:
                lost = np.cumsum(table.sensitivity[neuron, columns]) * table.coverage_factor
            # Recentring promises G/(2 - G), so G may go up to 2 eps/(1 + eps).
            target = 2 * eps / (1 + eps) if recentred else eps
            # The promise is recomputed in another order of summation, hence the hair of slack.
            spare = int(np.searchsorted(lost, target * (1 - 1e-9), side="right"))
            kept[neuron, columns[spare:]] = True
    return planning.mask_plan(table, kept, scores, recentred)


def by_dropping(table: Table, eps: float) -> LayerPlan:
    """Keep the fewest weights of largest sensitivity with which SP-6 promises eps.

    Args:
        table: the layer.
        eps: target relative error per sign, in (0, 1).

    Returns:
        The plan.

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    return _dropping(table, table.sensitivity, eps)


def by_recentred_dropping(table: Table, eps: float) -> LayerPlan:
    """Keep the fewest weights of largest sensitivity with which SP-6, recentred, promises eps.

    Args:
        table: the layer.
        eps: target relative error per sign, in (0, 1).

    Returns:
        The plan.

    Claim: SP-6. Source: [OWN].
    """
    return _dropping(table, table.sensitivity, eps, recentred=True)


def by_magnitude(table: Table, eps: float) -> LayerPlan:
    """Keep the fewest weights of largest magnitude with which SP-6 promises eps.

    Args:
        table: the layer.
        eps: target relative error per sign, in (0, 1).

    Returns:
        The plan.

    Claim: SP-6. Source: Han et al. 2015, arXiv 1506.02626 (the method); [SP] (the promise).
    """
    return _dropping(table, np.abs(table.weight), eps)


def by_hybrid(table: Table, eps: float) -> LayerPlan:
    """Per pair whichever of draws and dropping leaves fewer weights in expectation.

    Args:
        table: the layer.
        eps: target relative error per sign, in (0, 1).

    Returns:
        The plan.

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

    Args:
        table: the layer.
        eps: target relative error per sign, in (0, 1).

    Returns:
        The plan.

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
        rates[sign, neuron] = poisson.inclusion_rate(
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

    Args:
        tables: all layers, in forward order; the network is taken to be the chain of them.
        eps: entrywise relative error of the network's output, in (0, 1).
        delta: failure probability of the network, in (0, 1).

    Returns:
        The plans, and the sizes with every factor that went into them.

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
        _finish_draws(t, t.sensitivity, np.asarray(m))
        for t, m in zip(tables, size.sizes, strict=True)
    ]
    return plans, size


RULES: dict[str, Rule] = {
    "sipp-rand": by_draws,
    "sipp-det": by_dropping,
    "sipp-recentred": by_recentred_dropping,
    "sipp-hybrid": by_hybrid,
    "sipp-poisson": by_inclusion,
    "magnitude": by_magnitude,
    "uniform": by_uniform_draws,
}

"""The fewest draws, or the fewest weights left, with which a bound promises each pair an error."""

from __future__ import annotations

import numpy as np

import sipp_theory
from sipp_core.pruning import planning, promise
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import INSTANCE_BOUNDS, Table
from sipp_core.runtime.numbers import Float


def as_plan(table: Table, scores: Float, sizes: Float) -> LayerPlan:
    """Turn sample sizes into a plan: whole pairs where the size reaches the number of weights.

    Shapes: scores (out, fan_in), sizes (2, out).

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    live = table.total > 0
    whole = live & (sizes >= table.support)
    draws = np.where(live & ~whole, sizes, 0.0)
    return planning.whole_or_drawn(table, scores, draws, whole)


def draw_sizes(table: Table, scores: Float, eps: float, joint: bool = False) -> Float:
    """Draws that each pair needs for eps; +inf where its whole support would not be enough.

    Shapes: scores (out, fan_in); returns (2, out) float64.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x. Source: see `sipp_theory.sample_size`.
    """
    sums = promise.span(table, scores, joint)
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
    pairs = np.argwhere(table.total > 0)
    if joint:  # the pair that is likely to ask for most comes first
        pairs = pairs[np.argsort(-sums[table.total > 0], kind="stable")]
    for sign, neuron in pairs:
        shares, q = promise.outcomes(table, scores, sign, neuron, joint)
        if len(shares) == 0:  # live only on rows that were not kept: nothing to go by
            sizes[sign, neuron] = np.inf
            continue
        failure = float(table.delta[sign, neuron])
        # A size of the whole support or more is of no use: the pair is then kept whole.
        support = (table.weight != 0).sum() if joint else table.support[sign, neuron]
        most = float(support) - 1
        solve = sipp_theory.cramer_size if table.bound == "cramer" else sipp_theory.exact_size
        sizes[sign, neuron] = solve(shares, q, eps, failure, limit=most)
        if joint and np.isinf(sizes[sign, neuron]):  # one m for all: nothing more to learn
            break
    return sizes


def dropping(table: Table, scores: Float, eps: float, recentred: bool = False) -> LayerPlan:
    """Drop the weights of least score, per pair, as long as SP-6 promises eps.

    Shapes: scores (out, fan_in).

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
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

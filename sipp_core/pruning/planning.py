"""Plans of one layer from numbers of weights, rates or masks, with what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np

import sipp_theory
from sipp_core.pruning import promise
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import Table
from sipp_core.runtime.numbers import Bool, Float


def base_plan(table: Table, **changes: Any) -> LayerPlan:
    """Plan that keeps every weight that ever fired, with some fields replaced."""
    fields: dict[str, Any] = {
        "scores": table.sensitivity,
        "probability": (table.sensitivity > 0).astype(np.float64),
        "draws": np.zeros_like(table.total),
        "eps": np.zeros_like(table.total),
        "whole": table.total > 0,
        "scale": np.ones_like(table.total),
    } | changes
    return LayerPlan(
        name=table.statistics.name,
        positive=table.weight > 0,
        nonzero=table.weight != 0,
        dead=table.dead,
        **fields,
    )


def draws_plan(table: Table, scores: Float, sizes: Float) -> LayerPlan:
    """Plan draws with replacement that leave `sizes` distinct weights in expectation.

    Shapes: scores (out, fan_in), sizes (2, out).

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    whole = (sizes >= table.support) & (table.total > 0)
    draws = np.zeros_like(table.total)
    plan = base_plan(table, scores=scores)
    for sign in (0, 1):
        # A pair without a weight, or that never fired, is drawn from no more than a whole one.
        wanted = np.where(whole[sign] | (table.total[sign] == 0), 0.0, sizes[sign])
        draws[sign] = sipp_theory.draws_for_distinct(plan.draw_probabilities(sign), wanted)
    return whole_or_drawn(table, scores, draws, whole)


def whole_or_drawn(table: Table, scores: Float, draws: Float, whole: Bool) -> LayerPlan:
    """Plan that keeps some pairs whole and draws the others with replacement.

    Shapes: scores (out, fan_in), draws (2, out), whole (2, out) bool.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    return base_plan(
        table,
        scores=scores,
        draws=draws,
        probability=_kept_whole(table, whole),
        eps=np.where(whole, 0.0, promise.draws_error(table, scores, draws)),
        whole=whole,
    )


def _kept_whole(table: Table, whole: Bool) -> Float:
    """Inclusion probability 1 for the live weights of whole pairs, 0 elsewhere."""
    mask = (table.sign(0) & whole[0][:, None]) | (table.sign(1) & whole[1][:, None])
    return (mask & (table.sensitivity > 0)).astype(np.float64)


def mask_plan(table: Table, kept: Bool, scores: Float, recentred: bool = False) -> LayerPlan:
    """Plan that keeps a fixed set of weights, unchanged or recentred.

    Dropping loses between 0 and G_D z; a factor 1/(1 - G_D/2) on what is kept puts that range
    around z and halves the worst case, to G_D/(2 - G_D).

    Shapes: kept (out, fan_in) bool, scores (out, fan_in).

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    lost = np.stack([(table.sign(s) & (table.sensitivity > 0) & ~kept).any(axis=1) for s in (0, 1)])
    eps, scale = promise.dropped_errors(table, kept), np.ones_like(table.total)
    if recentred:
        centred = sipp_theory.recentring(eps)
        eps, scale = np.asarray(centred.error), np.asarray(centred.factor)
    return base_plan(
        table,
        scores=scores,
        scale=scale,
        probability=kept.astype(np.float64),
        eps=eps,
        whole=(table.total > 0) & ~lost,
    )


def merge(table: Table, first: LayerPlan, second: LayerPlan, use_first: Bool) -> LayerPlan:
    """Take each pair's plan from one of two plans.

    Shapes: use_first (2, out) bool.

    Claim: SP-7. Source: [SP] arXiv 1910.05422.
    """
    weights = np.where(table.weight > 0, use_first[0][:, None], use_first[1][:, None])
    return base_plan(
        table,
        probability=np.where(weights, first.probability, second.probability),
        draws=np.where(use_first, first.draws, second.draws),
        eps=np.where(use_first, first.eps, second.eps),
        whole=np.where(use_first, first.whole, second.whole),
        scale=np.where(use_first, first.scale, second.scale),
    )


def rates_for_sizes(table: Table, sizes: Float) -> Float:
    """Rates c with sum_j min(1, c s_j) = sizes, per pair, exactly (water-filling).

    Shapes: sizes (2, out); returns (2, out) float64.

    Claim: SP-8. Source: [OWN].
    """
    rates = np.zeros_like(table.total)
    for sign in (0, 1):
        s = -np.sort(-np.where(table.sign(sign), table.sensitivity, 0.0), axis=1)
        rest = np.cumsum(s[:, ::-1], axis=1)[:, ::-1]
        # With the k largest certain, c = (n - k)/rest_k must leave the next one uncertain.
        n = np.minimum(sizes[sign], table.support[sign])[:, None]
        k = np.arange(s.shape[1])[None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            c = np.where(rest > 0, (n - k) / rest, np.inf)
            fits = (n - k > 0) & (c * s <= 1 + 1e-12)
            every = np.where(s > 0, 1 / s, 0.0).max(axis=1)
        found = fits.argmax(axis=1)
        chosen = np.where(fits.any(axis=1), c[np.arange(len(c)), found], every)
        rates[sign] = np.where((n[:, 0] > 0) & (s[:, 0] > 0), chosen, 0.0)
    return rates


def inclusion_plan(table: Table, rates: Float) -> LayerPlan:
    """Plan inclusion with p_j = min(1, c s_j) at a rate per pair.

    Shapes: rates (2, out).

    Claim: SP-8. Source: [OWN].
    """
    rate = np.where(table.weight > 0, rates[0][:, None], rates[1][:, None])
    p = np.minimum(1.0, rate * table.sensitivity)
    sure = np.stack(
        [((p >= 1) | (table.sensitivity == 0) | ~table.sign(s)).all(axis=1) for s in (0, 1)]
    )
    return base_plan(
        table,
        probability=np.where(table.weight != 0, p, 0.0),
        eps=promise.inclusion_errors(table, rates),
        whole=sure & (table.total > 0),
        # The exact law is that of independent weights; every other bound survives the coupling.
        coupled=table.bound != "exact",
    )

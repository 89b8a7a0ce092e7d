"""Plans of one layer from numbers of weights, rates, masks or an error, with what they promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

import sipp_theory
from sipp_core.pruning import promise
from sipp_core.pruning.plan import Coins, LayerPlan
from sipp_core.pruning.stored import (
    SMALL,
    Stored,
    flags_by_rows,
    neurons,
    numbers,
    stored_flags,
    whole,
)
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Bool, Float
from sipp_theory.numeric.threads import in_threads


def base_plan(table: Table, **changes: Any) -> LayerPlan:
    """Plan that keeps every weight that ever fired, with some fields replaced."""
    scores, fires = changes.get("scores"), changes.get("probability")
    fields: dict[str, Any] = {
        "draws": np.zeros_like(table.total),
        "eps": np.zeros_like(table.total),
        "whole": table.total > 0,
        "scale": np.ones_like(table.total),
    } | changes
    s, weight = table.raw_sensitivity, table.raw_weight
    same = scores is None or (
        isinstance(scores, np.ndarray)
        and all(np.array_equal(scores[rows], s[rows]) for rows in neurons(table.shape))
    )
    fields["scores"] = s if same else scores
    if fires is None:
        fields["probability"] = flags_by_rows(table.shape, lambda rows: s[rows] > 0)
    fields["positive"] = flags_by_rows(table.shape, lambda rows: weight[rows] > 0)
    fields["nonzero"] = flags_by_rows(table.shape, lambda rows: weight[rows] != 0)
    return LayerPlan(
        name=table.statistics.name,
        dead=table.dead,
        **fields,
    )


def whole_plan(table: Table) -> LayerPlan:
    """Plan that keeps every weight, those that never fired included."""
    weight = table.raw_weight
    kept = flags_by_rows(table.shape, lambda rows: weight[rows] != 0)
    return base_plan(table, probability=kept)


def draws_plan(table: Table, scores: Stored, sizes: Float) -> LayerPlan:
    """Plan draws with replacement that leave `sizes` distinct weights in expectation.

    Shapes: scores (out, fan_in), sizes (2, out).

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    kept = (sizes >= table.support) & (table.total > 0)
    # A pair without a weight, or that never fired, is drawn from no more than a whole one.
    distinct = np.where(kept | (table.total == 0), 0.0, sizes)
    draws = np.zeros_like(table.total)
    for rows, some in base_plan(table, scores=scores).parts():
        for sign in (0, 1):
            q = some.draw_probabilities(sign)
            draws[sign, rows] = sipp_theory.draws_for_distinct(q, distinct[sign, rows])
    return whole_or_drawn(table, scores, draws, kept)


def whole_or_drawn(table: Table, scores: Stored, draws: Float, whole: Bool) -> LayerPlan:
    """Plan that keeps some pairs whole and draws the others with replacement.

    Shapes: scores (out, fan_in), draws (2, out), whole (2, out) bool.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    return base_plan(
        table,
        scores=scores,
        draws=draws,
        probability=_kept_whole(table, whole),
        eps=np.where(whole, 0.0, promise.draws_error(table, scores, draws, whole=whole)),
        whole=whole,
    )


def _kept_whole(table: Table, whole: Bool) -> Stored:
    """The live weights of whole pairs, (out, fan_in)."""
    weight, s = table.raw_weight, table.raw_sensitivity

    def kept(rows: slice) -> Bool:
        first, second = whole[:, rows, None]
        return (((weight[rows] > 0) & first) | ((weight[rows] < 0) & second)) & (s[rows] > 0)

    return flags_by_rows(table.shape, kept)


def no_weights(table: Table) -> Stored:
    """Probabilities of 0 throughout, (out, fan_in)."""
    return flags_by_rows(table.shape, lambda rows: np.zeros(table.raw_weight[rows].shape, bool))


def mask_plan(table: Table, kept: Stored, scores: Stored, recentred: bool = False) -> LayerPlan:
    """Plan that keeps a fixed set of weights, unchanged or recentred.

    Dropping loses between 0 and G_D z; a factor 1/(1 - G_D/2) on what is kept puts that range
    around z and halves the worst case, to G_D/(2 - G_D).

    Shapes: kept (out, fan_in) bool, scores (out, fan_in).

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    lost = np.zeros(table.total.shape, dtype=bool)
    for part in neurons(table.shape):
        weight, s = table.rows(part)
        gone = (s > 0) & ~whole(kept[part])
        lost[:, part] = [(gone & mine).any(axis=1) for mine in (weight > 0, weight < 0)]
    eps, scale = promise.dropped_errors(table, kept), np.ones_like(table.total)
    if recentred:
        centred = sipp_theory.recentring(eps)
        eps, scale = np.asarray(centred.error), np.asarray(centred.factor)
    return base_plan(
        table,
        scores=scores,
        scale=scale,
        probability=kept,
        eps=eps,
        whole=(table.total > 0) & ~lost,
    )


def share_plan(table: Table, scores: Stored, rate: Float, recentred: bool = False) -> LayerPlan:
    """Plan that keeps a share of each neuron's live weights, those of largest score.

    Shapes: scores (out, fan_in), rate (out,).

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    live = np.where(table.sensitivity > 0, numbers(scores), 0.0)
    place = np.argsort(np.argsort(-live, axis=1, kind="stable"), axis=1)
    count = np.ceil(rate * (live > 0).sum(axis=1))
    return mask_plan(table, (place < count[:, None]) & (live > 0), live, recentred)


def merge(table: Table, first: LayerPlan, second: LayerPlan, use_first: Bool) -> LayerPlan:
    """Take each pair's plan from one of two plans, none of which throws coins.

    Shapes: use_first (2, out) bool.

    Claim: SP-7. Source: [SP] arXiv 1910.05422.
    """
    weight = table.raw_weight

    def kept(rows: slice) -> Bool:
        up, down = use_first[:, rows, None]
        chosen = np.where(weight[rows] > 0, up, down)
        return np.where(chosen, *(plan.part(rows).probability > 0 for plan in (first, second)))

    return base_plan(
        table,
        probability=flags_by_rows(table.shape, kept),
        draws=np.where(use_first, first.draws, second.draws),
        eps=np.where(use_first, first.eps, second.eps),
        whole=np.where(use_first, first.whole, second.whole),
        scale=np.where(use_first, first.scale, second.scale),
    )


def inclusion_plan(table: Table, rates: Float) -> LayerPlan:
    """Plan inclusion with p_j = min(1, c s_j) at a rate per pair.

    Shapes: rates (2, out).

    Claim: SP-8. Source: [OWN].
    """
    least = np.full(table.total.shape, np.inf)
    raw, signed = table.raw_sensitivity, table.raw_weight
    for part in neurons(table.shape):
        s, w = raw[part], signed[part]
        for sign, mine in enumerate((w > 0, w < 0)):
            least[sign, part] = np.where(mine & (s > 0), s, np.inf).min(axis=1, initial=np.inf)
    sure = rates * np.where(table.total > 0, least, 0.0) >= 1
    # As float64 they would take twice the layer's weights.
    flags = (stored_flags(each) for each in (signed > 0, signed != 0))
    probability: Stored = Coins(rates, raw, *flags)
    return base_plan(
        table,
        probability=probability.array() if table.size <= SMALL else probability,
        eps=promise.inclusion_errors(table, rates),
        whole=sure,
        coupled=_may_couple(table),
    )


def _may_couple(table: Table) -> bool:
    """Whether the promise survives pivotal coupling within a sign of the weights.

    The exact law is that of independent weights; a tail of the whole neuron needs weights that
    push one way at every row; every other bound survives.
    """
    if table.tail is not None and bool(table.statistics.peaks[1].any()):
        return False
    return not (table.bound.inclusion and table.bound.inclusion.independent)


def as_plan(table: Table, scores: Stored, sizes: Float) -> LayerPlan:
    """Turn sample sizes into a plan: whole pairs where the size reaches the number of weights.

    Shapes: scores (out, fan_in), sizes (2, out).

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    live = table.total > 0
    whole = live & (sizes >= table.support)
    draws = np.where(live & ~whole, sizes, 0.0)
    return whole_or_drawn(table, scores, draws, whole)


def draw_sizes(table: Table, scores: Stored, eps: float, joint: bool = False) -> Float:
    """Draws that each pair needs for eps; +inf where its whole support would not be enough.

    Shapes: scores (out, fan_in); returns (2, out) float64.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x, SP-11. Source: see `sipp_theory.sample_size`.
    """
    if table.tail is not None:
        return np.concatenate([
            sipp_theory.tail_draws(
                table.rows(part)[0], rows, numbers(scores, part), eps, table.failure,
                exact=table.tail.exact,
                threads=torch.get_num_threads(),
            )
            for part, rows in table.groups()
        ], axis=1)  # fmt: skip
    sums = promise.span(table, scores, joint)
    if not table.by_shares:
        finite = np.where(np.isfinite(sums), sums, 0.0)
        sizes = table.bound.size(table.neuron(finite), eps, table.failures)
        return np.where(np.isfinite(sums), sizes, np.inf)
    sizes, scores = np.zeros_like(table.total), numbers(scores)

    def size(sign: int, neuron: int) -> float:
        pair = promise.outcomes(table, scores, sign, neuron, joint)
        if pair is None:  # live only on rows that were not kept: nothing to go by
            return np.inf
        failure = float(table.delta[sign, neuron])
        # A size of the whole support or more is of no use: the pair is then kept whole.
        support = (table.weight != 0).sum() if joint else table.support[sign, neuron]
        return float(table.bound.size(pair, eps, failure, limit=float(support) - 1))

    pairs = np.argwhere(table.total > 0).tolist()
    if joint:  # the pair that is likely to ask for most comes first
        for at in np.argsort(-sums[table.total > 0], kind="stable"):
            sign, neuron = pairs[at]
            sizes[sign, neuron] = size(sign, neuron)
            if np.isinf(sizes[sign, neuron]):  # one m for all: nothing more to learn
                break
        return sizes

    def some(first: int, last: int) -> None:
        for sign, neuron in pairs[first:last]:
            sizes[sign, neuron] = size(sign, neuron)

    in_threads(some, len(pairs), torch.get_num_threads())
    return sizes


def dropping(table: Table, scores: Stored, eps: float, recentred: bool = False) -> LayerPlan:
    """Drop the weights of least score, per pair, as long as SP-6 promises eps.

    Shapes: scores (out, fan_in).

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    # Recentring promises G/(2 - G), so G may go up to 2 eps/(1 + eps).
    target = 2 * eps / (1 + eps) if recentred else eps
    # The promise is recomputed in another order of summation, so a little slack is needed.
    most = target * (1 - 1e-9)

    def kept(part: slice) -> Bool:
        weight, s = table.rows(part)
        score, stays = numbers(scores, part), np.zeros(s.shape, dtype=bool)
        for sign, signed in enumerate((weight > 0, weight < 0)):
            mask = signed & (s > 0)
            order = np.argsort(np.where(mask, score, np.inf), axis=1, kind="stable")
            for row in np.flatnonzero(table.total[sign, part] > 0):
                columns = order[row, : int(mask[row].sum())]
                if table.by_shares:
                    shares = table.shares(sign, part.start + int(row), columns)
                    # A pair that lives only on rows that were not kept has nothing to go by: all
                    # stays.
                    unseen = 0.0 if len(shares) else np.inf
                    lost = np.cumsum(shares, axis=1).max(axis=0, initial=unseen)
                else:
                    lost = np.cumsum(s[row, columns]) * table.coverage_factor
                stays[row, columns[int(np.searchsorted(lost, most, side="right")) :]] = True
        return stays

    return mask_plan(table, flags_by_rows(table.shape, kept), scores, recentred)


def even_draws(tables: Sequence[Table], scale: float) -> list[LayerPlan]:
    """Plan `scale` draws with replacement for each unit of S_sum, and nothing kept for certain.

    Claim: SP-1. Source: [CN] arXiv 1804.05345.
    """
    return [
        base_plan(
            table,
            draws=np.where(table.total > 0, np.ceil(scale * table.total), 0.0),
            probability=no_weights(table),
            whole=np.zeros_like(table.dead),
        )
        for table in tables
    ]


def network_size(tables: Sequence[Table], eps: float) -> sipp_theory.NetworkSize:
    """CoreNet's sample sizes for the whole network.

    Claim: NW-5. Source: [CN] arXiv 1804.05345, Theorem 4.
    """
    delta, eta, eta_star = tables[0].failure, tables[0].eta, tables[0].eta_star
    hats = [
        sipp_theory.delta_hat(t.statistics.cancellation.cpu().numpy(), eta, eta_star, delta)
        for t in tables
    ]
    return sipp_theory.corenet_network_size(
        [t.total for t in tables], hats, eps, delta, eta, eta_star
    )


Layer = TypeVar("Layer")


def scopes(layers: Sequence[Layer], count: int) -> Iterator[Sequence[Layer]]:
    """All layers as one scope, or each as its own."""
    yield from [layers] if count == 1 else (layers[k : k + 1] for k in range(len(layers)))

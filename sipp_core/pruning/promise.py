"""What a choice of draws, rates or dropped weights promises each neuron, by the chosen bound.

Works on one layer's table: arrays over (sign, neuron), with the sign index 0 for positive weights.
Instance-exact bounds look at the activation rows kept by calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import sipp_theory
from sipp_core.pruning.stored import Stored, neurons, numbers, whole
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Bool, Float
from sipp_theory import BOUNDS, Neuron, NeuronTail
from sipp_theory.draws.bound import Inclusion
from sipp_theory.draws.law_of_a_draw import instance_of
from sipp_theory.numeric.compiling import compiled
from sipp_theory.numeric.threads import in_threads

# Weights of the neurons that a bound is asked about at once.
ROWS = 1 << 20
# Keeps every weight that ever fired, and none that never did.
LARGEST_RATE = 1e300


def _by_rows(table: Table, compute: Callable[..., Float]) -> Float:
    """What a bound that looks at activation rows says of the coins of each pair, (2, out).

    It answers ask(weights, rows, neurons, delta): for both signs at once (SP-11), or for each.
    """
    if table.tail is not None:
        both = [
            compute(table.weight[part], rows, part, table.failure) for part, rows in table.groups()
        ]
        return np.broadcast_to(np.concatenate(both), table.total.shape)
    groups = table.groups(split=True)
    return np.stack([
        np.concatenate([
            compute(np.where(table.sign(s)[part], table.weight[part], 0.0), rows, part,
                table.delta[s, part])
            for part, rows in groups
        ])
        for s in (0, 1)
    ])  # fmt: skip


def least_rates(table: Table, inclusion: Inclusion, eps: float) -> Float:
    """Least rates with which a bound on inclusion promises eps, (2, out).

    A pair that lives only on rows that were not kept stays whole, where the bound looks at rows.

    Claim: SP-8, SP-11. Source: [OWN].
    """
    threads = torch.get_num_threads()
    if not (table.by_shares or table.tail is not None):
        return _by_signs(
            table,
            lambda s, sign, part: inclusion.rates(
                s, eps, table.delta[sign, part], coverage_factor=table.coverage_factor
            ),
        )
    rates = _by_rows(
        table,
        lambda weight, rows, part, delta: inclusion.layer_rates(
            weight, rows, table.sensitivity[part], eps, delta, threads
        ),
    )
    rates = np.where(table.total > 0, np.minimum(rates, LARGEST_RATE), 0.0)
    for sign, neuron in np.argwhere((table.total > 0) & ~(table.seen() | (rates > 0))):
        live = table.live(int(sign), int(neuron))
        rates[sign, neuron] = 2 / table.sensitivity[neuron, live].min()
    return rates


def inclusion_by_rows(table: Table, inclusion: Inclusion, rates: Float) -> Float:
    """Error promised to each pair by coins, by a bound that looks at activation rows, (2, out).

    1 where all goes. Pairs that live only on rows that were not kept are promised by Bernstein's.

    Claim: SP-8, SP-11. Source: [OWN].
    """
    threads = torch.get_num_threads()
    rate = np.where(table.weight > 0, rates[0][:, None], rates[1][:, None])
    p = np.minimum(1.0, rate * table.sensitivity)
    eps = _by_rows(
        table,
        lambda weight, rows, part, delta: inclusion.layer_errors(
            weight, rows, p[part], delta, threads
        ),
    )
    if table.tail is not None:
        drawn = ((table.weight != 0) & (p > 0)).any(axis=1)
        return np.where(table.total > 0, np.where(drawn, eps, 1.0), 0.0)
    drawn, bernstein = rates > 0, BOUNDS["bernstein"].inclusion
    assert bernstein is not None
    eps = np.where(table.total > 0, np.where(drawn, eps, 1.0), 0.0)
    for sign, neuron in np.argwhere((table.total > 0) & drawn & ~table.seen()):
        eps[sign, neuron] = bernstein.error(
            table.sensitivity[neuron, table.live(sign, neuron)], float(rates[sign, neuron]),
            float(table.delta[sign, neuron]), coverage_factor=table.coverage_factor,
        )  # fmt: skip
    return eps


def tail_of_draws(table: Table, tail: NeuronTail, scores: Stored, draws: Float) -> Float:
    """Error promised to each neuron by draws from its signs, +inf draws for one that is whole.

    A sign without a draw is lost, which is an error of 1 at most on top of the other's.

    Shapes: scores (out, fan_in), draws (2, out); returns (2, out) float64, relative to z~.

    Claim: SP-11. Source: [OWN].
    """
    lost = (draws == 0) & (table.total > 0)
    given = np.where(lost, np.inf, draws)
    eps = np.concatenate([
        sipp_theory.tail_draws_error(
            table.rows(part)[0], rows, numbers(scores, part), given[:, part], table.failure,
            exact=tail.exact, threads=torch.get_num_threads(),
        )
        for part, rows in table.groups()
    ])  # fmt: skip
    eps = np.where(lost.any(axis=0), np.nextafter(1 + eps, np.inf), eps)
    gone = (lost | (table.total == 0)).all(axis=0)
    return np.where(table.total > 0, np.where(gone, 1.0, eps), 0.0)


def draws_error(
    table: Table, scores: Stored, draws: Float, joint: bool = False, whole: Bool | None = None
) -> Float:
    """Error promised to each pair for its number of draws in proportion to scores.

    With other scores than s, one draw lies in [0, M z] for M = C max_j s_j/q_j (S_sum if q = s/S).
    Pairs that are kept whole matter to the other sign of a bound that speaks of both.

    Shapes: scores (out, fan_in), draws and whole (2, out); returns (2, out) float64.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x. Source: see `sipp_theory.error`.
    """
    spans = span(table, scores, joint)
    if table.tail is not None:
        given = draws if whole is None else np.where(whole, np.inf, draws)
        return tail_of_draws(table, table.tail, scores, given)
    # A weight that was seen to fire and is never drawn: nothing can be promised.
    biased = np.isinf(spans)
    live = (table.total > 0) & (draws > 0) & ~biased
    eps = np.where(table.total > 0, np.where(biased & (draws > 0), np.inf, 1.0), 0.0)
    if table.by_shares:
        scores, pairs = numbers(scores), np.argwhere(live).tolist()

        def promised_to(first: int, last: int) -> None:
            for sign, neuron in pairs[first:last]:
                pair = outcomes(table, scores, sign, neuron, joint)
                if pair is not None:
                    m, delta = float(draws[sign, neuron]), table.delta[sign, neuron]
                    eps[sign, neuron] = table.bound.error(pair, m, delta)

        in_threads(promised_to, len(pairs), torch.get_num_threads())
        return eps
    promised = table.bound.error(
        table.neuron(np.where(live, spans, 0.0)), np.maximum(draws, 1), table.failures
    )
    return np.where(live, promised, eps)


def outcomes(
    table: Table, scores: Float, sign: int, neuron: int, joint: bool = False
) -> Neuron | None:
    """Shares of what a draw may bring one pair at the kept points, and with what chance.

    None if it lives only on rows that were not kept.

    Shapes: scores (out, fan_in).

    Claim: SP-5, SP-5x. Source: [OWN].
    """
    weight = table.rows(slice(neuron, neuron + 1))[0][0]
    mine = weight > 0 if sign == 0 else weight < 0
    columns = mine & (scores[neuron] > 0)
    chance = scores[neuron, columns]
    if not joint and columns.any():
        index = np.flatnonzero(columns)
        law = instance_of(table.columns(neuron), index, np.abs(weight[index]), chance)
        if law is not None:
            return Neuron(shares=law, probabilities=law.probabilities)
    shares = table.shares(sign, neuron, columns)
    if not joint:
        q = chance / chance.sum()
        return Neuron(shares=shares, probabilities=q) if len(shares) else None
    if (mine & (table.sensitivity[neuron] > 0) & ~columns).any():  # never drawn: nothing to say
        return None
    chance = chance / np.where(table.weight != 0, scores, 0.0).sum()
    shares = np.column_stack([shares, np.zeros(len(shares))])
    q = np.append(chance, max(0.0, 1 - float(chance.sum())))
    return Neuron(shares=shares, probabilities=q) if len(shares) else None


def span(table: Table, scores: Stored, joint: bool = False) -> Float:
    """Largest value of one draw over z, per pair and before C: max_j s_j/q_j; S_sum if q = s/S.

    Shapes: scores (out, fan_in); returns (2, out) float64.

    Claim: SP-1. Source: [SP] arXiv 1910.05422; any other q [OWN].
    """
    result = np.zeros_like(table.total)
    all_scores = np.where(table.weight != 0, numbers(scores), 0.0).sum() if joint else 0.0
    for rows in neurons(table.shape):
        (weight, s), score = table.rows(rows), numbers(scores, rows)
        for sign, mine in enumerate((weight > 0, weight < 0)):
            part = np.where(mine, score, 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(mine & (s > 0), s / part, 0.0).max(axis=1, initial=0.0)
                result[sign, rows] = ratio * (all_scores if joint else part.sum(axis=1))
    return np.where(table.total > 0, np.maximum(result, 1.0), 0.0)


def inclusion_errors(table: Table, rates: Float) -> Float:
    """Error promised to each pair by Poisson inclusion at its rate.

    Shapes: rates (2, out); returns (2, out) float64.

    Claim: SP-8. Source: [OWN].
    """
    inclusion = table.bound.inclusion
    assert inclusion is not None
    if table.by_shares or table.tail is not None:
        return inclusion_by_rows(table, inclusion, rates)
    eps = _by_signs(
        table,
        lambda s, sign, part: inclusion.errors(
            s, rates[sign, part], table.delta[sign, part], coverage_factor=table.coverage_factor
        ),
    )
    return np.where((table.total > 0) & (rates == 0), 1.0, eps)


def _by_signs(table: Table, compute: Callable[[NDArray[Any], int, slice], Float]) -> Float:
    """What a bound that looks at sensitivities says of each pair, (2, out): ask(s, sign, neurons).

    Some neurons at a time, those of several threads side by side.
    """
    result, raw, weight = np.zeros_like(table.total), table.raw_sensitivity, table.raw_weight

    def answer(part: slice) -> None:
        signs = np.empty((2, *raw[part].shape), raw.dtype)
        _by_sign(weight[part], raw[part], signs)
        for sign, s in enumerate(signs):
            result[sign, part] = compute(s, sign, part)

    blocks = neurons(table.shape, ROWS)

    def answers(first: int, last: int) -> None:
        for part in blocks[first:last]:
            answer(part)

    in_threads(answers, len(blocks), torch.get_num_threads())
    return result


@compiled
def _by_sign(weight: Any, s: Any, signs: Any) -> None:
    """Numbers of weights above 0, then of those below, from the front of each row on."""
    for i in range(len(s)):
        first = second = 0
        for j in range(s.shape[1]):  # written for both signs, and over what is not counted
            signs[0, i, first] = signs[1, i, second] = s[i, j]
            first += weight[i, j] > 0
            second += weight[i, j] < 0
        signs[0, i, first:] = 0
        signs[1, i, second:] = 0


def changed_errors(table: Table, ratio: Float) -> Float:
    """Error that each pair has when weights w_j become w_j (1 + ratio_j).

    z moves by sum_j ratio_j g_j z, between -N z and P z for P and N the sums of |ratio_j| s_j over
    the weights that grow and that shrink: max(P, N) C, and no more than max_j |ratio_j| over the
    weights that ever fired.

    Shapes: ratio (out, fan_in); returns (2, out) float64, rounded up.

    Claim: SP-6 for any multiplier. Source: [OWN].
    """
    eps = np.zeros_like(table.total)
    for part in neurons(ratio.shape):
        eps[:, part] = changed_part(table, part, ratio[part])
    return eps


def changed_part(table: Table, part: slice, ratio: Float) -> Float:
    """`changed_errors` of some neurons. Shapes: ratio (k, fan_in); returns (2, k)."""
    # Each s_j, and a sum of fan_in of them, is off by less than fan_in units in the last place.
    unit = torch.finfo(table.statistics.sensitivity.dtype).eps
    charge = 1 + (ratio.shape[1] + 4) * unit
    (weight, sensitivity), eps = table.rows(part), list[Float]()
    for mine in (weight > 0, weight < 0):
        change = np.where(mine & (sensitivity > 0), ratio, 0.0)
        moved = np.stack([np.maximum(change, 0.0), np.maximum(-change, 0.0)])
        sums = (moved * sensitivity).sum(axis=2).max(axis=0) * table.coverage_factor
        eps.append(np.minimum(sums * charge, np.abs(change).max(axis=1, initial=0.0)))
    return np.stack(eps) * (1 + (ratio.shape[1] + 4) * np.finfo(np.float64).eps)


def rounding_errors(table: Table, multiplier: Stored, stored: Float) -> Float:
    """Error that each pair has because its dtype holds other weights than w times the multiplier.

    Shapes: multiplier (out, fan_in) float64, stored (out, fan_in); returns (2, out) float64.

    Claim: SP-6 for any multiplier. Source: [OWN].
    """
    eps = np.zeros_like(table.total)
    blocks = neurons(stored.shape)

    def some(first: int, last: int) -> None:
        for part in blocks[first:last]:
            weight, held = table.rows(part)[0], stored[part].astype(np.float64, copy=False)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                ratio = (held - weight * numbers(multiplier, part)) / weight
            eps[:, part] = changed_part(table, part, np.where(weight != 0, ratio, 0.0))

    in_threads(some, len(blocks), torch.get_num_threads())
    return eps


def before_rounding(table: Table, eps: float) -> float:
    """Error that may be promised of exact multiples of weights, so that their dtype's keep eps.

    A rounding moves each weight by a share u at most, and so z^ <= (1 + eps) z. What float64 rounds
    is within the guards of the bounds.

    Claim: SP-6 for any multiplier. Source: [OWN].
    """
    dtype = table.statistics.layer.weight.dtype
    unit = 0.0 if dtype == torch.float64 else torch.finfo(dtype).eps / 2
    if eps <= unit:
        raise ValueError(
            f"layer {table.statistics.name!r}: eps={eps!r} is no more than what rounding weights "
            f"to {dtype} may cost ({unit:.2g}); give a larger eps, or convert the model first"
        )
    return eps if unit == 0 else float((eps - unit) / (1 + unit))


def dropped_errors(table: Table, kept: Stored) -> Float:
    """Error promised to each pair when the weights outside `kept` are dropped.

    G_D = max_x sum_{j in D} g_j(x) with an instance-exact bound, else the sum of s_j times C; at
    most 1, since dropping everything leaves z^ = 0.

    Shapes: kept (out, fan_in) bool; returns (2, out) float64.

    Claim: SP-6. Source: [SP] arXiv 1910.05422 (the sum); [OWN] (the maximum).
    """
    eps = np.zeros_like(table.total)
    for part in neurons(table.shape):
        weight, sensitivity = table.rows(part)
        for sign, mine in enumerate((weight > 0, weight < 0)):
            stays = ~mine | whole(kept[part]) | (sensitivity <= 0)
            s = np.where(mine, sensitivity, 0.0)
            eps[sign, part] = sipp_theory.dropped_share_bound(s, stays, table.coverage_factor)
    for sign in (0, 1) if table.by_shares else ():
        mine = table.sign(sign)
        dropped = mine & ~whole(kept) & (table.sensitivity > 0)
        for neuron in np.flatnonzero((table.total[sign] > 0) & dropped.any(axis=1)):
            columns = mine[neuron]
            shares = table.shares(sign, int(neuron), columns)
            if len(shares):
                eps[sign, neuron] = sipp_theory.dropped_share(shares, ~dropped[neuron, columns])
    return eps

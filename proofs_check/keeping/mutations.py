"""Weakened copies of SP-6, SP-7, SP-9, SP-10 and SP-12."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

import sipp_theory
from proofs_check.keeping import (
    coverage,
    coverage_best_of,
    laws,
    matrix,
    oracles,
    oracles_best_of,
    oracles_measured,
)
from proofs_check.kinds.mutations import divided, fields_scaled, scaled
from proofs_check.ledger.mutation import Function, Mutation
from sipp_core.methods import corenet
from sipp_core.pruning import LayerPlan, draw, measured_errors, promise, searching, table
from sipp_core.runtime import generator


def _without_half(original: Function) -> Function:
    def recentring(dropped: ArrayLike) -> sipp_theory.Recentring:
        share = np.minimum(dropped, 0.999)
        return sipp_theory.Recentring(1 / (1 - share), original(dropped).error)

    return recentring


def _mean_over_rows(original: Function) -> Function:
    return lambda shares, keep: (np.asarray(shares) @ ~np.asarray(keep)).mean(axis=-1)


def _largest_for_sum(original: Function) -> Function:
    def bound(s: ArrayLike, keep: ArrayLike, coverage_factor: ArrayLike = 1.0) -> np.ndarray:
        dropped = np.where(keep, 0.0, s).max(axis=-1, initial=0.0)
        return np.minimum(1.0, dropped * coverage_factor)

    return bound


def _without_cover(original: Function) -> Function:
    return lambda dropped, cover=1.0, recentred=False: original(dropped, 1.0, recentred)


def _other_named(original: Function) -> Function:
    def hybrid(drawn: ArrayLike, dropped: ArrayLike) -> sipp_theory.HybridChoice:
        choice = original(drawn, dropped)
        return replace(choice, deterministic=~np.asarray(choice.deterministic))

    return hybrid


def _larger(original: Function) -> Function:
    def hybrid(drawn: ArrayLike, dropped: ArrayLike) -> sipp_theory.HybridChoice:
        first, second = np.asarray(drawn), np.asarray(dropped)
        return sipp_theory.HybridChoice(np.maximum(first, second), second >= first)

    return hybrid


def _without_delta(original: Function) -> Function:
    return lambda eps, ratio, other=None: np.maximum(eps, eps if other is None else other) * 1.0


def _smaller_sign_first(original: Function) -> Function:
    """The smaller error is given to the larger part of z."""

    def joined(eps: float, ratio: float, other: float | None = None) -> float:
        second = eps if other is None else other
        large, small = max(eps, second), min(eps, second)
        return (small * (ratio + 1) + (large * (ratio - 1) if large else 0.0)) / 2

    return joined


def _one_candidate(original: Function) -> Function:
    def best(plan: LayerPlan, weight: object, points: object, delta: float, seed: int,
             *stream: int) -> np.ndarray:  # fmt: skip
        return draw(plan, generator(seed, stream[0], 0, *stream[1:]))

    return best


def _mean_of_rows(original: Function) -> Function:
    """The mean over the rows in place of the maximum."""

    def mean(weight: ArrayLike, stored: ArrayLike, rows: ArrayLike,
             shift: ArrayLike = 0.0) -> np.ndarray:  # fmt: skip
        each = [original(weight, stored, row[None], shift) for row in np.asarray(rows)]
        return np.mean(each, axis=0)

    return mean


def _uncharged(original: Function) -> Function:
    """The formula as float64 computes it."""

    def plain(weight: ArrayLike, stored: ArrayLike, rows: ArrayLike,
              shift: ArrayLike = 0.0) -> np.ndarray:  # fmt: skip
        old, new, a = (np.asarray(x, dtype=np.float64) for x in (weight, stored, rows))
        error, size = np.abs(a @ (new - old).T + np.asarray(shift)), np.abs(a) @ np.abs(old).T
        infinite = np.where(error > 0, np.inf, 0.0)
        return np.divide(error, size, out=infinite, where=size > 0).max(axis=0)

    return plain


def _unrounded(original: Function) -> Function:
    """The error of the weights as they were computed, before a dtype held them."""

    def before_storing(dense: nn.Module, pruned: nn.Module, layers: Sequence[Any],
                       stream: Iterable[Tensor]) -> dict[str, np.ndarray]:  # fmt: skip
        exact = copy.deepcopy(pruned).double()
        for layer in layers:
            weight = exact.get_submodule(layer.name).get_parameter("weight").data
            kept = weight != 0
            weight.copy_(torch.where(kept, layer.weight.double() * oracles_measured.FACTOR, weight))
        return original(dense, exact, layers, stream)

    return before_storing


def _signs_only(original: Function) -> Function:
    """Delta is shared by the signs of a neuron, and not by the halves of its input."""
    return lambda statistics, fires, which: fires.any(axis=2).sum(axis=0)


def _first_sign_whole(original: Function) -> Function:
    """The error of the weights above 0 stands for both signs."""

    def error(table: Any, *given: Any, **named: Any) -> np.ndarray:
        both = original(table, *given, **named)
        return np.where(np.arange(2)[:, None] == 1, np.minimum(both, both[:1]), both)

    return error


RECENTRED = (oracles.recentring_digits, laws.promise_on_every_row)


def _for_more(original: Function) -> Function:
    def multipliers(request: Any, *given: Any) -> object:
        target = replace(request.target, eps=1.25 * request.target.eps)
        return original(replace(request, target=target), *given)

    return multipliers


MUTATIONS = (
    Mutation("SP-6", "recentred_without_half",
             "Kept weights rescaled by 1/(1 - G), not 1/(1 - G/2).", sipp_theory.recentring,
             _without_half, RECENTRED),
    Mutation("SP-6", "recentred_error_halved", "Half of the error that recentring promises.",
             sipp_theory.recentring, fields_scaled(error=0.5), RECENTRED),
    Mutation("SP-6", "mean_over_rows", "G_D is the mean over the inputs, not the maximum.",
             sipp_theory.dropped_share, _mean_over_rows,
             (oracles.fewest_by_brute_force, laws.promise_on_every_row)),
    Mutation("SP-6", "largest_for_sum", "The largest sensitivity dropped stands for their sum.",
             sipp_theory.dropped_share_bound, _largest_for_sum, (oracles.fewest_by_brute_force,)),
    Mutation("SP-6", "one_weight_fewer", "One weight fewer is kept than eps needs.",
             sipp_theory.deterministic_size,
             lambda size: lambda *given, **named: np.maximum(0.0, size(*given, **named) - 1),
             (oracles.fewest_by_brute_force, laws.fewest_weights)),
    Mutation("SP-6", "coverage_factor_dropped", "A fresh input is promised what S was.",
             sipp_theory.deterministic_error, _without_cover, (oracles.recentring_digits,)),
    Mutation("SP-6", "network_promise_halved", "The pruner promises half of the share dropped.",
             promise.dropped_errors, scaled(0.5), (oracles.network_keeps_the_promise,)),
    Mutation("SP-6", "rounding_forgotten", "What the dtype rounds of new weights is not promised.",
             promise.rounding_errors, scaled(0.0), (oracles.stored_weights_keep_the_promise,)),
    Mutation("SP-7", "larger_taken", "The hybrid takes the method that promises more.",
             sipp_theory.hybrid_error, _larger, (oracles.hybrid_grid, laws.takes_the_smaller)),
    Mutation("SP-7", "other_named", "The smaller promise is taken, but the other method is used.",
             sipp_theory.hybrid_error, _other_named, (coverage.hybrid,)),
    Mutation("SP-9", "cancellation_dropped",
             "The error of z is taken for that of its signs: no Delta.", sipp_theory.combine_signs,
             _without_delta, (coverage.both_signs,)),
    Mutation("SP-9", "halved", "Half of the joined error.", sipp_theory.combine_signs, scaled(0.5),
             (coverage.both_signs, oracles.signs_by_cases)),
    Mutation("SP-9", "smaller_for_larger", "The smaller error goes with the larger part of z.",
             sipp_theory.combine_signs, _smaller_sign_first,
             (oracles.signs_by_cases, coverage.both_signs)),
    Mutation("SP-9", "halves_not_counted",
             "Delta is shared by the signs alone, not by a+ and a- as well.", table.live_parts,
             _signs_only, (coverage.signed_input,)),
    Mutation("SP-10", "half_the_candidates",
             "Half of the candidates, without Chebyshev's better law.", sipp_theory.candidates,
             divided(2), (coverage_best_of.markov_attained,)),
    Mutation("SP-10", "one_candidate_fewer",
             "One candidate fewer than (9/10)^tau <= delta/4 needs.", sipp_theory.candidates,
             lambda count: lambda delta: count(delta) - 1, (oracles.candidates_digits,)),
    Mutation("SP-10", "markov_factor_dropped",
             "The mean error is promised without the factor 10/9.", sipp_theory.best_of_tau,
             fields_scaled(mean_error=0.9), (oracles.best_of_tau_digits,)),
    Mutation("SP-10", "mean_error_halved", "Half of the mean error on T.", sipp_theory.best_of_tau,
             fields_scaled(mean_error=0.5), (coverage_best_of.best_on_its_set,)),
    Mutation("SP-10", "mean_error_bound_halved",
             "Half of the exact bound of one candidate's error.", sipp_theory.mean_error_bound,
             scaled(0.5), (oracles_best_of.best_of_tau_by_enumeration,)),
    Mutation("SP-10", "choosing_amplifies",
             "The chosen candidate fails at x as rarely as a single one.",
             sipp_theory.selected_violation, lambda union: lambda tau, delta: delta,
             (coverage_best_of.chosen_at_a_fresh_input,)),
    Mutation("SP-10", "neurons_not_counted", "Dead neurons without the union over all looked at.",
             sipp_theory.dead_neuron_violation,
             lambda rate: lambda points, beta, neurons=1: rate(points, beta, 1),
             (coverage_best_of.dead_on_all_points,)),
    Mutation("SP-10", "dead_rate_halved", "Half of the rate at which a removed neuron may fire.",
             sipp_theory.dead_neuron_violation, scaled(0.5),
             (coverage_best_of.dead_on_all_points,)),
    Mutation("SP-10", "wakes_a_third_as_often", "A removed neuron fires at x with 1/(3(n+1)).",
             sipp_theory.exchangeable_violation, scaled(1 / 3),
             (coverage_best_of.removed_neuron_wakes,)),
    Mutation("SP-10", "first_for_best", "CoreNet++ keeps its first candidate.", corenet.best_of,
             _one_candidate, (oracles_best_of.best_of_takes_the_least,)),
    Mutation("SP-12", "mean_over_rows_measured", "The mean over the inputs is measured.",
             sipp_theory.measured_error, _mean_of_rows,
             (oracles_measured.exact_maximum, oracles_measured.pruned_networks)),
    Mutation("SP-12", "rounding_not_charged", "What float64 loses is not added.",
             sipp_theory.measured_error, _uncharged,
             (oracles_measured.exact_maximum, laws.never_below_the_maximum)),
    Mutation("SP-12", "unrounded_weights",
             "The weights are measured as they were computed, not as they are stored.",
             measured_errors, _unrounded, (oracles_measured.stored_weights,)),
    Mutation("SP-12", "search_for_more", "The search stops at five quarters of eps.",
             searching.least_multipliers, _for_more, (oracles_measured.chosen_by_measuring,)),
    Mutation("SP-12", "refit_for_more", "The search with a refit stops at five quarters of eps.",
             searching.least_refitted, _for_more, (oracles_measured.chosen_by_measuring,)),
    # What no check of one promise but the matrix of all of them looks at.
    Mutation("SP-9", "draws_promised_half", "Draws are promised half of their error.",
             promise.draws_error, scaled(0.5), matrix.COMBINATIONS),
    Mutation("SP-9", "first_sign_for_both",
             "A neuron is promised what its positive weights are.", promise.dropped_errors,
             _first_sign_whole, matrix.COMBINATIONS),
    Mutation("SP-12", "measured_half", "Half of the measured error is reported.",
             sipp_theory.measured_error, scaled(0.5), matrix.COMBINATIONS),
    Mutation("SP-8", "inclusion_promised_half", "Coins are promised half of their error.",
             promise.inclusion_errors, scaled(0.5), (matrix.least_to_spare,)),
    Mutation("SP-6", "rounded_after_the_promise",
             "What is promised is of weights before bfloat16 rounds them.",
             promise.rounding_errors, scaled(0.0), (matrix.least_to_spare,)),
)  # fmt: skip

"""Weakened copies of NW-1 to NW-7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import sipp_theory
from proofs_check.ledger.mutation import Function, Mutation
from proofs_check.network import coverage, coverage_of_tails, laws, oracles
from sipp_core.runtime import Float
from sipp_theory.network import cancellation


def _scaled(factor: Callable[..., Any]) -> Callable[[Function], Function]:
    """The result times what `factor` makes of the same arguments."""
    return lambda right: lambda *given, **named: right(*given, **named) * factor(*given, **named)


def _layers(eps: Any, ratios: Any, *_: Any) -> int:
    return np.shape(ratios)[-1]


def _without_product(errors: Any, ratios: Any) -> Float:
    """u_l = Delta_l (u_{l-1} + eps_l): small, and so it goes unnoticed at small errors."""
    composed, u = [], 0.0
    for eps, ratio in zip(errors, ratios, strict=True):
        u = np.inf if u > 1 else ratio * (u + eps)
        composed.append(u)
    return np.array(composed)


def _past_one(errors: Any, ratios: Any) -> Float:
    """The recursion as CoreNet has it, without the stop at 1 that ReLU needs."""
    composed, u = [], 0.0
    for eps, ratio in zip(errors, ratios, strict=True):
        u = ratio * (u + eps + u * eps) * (1 + 1e-15) if u + eps else 0.0
        composed.append(u)
    return np.array(composed)


def _equal_shares(right: Function) -> Function:
    return lambda eps, ratios, costs=None: right(eps, ratios)


def _square_roots(right: Function) -> Function:
    """t_l proportional to A_l^(1/2) in the place of A_l^(1/3)."""

    def wrong(eps: Any, ratios: Any, costs: Any = None) -> Any:
        return right(eps, ratios, None if costs is None else np.asarray(costs) ** 1.5)

    return wrong


def _one_layer_late(right: Function) -> Function:
    """prod_{k>l} Delta_k in the place of prod_{k>=l} Delta_k."""
    return lambda ratios: right(ratios) - np.log(ratios)


def _without_logarithm(right: Function) -> Function:
    return lambda eta, star, delta: np.sqrt(np.log(eta) + np.log(star)) * (1 + 1e-15)


def _mean_of_neurons(right: Function) -> Function:
    return lambda means, *given: right(np.full(np.shape(means), np.mean(means)), *given)


def _size_with_constant(share: float) -> Callable[[Function], Function]:
    """NW-5 with another constant in the place of 32."""

    def mutate(right: Function) -> Function:
        def wrong(*given: Any, **named: Any) -> Any:
            size = right(*given, **named)
            sizes = tuple(np.ceil(s * share) for s in size.sizes)
            nnz = float(sum(np.where(s > 0, s + 1, 0.0).sum() for s in sizes))
            return replace(size, sizes=sizes, nnz=nnz)

        return wrong

    return mutate


def _off_by_one(right: Function) -> Function:
    """(k-1)/sum in the place of k/sum."""

    def wrong(samples: Any, k: int, confidence: float = 0.95) -> Any:
        result = right(samples, k, confidence)
        return replace(result, index=result.index * (k - 1) / k)

    return wrong


def _half_as_wide(right: Function) -> Function:
    def wrong(samples: Any, k: int, confidence: float = 0.95) -> Any:
        result = right(samples, k, confidence)
        return replace(
            result,
            low=(result.low + result.index) / 2,
            high=(result.high + result.index) / 2,
        )

    return wrong


def _one_sided(right: Function) -> Function:
    """Each end at the whole of 1 - confidence: together they miss twice as often."""
    return lambda samples, k, confidence=0.95: right(samples, k, 2 * confidence - 1)


def _propagation(carried: Callable[[Float, Float], Float], of: str) -> Function:
    """NW-7 with another way to join the layer's own error and the carried one."""

    def wrong(
        weights: Any, pruned: Any, biases: Any, inputs: Any, phi: str = "relu"
    ) -> tuple[Float, ...]:
        rows = np.asarray(inputs, float)
        error, errors = np.zeros_like(rows), []
        for w, v, b in zip(weights, pruned, biases, strict=True):
            old, new = np.asarray(w, float), np.asarray(v, float)
            direct = np.abs(rows @ (new - old).T)
            size = np.abs(old if of == "original" else new)
            error = carried(direct, error @ size.T)
            errors.append(error * (1 + 1e-9))
            z = rows @ old.T + (0 if b is None else np.asarray(b, float))
            rows = np.maximum(z, 0) if phi == "relu" else z
        return tuple(errors)

    return wrong


def _upper_corner(right: Function) -> Function:
    """The box's upper corner alone, as if errors were largest there."""
    return lambda weights, pruned, biases, low, high, phi="relu": right(
        weights, pruned, biases, high, high, phi
    )


MUTATIONS = (
    Mutation("NW-1", "product_dropped", "u_l without the term u_{l-1} eps_l.", sipp_theory.compose,
             lambda _: _without_product, (oracles.composition,)),
    Mutation("NW-1", "no_stop_at_one", "u_l goes on past 1, where ReLU may wake a neuron.",
             sipp_theory.compose, lambda _: _past_one,
             (oracles.composition, laws.woken_neurons_end_the_promise)),
    Mutation("NW-1", "growth_left_out", "u_l with Delta_l = 1: errors add up and do not grow.",
             sipp_theory.compose,
             lambda right: lambda errors, ratios: right(errors, np.ones_like(ratios)),
             (oracles.composition, coverage.errors_compose,
             laws.composition_bounds_shaken_networks)),
    Mutation("NW-1", "bias_left_out",
             "Delta with |z| in the place of |z + b|, as CoreNet prints it.",
             sipp_theory.delta_ratio,
             lambda right: lambda plus, minus, bias=0.0: right(plus, minus, np.zeros_like(bias)),
             (oracles.cancellation_ratio, laws.composition_bounds_shaken_networks)),
    Mutation("NW-1", "one_sign", "Delta with z+ alone above.", sipp_theory.delta_ratio,
             lambda right: lambda plus, minus, bias=0.0: right(plus, 0.0, np.subtract(bias, minus)),
             (oracles.cancellation_ratio, laws.composition_is_attained,
             laws.composition_bounds_shaken_networks)),
    Mutation("NW-2", "factor_two_dropped", "eps/(L prod Delta), without the factor 2.",
             sipp_theory.corenet_split, _scaled(lambda *_: 2.0),
             (oracles.splits, laws.splits_meet_the_error)),
    Mutation("NW-2", "layers_dropped", "eps/(2 prod Delta), without the number of layers.",
             sipp_theory.corenet_split, _scaled(_layers),
             (oracles.splits, laws.splits_meet_the_error)),
    Mutation("NW-2", "growth_one_layer_late", "prod over k > l in the place of k >= l.",
             cancellation.log_growth, _one_layer_late,
             (oracles.splits, laws.splits_meet_the_error, coverage.corenet_split_holds)),
    Mutation("NW-3", "shares_add_up_to_eps", "sum t_l = eps in the place of ln(1+eps).",
             sipp_theory.log_split, _scaled(lambda eps, *_: eps / np.log1p(eps)),
             (oracles.splits, laws.splits_meet_the_error)),
    Mutation("NW-3", "split_without_growth", "eps_l = t_l, as if no layer blew errors up.",
             sipp_theory.log_split,
             lambda right: lambda eps, ratios, costs=None: right(eps, np.ones_like(ratios), costs),
             (oracles.splits, laws.splits_meet_the_error, coverage.log_split_holds)),
    Mutation("NW-3", "costs_ignored", "Equal shares t_l whatever the layers cost.",
             sipp_theory.log_split, _equal_shares, (oracles.splits, laws.log_split_is_cheapest)),
    Mutation("NW-3", "square_root_of_costs", "t_l proportional to A_l^(1/2).",
             sipp_theory.log_split, _square_roots, (oracles.splits, laws.log_split_is_cheapest)),
    Mutation("NW-4", "logarithm_dropped",
             "kappa = sqrt(2 lam), for the mean but not for a fresh input.", sipp_theory.kappa,
             _without_logarithm,
             (oracles.kappa_and_delta_hat, coverage_of_tails.kappa_covers_under_a2)),
    Mutation("NW-4", "twentieth", "kappa a twentieth of what it is.", sipp_theory.kappa,
             _scaled(lambda *_: 0.05),
             (oracles.kappa_and_delta_hat, coverage_of_tails.kappa_covers_under_a2)),
    Mutation("NW-4", "widths_left_out", "kappa with ln(8 eta/delta), no union over the edges.",
             sipp_theory.kappa, lambda right: lambda eta, star, delta: right(eta, 1, delta),
             (oracles.kappa_and_delta_hat, coverage_of_tails.kappa_covers_under_a2)),
    Mutation("NW-4", "mean_of_neurons", "Delta^ from the mean over the neurons, not the largest.",
             sipp_theory.delta_hat, _mean_of_neurons,
             (oracles.kappa_and_delta_hat, laws.network_sizes_are_monotone)),
    Mutation("NW-5", "sixteen", "16 in the place of 32 (too loose for any trial to see).",
             sipp_theory.corenet_network_size, _size_with_constant(1 / 2), (oracles.network_size,)),
    Mutation("NW-5", "eight", "8 in the place of 32: NW-2's factor 2 forgotten (no trial sees it).",
             sipp_theory.corenet_network_size, _size_with_constant(1 / 4), (oracles.network_size,)),
    Mutation("NW-5", "product_one_layer_late", "The product of the Deltas starts one layer late.",
             cancellation.log_growth, _one_layer_late,
             (oracles.network_size, coverage.network_theorem_without_kappa)),
    Mutation("NW-5", "sum_left_out", "S_sum taken for 1: every neuron as if one weight carried it.",
             sipp_theory.corenet_network_size,
             lambda right: lambda sums, *rest: right([np.minimum(s, 1.0) for s in sums], *rest),
             (oracles.network_size,)),
    Mutation("NW-6", "one_ratio_less", "Hill's index with k - 1 in the place of k.",
             sipp_theory.hill_tail_index, _off_by_one, (oracles.hill_by_brute_force,)),
    Mutation("NW-6", "interval_halved", "Hill's interval half as wide.",
             sipp_theory.hill_tail_index, _half_as_wide,
             (coverage_of_tails.hill_interval, oracles.hill_by_brute_force)),
    Mutation("NW-6", "ends_one_sided", "Each end of Hill's interval at the whole error.",
             sipp_theory.hill_tail_index, _one_sided, (coverage_of_tails.hill_interval,)),
    Mutation("NW-7", "sign_flipped", "The carried error is taken off the layer's own.",
             sipp_theory.absolute_propagation,
             lambda _: _propagation(lambda own, carried: np.abs(own - carried), "pruned"),
             (oracles.propagation_on_digits, laws.propagation_bounds_the_true_error)),
    Mutation("NW-7", "original_weights", "Errors carried by |W| in the place of |W^|.",
             sipp_theory.absolute_propagation,
             lambda _: _propagation(lambda own, carried: own + carried, "original"),
             (laws.propagation_bounds_the_true_error,)),
    Mutation("NW-7", "carried_error_dropped", "Each layer's own error only.",
             sipp_theory.absolute_propagation,
             lambda _: _propagation(lambda own, carried: own, "pruned"),
             (oracles.propagation_on_digits, laws.propagation_bounds_the_true_error)),
    Mutation("NW-7", "upper_corner", "The box's upper corner in the place of the box.",
             sipp_theory.interval_propagation, _upper_corner,
             (oracles.propagation_on_digits, laws.propagation_bounds_the_true_error)),
)  # fmt: skip

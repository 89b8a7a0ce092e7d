"""Weakened copies of SP-11."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

import sipp_theory
from proofs_check.inclusion import coverage_neuron, laws_neuron, oracles_neuron
from proofs_check.kinds.mutations import scaled
from proofs_check.ledger.mutation import Function, Mutation
from sipp_core.pruning import planning, table
from sipp_theory.inclusion import poisson_tail

EQUAL = coverage_neuron.equal_weights_of_both_signs
COINS, DRAWS = oracles_neuron.coins_by_enumeration, oracles_neuron.draws_by_enumeration


def _at_delta(factor: float) -> Function:
    def wrong(original: Function) -> Function:
        def error(w: ArrayLike, a: ArrayLike, p: ArrayLike, delta: float, **named: bool) -> object:
            return original(w, a, p, min(factor * delta, 0.999), **named)

        return error

    return wrong


def _mean_over_rows(original: Function) -> Function:
    def error(w: ArrayLike, a: ArrayLike, p: ArrayLike, delta: float, **named: bool) -> object:
        rows = np.asarray(a)
        return np.mean([original(w, row[None], p, delta, **named) for row in rows], axis=0)

    return error


def _all_kept(original: Function) -> Function:
    def make(statistics: object, **named: object) -> object:
        return original(replace(statistics, complete=True), **named)  # type: ignore[type-var]

    return make


def _jumps_up_only(original: Function) -> Function:
    return lambda values, p, delta: original(np.maximum(values, 0.0), p, delta)


MUTATIONS = (
    Mutation("SP-11", "neuron_rate_halved", "Half of the rate.", sipp_theory.tail_rate,
             scaled(0.5), (laws_neuron.neuron_rates_invert, EQUAL)),
    Mutation("SP-11", "neuron_at_thrice_delta", "Coins at thrice the failure probability.",
             sipp_theory.tail_error, _at_delta(3), (oracles_neuron.fifty_digits,)),
    Mutation("SP-11", "neuron_error_0.8", "Four fifths of the error of coins.",
             sipp_theory.tail_error, scaled(0.8), (COINS,)),
    Mutation("SP-11", "neuron_mean_over_rows", "The mean over the rows, not the worst.",
             sipp_theory.tail_error, _mean_over_rows, (COINS,)),
    Mutation("SP-11", "draws_error_halved", "Half of the error of draws.",
             sipp_theory.tail_draws_error, scaled(0.5), (DRAWS,)),
    Mutation("SP-11", "jumps_up_only", "The convolution forgets jumps below 0.",
             poisson_tail.coins_tail, _jumps_up_only, (COINS,)),
    Mutation("SP-11", "coupled_at_signed_inputs",
             "Pivotal coupling where neighbours push against each other.", planning._may_couple,
             lambda original: lambda table: True, (coverage_neuron.pruned_layers,)),
    Mutation("SP-11", "kept_rows_for_all", "The rows that were kept stand for all.",
             table.make_table, _all_kept, (coverage_neuron.rows_not_kept,)),
)  # fmt: skip

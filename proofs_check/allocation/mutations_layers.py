"""Weakened copies of AL-3."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sipp_theory
from proofs_check.allocation import oracles_layers as oracles
from proofs_check.ledger.mutation import Function, Mutation


def _told(change: dict[str, Any]) -> Function:
    """The allocation with other numbers than the layer's own."""

    def wrong(allocate: Function) -> Function:
        def allocated(total: Any = None, capacity: Any = None, neurons: Any = None,
                      budget: Any = None, **rest: Any) -> Any:  # fmt: skip
            given = {"sensitivity_sum": total, "capacity": capacity, "neurons": neurons}
            given = {name: value for name, value in given.items() if value is not None}
            return allocate(**given | rest | {"budget": budget} | change)

        return allocated

    return wrong


def _halved(allocate: Function) -> Function:
    def allocated(*given: Any, **rest: Any) -> Any:
        got = allocate(*given, **rest)
        return replace(got, errors=got.errors / 2)

    return allocated


MUTATIONS = (
    Mutation("AL-3", "neurons_count_alike",
             "l = 1: every neuron counts alike, so that the widest layer takes the budget.",
             sipp_theory.allocate_by_layer, _told({"neurons": 1}),
             (oracles.layers_by_cvxpy, oracles.layers_count_alike)),
    Mutation("AL-3", "delta_of_a_promise", "delta = .05 for the code's 1e-16.",
             sipp_theory.allocate_by_layer, _told({"delta": 0.05}),
             (oracles.estimates_of_an_allocation,)),
    Mutation("AL-3", "patches_forgotten", "The patches of a convolution do not count.",
             sipp_theory.allocate_by_layer, _told({"patches": 1}),
             (oracles.estimates_of_an_allocation,)),
    Mutation("AL-3", "estimate_halved", "The estimate without the factor of its two terms.",
             sipp_theory.allocate_by_layer, _halved, (oracles.estimates_of_an_allocation,)),
)  # fmt: skip

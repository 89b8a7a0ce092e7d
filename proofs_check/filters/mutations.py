"""Weakened copies of PF-1 and PF-2."""

from __future__ import annotations

import numpy as np
from torch import Tensor

import sipp_theory
from proofs_check.filters import coverage, oracles
from proofs_check.kinds.mutations import divided, scaled
from proofs_check.ledger.mutation import Function, Mutation
from sipp_core.filters import Labels, groups, removal, sensitivity


def _single_position(original: Function) -> Function:
    """The largest share of one column of a channel in place of the sum over its columns."""

    def sensitivity(weight: Tensor, activations: Tensor, owner: Labels) -> np.ndarray:
        columns = original(weight, activations, np.arange(len(owner)))
        return np.array([columns[owner == c].max() for c in range(owner.max() + 1)])

    return sensitivity


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("PF-1", "single_position",
             "Sensitivities as the largest share of one kernel position, as PF-1 can be read.",
             sensitivity.channel_sensitivity, _single_position, (coverage.printed_at_its_worst,)),
    Mutation("PF-1", "tenth", "A tenth of the printed size.", sipp_theory.channel_size, divided(10),
             (oracles.printed_at_50_digits,)),
    Mutation("PF-2", "single_position_of_the_sharper",
             "Sensitivities as the largest share of one kernel position.",
             sensitivity.channel_sensitivity, _single_position, (coverage.sharper_at_its_worst,)),
    Mutation("PF-2", "union_left_out", "The size for one pre-activation, used for all of them.",
             sipp_theory.channel_bernstein_size,
             lambda size: lambda total, eps, delta, n, c=1.0: size(total, eps, delta, 1, c),
             (coverage.sharper_at_its_worst,)),
    Mutation("PF-2", "error_a_percent_off", "The error that PF-2 promises, less one per cent.",
             sipp_theory.channel_bernstein_error, scaled(0.99), (oracles.sharper_at_50_digits,)),
    Mutation("PF-1", "events_not_counted",
             "The printed size is used for more pre-activations than it pays for.",
             groups.printed_delta, lambda original: lambda table, sizes=1: table.delta / sizes,
             (oracles.printed_pays_for_its_events,)),
    Mutation("PF-2", "delta_for_each_group",
             "Each of the groups that feed a layer may fail with the whole delta.",
             removal.shared_delta, lambda original: lambda delta, groups: delta,
             (oracles.groups_of_one_layer_add_up,)),
)  # fmt: skip

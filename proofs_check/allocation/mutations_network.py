"""Weakened copies of AL-4, AL-5 and AL-6."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from proofs_check.allocation import laws_network as laws
from proofs_check.allocation import oracles_network as oracles
from proofs_check.ledger.mutation import Function, Mutation
from sipp_core.pruning import refit
from sipp_core.sensitivity import LayerSensitivity as Known
from sipp_core.sensitivity import output_sensitivity


def _changed(change: Callable[[Known, int], Known]) -> Function:
    """What is known of each layer, changed; the number of inputs is given too."""

    def wrong(measure: Function) -> Function:
        def measured(model: nn.Module, inputs: Tensor, *rest: Any) -> dict[str, Known]:
            known = measure(model, inputs, *rest)
            return {name: change(one, len(inputs)) for name, one in known.items()}

        return measured

    return wrong


def _absolute(measure: Function) -> Function:
    """Each input's Jacobian without its division by ||h||."""

    def measured(model: nn.Module, inputs: Tensor, *rest: Any) -> dict[str, Known]:
        each = [measure(model, one[None], *rest) for one in inputs]
        with torch.no_grad():
            sizes = oracles.centred(model(inputs)).square().sum(1).numpy()

        def mean(name: str, field: str) -> Any:
            of = [size * getattr(k[name], field) for k, size in zip(each, sizes, strict=True)]
            return np.mean(of, axis=0)

        return {
            name: replace(one, **{f: mean(name, f) for f in ("outgoing", "together")})
            for name, one in measure(model, inputs, *rest).items()
        }

    return measured


def _ridge_towards_zero(original: Function) -> Function:
    def wrong(dense: nn.Module, pruned: nn.Module, layers: Sequence[Any], *rest: Any,
              **named: Any) -> None:  # fmt: skip
        for layer in layers:
            oracles.weight_of(pruned, layer.name).zero_()
        original(dense, pruned, layers, *rest, **named)

    return wrong


def _uncentred(original: Function) -> Function:
    """Weights by the Gram matrix as it is, then the bias that makes the mean residual 0."""

    def wrong(dense: nn.Sequential, pruned: nn.Sequential, layers: Sequence[Any],
              masks: dict[str, Tensor], inputs: Tensor, **named: Any) -> None:  # fmt: skip
        places: list[Any] = [pruned.get_submodule(layer.name) for layer in layers]
        biases = [place.bias for place in places]
        for place in places:
            place.bias = None
        original(dense, pruned, layers, masks, inputs, **named)
        for layer, place, bias in zip(layers, places, biases, strict=True):
            if bias is None:
                continue
            end = int(layer.name) + 1
            with torch.no_grad():
                gap = dense[:end](inputs) - pruned[:end](inputs)
                bias.copy_(gap.mean([axis for axis in range(gap.ndim) if axis != 1]))
            place.bias = bias

    return wrong


def _dense_inputs(original: Function) -> Function:
    """Each layer by itself, as if none before it were pruned."""

    def wrong(dense: nn.Module, pruned: nn.Module, layers: Sequence[Any], *rest: Any,
              **named: Any) -> None:  # fmt: skip
        for layer in layers:
            alone, place = copy.deepcopy(dense), pruned.get_submodule(layer.name)
            alone.get_submodule(layer.name).load_state_dict(place.state_dict())
            original(dense, alone, [layer], *rest, **named)
            place.load_state_dict(alone.get_submodule(layer.name).state_dict())

    return wrong


BY_JACOBIANS = (oracles.scores_by_jacobians, oracles.removed_weights)
BY_LEAST_SQUARES = (oracles.refit_by_lstsq, laws.no_change_improves)
BY_PATHS = (oracles.scores_by_paths, oracles.dead_paths_go_first, laws.dead_paths_score_nothing)

MUTATIONS = (
    Mutation("AL-4", "absolute_error", "The output's change is not divided by ||h||.",
             output_sensitivity, _absolute, BY_JACOBIANS),
    Mutation("AL-4", "sum_for_mean", "Squares are added up over the inputs, with no mean taken.",
             output_sensitivity,
             _changed(lambda one, n: replace(one, outgoing=n * one.outgoing,
                                             together=n * one.together)),
             (oracles.scores_by_jacobians,)),
    Mutation("AL-4", "outgoing_dropped",
             "What leaves a neuron counts alike for all: weights by their input alone.",
             output_sensitivity,
             _changed(lambda one, _: replace(one, outgoing=np.ones_like(one.outgoing),
                                             together=np.ones_like(one.together))),
             (*BY_JACOBIANS, laws.hidden_layers_may_be_rescaled)),
    Mutation("AL-4", "positions_incoherent",
             "Positions of a convolution add up as if their inputs had no common mean.",
             output_sensitivity,
             _changed(lambda one, _: replace(one, together=one.outgoing)),
             (oracles.scores_by_jacobians,)),
    Mutation("AL-5", "ridge_towards_zero", "The ridge pulls towards 0, not towards w_0.",
             refit, _ridge_towards_zero,
             (laws.nothing_dropped_nothing_moved, *BY_LEAST_SQUARES)),
    Mutation("AL-5", "centring_forgotten",
             "Weights by the Gram matrix as it is, the bias afterwards.", refit,
             _uncentred, BY_LEAST_SQUARES),
    Mutation("AL-5", "dense_inputs",
             "Each layer is fitted to the dense network's inputs, not to the pruned one's.",
             refit, _dense_inputs, (oracles.refit_by_lstsq,)),
    Mutation("AL-6", "dead_end_counted",
             "A neuron that nothing leaves counts like the mean of its layer.",
             output_sensitivity,
             _changed(lambda one, _: replace(one, outgoing=np.where(
                 one.outgoing == 0, one.outgoing.mean(), one.outgoing))), BY_PATHS),
    Mutation("AL-6", "constant_input_counted",
             "A constant input counts by its mean square, as if no bias could take it.",
             output_sensitivity,
             _changed(lambda one, _: replace(one, variance=one.variance + one.mean**2)), BY_PATHS),
)  # fmt: skip

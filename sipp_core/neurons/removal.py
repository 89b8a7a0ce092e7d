"""From what stays of each group of neurons to the smaller model, its biases corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.filters import rebuild as rebuilding
from sipp_core.filters.groups import GroupChoice
from sipp_core.filters.rebuild import Ends, rebuild
from sipp_core.filters.result import Channels, FilterReport, GroupReport
from sipp_core.network.cost import multiply_adds, parameter_count
from sipp_core.network.layers import PrunableLayer, weight_of, write_weight
from sipp_core.network.structure import channel_shape
from sipp_core.neurons.selection import Selection, mass
from sipp_core.neurons.tables import NeuronTable
from sipp_core.runtime.numbers import Float

Pairs = Sequence[tuple[NeuronTable, Selection]]


@dataclass(frozen=True, eq=False)
class Correction:
    """Who takes what the middles of the dropped values add to a layer: its bias, or a BatchNorm."""

    place: str
    norm: bool
    shift: Float


def ends_of(model: nn.Module, pairs: Pairs) -> dict[str, Ends]:
    """What each layer keeps of its two ends."""
    groups = [table.group for table, _ in pairs]
    choices = [GroupChoice(s.kept.astype(np.float64), 0, {}) for _, s in pairs]
    return rebuilding.ends(model, groups, choices)


def corrections(pairs: Pairs, correct: bool) -> list[Correction]:
    """What the next biases take: sum (w - u) middle, or the mean of values that were measured."""
    result = []
    for table, selection in pairs:
        means = selection.means
        for c in table.consumers:
            if not c.biased or (not correct and c.name not in means):
                continue
            change = c.weight - selection.weights[c.name]
            change[:, c.labels < 0] = 0
            if c.name in means:
                shift = (change * means[c.name]).sum(axis=(1, 2))
            else:
                shift = change.sum(axis=2) @ c.middle
            result.append(Correction(c.norm or c.name, bool(c.norm), shift))
    return result


def smaller(
    model: nn.Module, pairs: Pairs, ends: dict[str, Ends], taken: Sequence[Correction]
) -> nn.Module:
    """Build the smaller model and write the new weights and biases into it."""
    new = rebuild(model, ends)
    for table, selection in pairs:
        for c in table.consumers:
            old = model.get_submodule(c.name)
            out = ends[c.name].stay
            part = weight_of(new.get_submodule(c.name))
            # A layer that several groups feed is written once for each: only its own inputs.
            inputs = np.flatnonzero(ends[c.name].wired)
            own = np.flatnonzero(c.labels[inputs] >= 0)
            values = part.detach().double().cpu()
            kept = selection.weights[c.name][out][:, inputs[own]]
            shape = weight_of(old).shape[2:]
            block = torch.from_numpy(kept).reshape(*kept.shape[:2], *shape)
            values[:, torch.from_numpy(own)] = block
            write_weight(c.name, part, values)
    for correction in taken:
        module = new.get_submodule(correction.place)
        stay = ends[correction.place].stay if correction.place in ends else slice(None)
        shift = torch.from_numpy(correction.shift[stay])
        place = module.running_mean if correction.norm else module.bias
        if not isinstance(place, Tensor):
            continue
        sign = -1.0 if correction.norm else 1.0
        write_weight(correction.place, place, place.detach().double().cpu() + sign * shift)
    return new


def layer_report(
    layer: PrunableLayer, new: nn.Module, end: Ends | None, eps: float,
    costs: tuple[dict[str, int], dict[str, int]],
) -> FilterReport:  # fmt: skip
    """What became of one layer, in the words of filters."""
    out, before = channel_shape(layer.module)
    if end is None:
        end = Ends(np.ones(out, bool), np.ones(out, bool), np.ones(before), np.ones(before, bool))
    return FilterReport(
        name=layer.name, before=(out, before), after=channel_shape(new.get_submodule(layer.name)),
        zeroed=0, kept_filters=np.flatnonzero(end.filters), kept_inputs=np.flatnonzero(end.wired),
        multiplier=end.multiplier, eps=eps, multiply_adds_before=costs[0][layer.name],
        multiply_adds_after=costs[1][layer.name],
    )  # fmt: skip


def channels_of(
    model: nn.Module, new: nn.Module, pairs: Pairs, kept_whole: dict[str, str],
    ends: Mapping[str, Ends], costs: tuple[dict[str, int], dict[str, int]],
) -> Channels:  # fmt: skip
    """What became of all neurons."""
    groups = tuple(
        GroupReport(
            producers=table.group.producers, consumers=tuple(table.group.inputs),
            units=table.group.units, kept=int(s.kept.sum()), dead=0, sensitivity=table.loads,
            sensitivity_sum=mass(table), draws=s.draws, events=table.outputs, eps=s.eps, frozen=(),
            error=s.error, region_error=s.region_error,
        )
        for table, s in pairs
    )  # fmt: skip
    shapes = {
        name: channel_shape(new.get_submodule(name))
        for name, end in ends.items()
        if not (end.stay.all() and end.wired.all())
    }
    return Channels(
        groups=groups, whole=kept_whole, shapes=shapes, parameters_before=parameter_count(model),
        parameters_after=parameter_count(new), multiply_adds_before=sum(costs[0].values()),
        multiply_adds_after=sum(costs[1].values()),
    )  # fmt: skip


def costs_of(
    model: nn.Module, new: nn.Module, example: Tensor
) -> tuple[dict[str, int], dict[str, int]]:
    """Multiply-adds of one input, layer by layer, before and after."""
    return multiply_adds(model, example), multiply_adds(new, example)

"""From what is kept of each group of channels to the smaller model, and what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.filters.graph import ChannelGroup
from sipp_core.filters.groups import GroupChoice
from sipp_core.network.layers import PrunableLayer, weight_of, write_weight
from sipp_core.network.structure import Norm, channel_shape, select
from sipp_core.runtime.numbers import Bool, Float


@dataclass(frozen=True, eq=False)
class Ends:
    """What is left of a layer's two ends, in the numbers of the given model.

    Attributes:
        filters: (out,) bool, filters that are not dropped.
        stay: (out,) bool, filters that keep their place, dropped or not.
        multiplier: (in,) float64, factor of each input's weights; 0 where it is dropped.
        wired: (in,) bool, inputs that keep their place.
    """

    filters: Bool
    stay: Bool
    multiplier: Float
    wired: Bool


def ends(
    model: nn.Module, groups: Sequence[ChannelGroup], choices: Sequence[GroupChoice]
) -> dict[str, Ends]:
    """Work out what each layer keeps."""
    names = {name for g in groups for name in (*g.outputs, *g.inputs)}
    by_layer: dict[str, Ends] = {}
    for name, module in model.named_modules():
        if name in names:
            out, before = channel_shape(module)
            by_layer[name] = Ends(
                np.ones(out, bool), np.ones(out, bool), np.ones(before), np.ones(before, bool)
            )
    for group, choice in zip(groups, choices, strict=True):
        for name, labels in group.outputs.items():
            own = np.flatnonzero(labels >= 0)
            end = by_layer[name]
            end.filters[own] = choice.kept[labels[own]]
            end.stay[own] = choice.kept[labels[own]] | bool(group.frozen)
            if name not in group.producers:
                # What only passes channels on has as many going in.
                times = len(labels) // len(end.wired)
                end.wired[:] = end.stay[::times]
        for name, labels in group.inputs.items():
            own = np.flatnonzero(labels >= 0)
            by_layer[name].multiplier[own] = choice.multiplier[labels[own]]
            by_layer[name].wired[own] = choice.kept[labels[own]] | bool(group.frozen)
    return by_layer


def nonzeros(layer: PrunableLayer) -> np.ndarray:
    """Count the nonzero weights between each filter and each input channel of a layer."""
    there = weight_of(layer.module).detach() != 0
    return there.reshape(*there.shape[:2], -1).sum(dim=2).cpu().numpy()


def left(counts: np.ndarray, end: Ends | None) -> int:
    """Count the nonzero weights that are left of a layer.

    Shapes: counts (out, in/groups).
    """
    if end is None:
        return int(counts.sum())
    # A depthwise filter has its one input, which goes with it.
    return int((counts * (_by_filter(end.multiplier, counts.shape) != 0))[end.filters].sum())


def _by_filter(multiplier: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The factor of each input of each filter, where groups of filters see inputs of their own.

    Shapes: multiplier (in,), shape (out, in/groups); returns (out, in/groups).
    """
    blocks = multiplier.reshape(-1, shape[1])
    return np.repeat(blocks, shape[0] // len(blocks), axis=0)


def rebuild(model: nn.Module, ends: dict[str, Ends]) -> nn.Module:
    """Make the smaller model: what goes is removed, what keeps its place is set to zero.

    The new model computes what the given one computes when each consumer's weights are multiplied
    by its `multiplier`, to float rounding: a removed channel contributes nothing, whatever its bias
    or BatchNorm would have made of it.
    """
    indices = {
        name: (torch.from_numpy(np.flatnonzero(e.stay)), torch.from_numpy(np.flatnonzero(e.wired)))
        for name, e in ends.items()
        if not (e.stay.all() and e.wired.all())
    }
    new = select(model, indices)
    with torch.no_grad():
        for name, end in ends.items():
            module = new.get_submodule(name)
            _silence(module, end.filters[end.stay])
            if not isinstance(module, Norm) and (end.multiplier != 1).any():
                _reweigh(name, weight_of(module), end.multiplier[end.wired])
    return new


def _silence(module: nn.Module, kept: Bool) -> None:
    """Set filters that keep their place to zero, with their bias; a BatchNorm's factors too."""
    gone = torch.from_numpy(np.flatnonzero(~kept))
    for tensor in (module.weight, module.bias):
        if isinstance(tensor, Tensor):
            tensor.index_fill_(0, gone.to(tensor.device), 0.0)


def _reweigh(name: str, weight: Tensor, multiplier: Float) -> None:
    factor = torch.from_numpy(_by_filter(multiplier, tuple(weight.shape[:2]))).to(weight.device)
    factor = factor.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))
    write_weight(name, weight, weight.double() * factor)

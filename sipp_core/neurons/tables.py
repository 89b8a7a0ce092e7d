"""What is known of the neurons of a group before any is chosen: ranges, loads, weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

import sipp_theory
from sipp_core.filters.coupling import Labels
from sipp_core.filters.graph import ChannelGroup
from sipp_core.network.layers import weight_of
from sipp_core.network.structure import Norm, channel_shape
from sipp_core.neurons.maps import Step
from sipp_core.neurons.relaxation import Difference
from sipp_core.runtime.numbers import Float

# Half of a range over what random inputs of the region show, from which on it says nothing.
LOOSE = 50.0


@dataclass(frozen=True, eq=False)
class Consumer:
    """A layer that the neurons enter.

    Attributes:
        name: of the layer.
        labels: (in,) unit of each input, -1 for those of other groups.
        weight: (out, in, offsets) float64.
        middle: (in,) what the correction of its bias takes for each input; 0 where it has no bias.
        half: (in,) how far from that the input ever is.
        positions: places at which each filter is computed.
        norm: BatchNorm right behind it, which takes a correction where it has no bias itself.
        biased: whether something takes a correction.
    """

    name: str
    labels: Labels
    weight: Float
    middle: Float
    half: Float
    positions: int
    norm: str
    biased: bool

    def per_unit(self, units: int, scale: Float | None = None) -> Float:
        """(out, units, columns x offsets) the weights of each unit, times a scale of each input."""
        columns = [np.flatnonzero(self.labels == unit) for unit in range(units)]
        most = max(1, *(len(c) for c in columns))
        weight = self.weight if scale is None else self.weight * scale[:, None]
        padded = np.zeros((len(weight), units, most, weight.shape[2]))
        for unit, own in enumerate(columns):
            padded[:, unit, : len(own)] = weight[:, own]
        return padded.reshape(len(weight), units, -1)


@dataclass(frozen=True, eq=False)
class NeuronTable:
    """A group of neurons or channels, the layers behind them, and the ranges of their values.

    Attributes:
        group: its channels and layers.
        consumers: the layers that they enter.
        incoming: (units, fan_in) weights of each, BatchNorm folded in; None where producers differ.
        bias: (units,) biases, likewise.
        radius: (fan_in,) half widths of what enters a neuron; one number for a ball.
        size: largest Euclidean norm of what enters a neuron.
        nonnegative: whether what enters is never below 0.
        act: activation behind it, if there is one and nothing but averages follows; else "".
        dense: whether its producer is a Linear layer.
    """

    group: ChannelGroup
    consumers: tuple[Consumer, ...]
    incoming: Float
    bias: Float
    radius: Float
    size: float
    nonnegative: bool
    act: str
    dense: bool

    @property
    def loads(self) -> Float:
        """(units,) most that each neuron, about its middle, moves any next neuron."""
        n = self.group.units
        loads = [
            np.abs(c.per_unit(n, c.half)).sum(axis=2).max(axis=0) * (1 + 1e-12)
            for c in self.consumers
        ]
        return np.maximum.reduce(loads)

    @property
    def peaks(self) -> Float:
        """(units,) most that each neuron moves any next neuron, biases uncorrected."""
        n = self.group.units
        peaks = [
            np.abs(c.per_unit(n, np.abs(c.middle) + c.half)).sum(axis=2).max(axis=0) * (1 + 1e-12)
            for c in self.consumers
        ]
        return np.maximum.reduce(peaks)

    @property
    def heaviest(self) -> Float:
        """(units,) largest sum of |outgoing weights| at any next neuron."""
        n = self.group.units
        sums = [np.abs(c.per_unit(n)).sum(axis=2).max(axis=0) for c in self.consumers]
        return np.maximum.reduce(sums)

    @property
    def outputs(self) -> int:
        """Next neurons, at all their positions."""
        return sum(len(c.weight) * c.positions for c in self.consumers)


def make_table(
    model: nn.Module, group: ChannelGroup, seen: Difference, dense_ball: float | None,
    shown: Mapping[str, tuple[Float, Float]],
) -> NeuronTable | str:  # fmt: skip
    """Gather a group's table, or say why its neurons are not separate here.

    `dense_ball` is the radius where the region is a ball and the producer reads it itself, `shown`
    the least and largest value (in,) that random inputs of the region bring to each consumer.
    """
    if len(group.producers) != 1:
        return f"several layers make its channels: {', '.join(group.producers)}"
    (name,) = group.producers
    by_layer = {step.layer: step for step in seen.steps if step.layer}
    if name not in by_layer or any(c not in by_layer for c in group.inputs):
        return "it is not called as a layer of the graph"
    rows = np.flatnonzero(group.outputs[name] >= 0)
    if len(rows) != group.units:
        return "some of its channels are one with others"
    order = np.argsort(group.outputs[name][rows])
    module = model.get_submodule(name)
    weight = weight_of(module).detach().flatten(1).double().cpu().numpy()[rows][order]
    bias = _bias(module)[rows][order]
    scale, shift = np.ones(len(rows)), np.zeros(len(rows))
    for other, labels in group.outputs.items():
        part = model.get_submodule(other)
        if other == name:
            continue
        if not isinstance(part, Norm):
            return f"its channels pass through {other!r}, a depthwise convolution"
        own = np.argsort(labels)
        factor, offset = _folded(part)
        scale, shift = scale * factor[own], shift * factor[own] + offset[own]
    source = seen.spans[by_layer[name].parents[0]]
    low = columns(source.low[0], module).amin(1)
    high = columns(source.high[0], module).amax(1)
    if _padded(module):
        low, high = torch.clamp_max(low, 0), torch.clamp_min(high, 0)
    kernel = weight.shape[1] // len(low)
    half = np.repeat(((high - low) / 2).numpy() * (1 + 1e-15), kernel)
    peak = np.repeat(torch.maximum(low.abs(), high.abs()).numpy(), kernel)
    consumers = []
    for consumer, labels in group.inputs.items():
        table = _consumer(model, consumer, labels, seen, by_layer[consumer], shown[consumer])
        consumers.append(table)
    return NeuronTable(
        group=group,
        consumers=tuple(consumers),
        incoming=weight * scale[:, None],
        bias=bias * scale + shift,
        radius=np.asarray(dense_ball) if dense_ball is not None else half,
        size=float(np.sqrt((peak**2).sum()) * (1 + 1e-12)),
        nonnegative=bool((low >= 0).all()),
        act=_activation_between(seen, by_layer[name], [by_layer[c] for c in group.inputs]),
        dense=isinstance(module, nn.Linear),
    )


def _bias(module: nn.Module) -> Float:
    bias = getattr(module, "bias", None)
    out = channel_shape(module)[0]
    return np.zeros(out) if bias is None else bias.detach().double().cpu().numpy()


def _folded(norm: Norm) -> tuple[Float, Float]:
    """Factor and offset of a BatchNorm in eval mode."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var.detach().double().cpu() + norm.eps).rsqrt()
    shift = -norm.running_mean.detach().double().cpu() * scale
    if norm.affine:
        gamma, beta = norm.weight.detach().double().cpu(), norm.bias.detach().double().cpu()
        scale, shift = scale * gamma, shift * gamma + beta
    return scale.numpy(), shift.numpy()


def columns(value: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Range ends of each input feature of a Linear layer, or channel of a convolution."""
    if isinstance(module, nn.Linear):
        return value.reshape(-1, value.shape[-1]).T
    return value.flatten(1)


def _padded(module: nn.Module) -> bool:
    padding = getattr(module, "padding", 0)
    if isinstance(padding, str):
        return padding == "same"
    return any(padding) if isinstance(padding, tuple) else bool(padding)


def _consumer(
    model: nn.Module, name: str, labels: Labels, seen: Difference, step: Step,
    shown: tuple[Float, Float],
) -> Consumer:  # fmt: skip
    module = model.get_submodule(name)
    span = seen.spans[step.parents[0]]
    low, high = (columns(x[0], module) for x in (span.low, span.high))
    low, high = low.amin(1).numpy(), high.amax(1).numpy()
    if _padded(module):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    norm = ""
    readers = [s for s in seen.steps if step.name in s.parents]
    if len(readers) == 1 and readers[0].layer:
        behind = model.get_submodule(readers[0].layer)
        norm = readers[0].layer if isinstance(behind, Norm) else ""
    own_bias = getattr(module, "bias", None) is not None
    if own_bias or norm:
        middle, half = sipp_theory.middle_and_half(low, high)
        # Any number may be the middle; that of a range which says nothing would ruin the network.
        idle = half > LOOSE * np.max(shown[1] - shown[0])
        if idle.any():
            middle = np.where(idle, shown[0] + (shown[1] - shown[0]) / 2, middle)
            half = np.maximum(high - middle, middle - low) * (1 + 1e-15)
    else:
        middle, half = np.zeros(len(low)), np.maximum(np.abs(low), np.abs(high))
    weight = weight_of(module).detach().double().cpu().numpy()
    out = seen.spans[step.name].low[0]
    return Consumer(
        name, labels, weight.reshape(*weight.shape[:2], -1), np.asarray(middle), np.asarray(half),
        int(out.numel() // len(weight)), "" if own_bias else norm, own_bias or bool(norm),
    )  # fmt: skip


def _activation_between(seen: Difference, first: Step, last: list[Step]) -> str:
    """The one activation between a layer and those behind it; "" where there is more."""
    known = {step.name: step for step in seen.steps}
    paths: set[tuple[str, ...]] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        step = known[name]
        if name == first.name:
            paths.add(path)
            return
        if step.kind == "input":
            return
        kind = step.act if step.kind == "activation" else step.kind
        for parent in step.parents:
            walk(parent, path if step.kind == "linear" else (kind, *path))

    for step in last:
        for parent in step.parents:
            walk(parent, ())
    if len(paths) != 1:
        return ""
    (path,) = paths
    return path[0] if len(path) == 1 and path[0] in sipp_theory.ACTIVATIONS else ""

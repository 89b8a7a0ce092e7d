"""What layers read on some inputs, and the groups of neurons that can go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.filters.graph import channel_graph, example_of
from sipp_core.network.layers import PrunableLayer, prunable_layers
from sipp_core.network.patches import rows as patch_rows
from sipp_core.neurons.regions import Ball, Region
from sipp_core.neurons.relaxation import Difference
from sipp_core.neurons.tables import NeuronTable, columns, make_table
from sipp_core.runtime.execution import evaluating, model_device
from sipp_core.runtime.numbers import Float, generator

# Inputs, and rows of a layer, that the pursuit looks at.
INPUTS, ROWS = 2048, 16384
# Random inputs of a region that show where the middle of a range is, if intervals do not.
SHOWN = 64


@contextmanager
def listening(
    model: nn.Module, names: Sequence[str], hear: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Hand on what layers are given while the model runs in eval mode."""

    def hook_of(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, args: hear(name, args[0].detach())

    hooks = [model.get_submodule(n).register_forward_pre_hook(hook_of(n)) for n in names]
    try:
        with evaluating(model):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def tables_of(
    model: nn.Module, inputs: Tensor, region: Region, prunable: Sequence[PrunableLayer]
) -> tuple[list[NeuronTable], dict[str, str]]:
    """Groups whose neurons can go, and why the other layers keep theirs.

    Shapes: inputs (n, ...).
    """
    names = {layer.name for layer in prunable}
    graph = channel_graph(model, example_of(inputs), lambda name, _: name in names)
    seen = Difference(model, None, region.domain(), refine=isinstance(region, Ball))
    kept_whole, tables = dict(graph.whole), []
    shown = _shown(model, region, [n for group in graph.groups for n in group.inputs])
    for group in graph.groups:
        reason = "; ".join(group.frozen) if group.frozen else ""
        table: NeuronTable | str = reason
        if not reason:
            ball = _own_ball(seen, region, group.producers[0])
            table = make_table(model, group, seen, ball, shown)
        if isinstance(table, str):
            kept_whole |= dict.fromkeys(group.producers, table)
        else:
            tables.append(table)
    if not tables:
        reasons = "; ".join(f"layer {name!r}: {why}" for name, why in kept_whole.items())
        raise ValueError(f"no neuron of the model can be removed: {reasons}")
    return tables, kept_whole


def _own_ball(seen: Difference, region: Region, producer: str) -> float | None:
    """The radius, where the region is a ball that a Linear layer reads as it is."""
    if not isinstance(region, Ball) or len(region.shape) != 1:
        return None
    kinds = {step.name: step.kind for step in seen.steps}
    for step in seen.steps:
        if step.layer == producer and kinds[step.parents[0]] == "input":
            return region.radius
    return None


def _shown(
    model: nn.Module, region: Region, names: Sequence[str]
) -> Mapping[str, tuple[Float, Float]]:
    """Least and largest of each input of layers, on random inputs of the region."""
    ranges: dict[str, tuple[Float, Float]] = {}

    def hear(name: str, given: Tensor) -> None:
        module = model.get_submodule(name)
        own = given.double().cpu()
        seen = columns(own if isinstance(module, nn.Linear) else own.transpose(0, 1), module)
        ranges[name] = (seen.amin(1).numpy(), seen.amax(1).numpy())

    parameter = next(model.parameters())
    inputs = region.sample(SHOWN, 0).to(parameter.dtype)
    with listening(model, list(dict.fromkeys(names)), hear):
        model(inputs.to(model_device(model)))
    return ranges


def reads(model: nn.Module, inputs: Tensor, table: NeuronTable, seed: int) -> dict[str, Float]:
    """Rows that each consumer of a group multiplies, on some of the inputs.

    Shapes: inputs (n, ...); returns (rows, fan_in) each.
    """
    rows_by_layer: dict[str, list[Float]] = {c.name: [] for c in table.consumers}
    layers = {layer.name: layer for layer in prunable_layers(model, list(rows_by_layer))}

    def keep(name: str, given: Tensor) -> None:
        rows_by_layer[name].append(patch_rows(layers[name], given)[0].double().cpu().numpy())

    # Patches overlap: a few inputs give all the rows that are looked at.
    most = max(32, 4 * ROWS // max(c.positions for c in table.consumers))
    order = generator(seed, 73).permutation(len(inputs))[: min(INPUTS, most)]
    with listening(model, list(rows_by_layer), keep):
        for part in inputs[torch.from_numpy(np.sort(order))].split(256):
            model(part.to(model_device(model)))
    sampled = {}
    for name, parts in rows_by_layer.items():
        rows = np.concatenate(parts)
        picks = np.sort(generator(seed, 74).permutation(len(rows))[:ROWS])
        sampled[name] = rows[picks]
    return sampled

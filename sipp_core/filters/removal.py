"""Remove whole filters and channels, so that the network is smaller and faster."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from sipp_core.filters import result as reporting
from sipp_core.filters.graph import ChannelGraph, channel_graph, example_of
from sipp_core.filters.groups import GroupChoice, GroupTable, by_budget, by_error
from sipp_core.filters.rebuild import Ends, ends, left, nonzeros, rebuild
from sipp_core.filters.recording import record, same_operations
from sipp_core.filters.result import Channels, FilterReport
from sipp_core.filters.sensitivity import ChannelCalibration, measure_channels
from sipp_core.network.cost import multiply_adds, parameter_count
from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.network.structure import channel_shape
from sipp_core.runtime.batch import Given
from sipp_core.runtime.execution import Progress, model_device
from sipp_core.runtime.numbers import Bool

READ = "the forward pass computes with the number of channels, or depends on it"


@dataclass(frozen=True, eq=False)
class Removal:
    """A smaller model, and what became of its channels.

    Attributes:
        model: new model; the given one was not touched.
        layers: one report a prunable layer.
        channels: of the whole network.
        vacuous: guarantee mode: only dead channels could go; budget mode: some layer is promised
            nothing (eps >= 1).
        notes: what a reader should know.
    """

    model: nn.Module
    layers: tuple[FilterReport, ...]
    channels: Channels
    vacuous: bool
    notes: tuple[str, ...]


def remove_channels(
    model: nn.Module,
    inputs: Given,
    prunable: Sequence[PrunableLayer],
    *,
    random: bool,
    keep: float | None,
    eps: float | None,
    delta: float,
    bound: str,
    alike: str,
    coverage_factor: float,
    seed: int,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Removal:
    """Remove whole filters in a copy of the model; `sipp_core.prune_filters` says how.

    Claim: PF-1, PF-2. Source: [PF] arXiv 1911.07412, [OWN].
    """
    names = {layer.name for layer in prunable}
    graph = channel_graph(model, example_of(inputs[:batch_size]), lambda name, _: name in names)
    if not graph.groups:
        reasons = "; ".join(f"layer {name!r}: {why}" for name, why in graph.whole.items())
        raise ValueError(f"no filter of the model can be removed: {reasons}")
    measured = measure_channels(
        model, inputs, _consumers(graph), batch_size=batch_size, progress=progress
    )
    tables = _tables(model, graph, measured, delta, coverage_factor, bound)
    if eps is None:
        assert keep is not None
        choices = _within_budget(model, prunable, graph, tables, random, keep, seed, alike)
    else:
        choices = by_error(tables, random, eps, seed)
    changed = ends(model, graph.groups, choices)
    new = rebuild(model, changed)
    if graph.recorded.exported and not _runs_alike(graph, new, inputs):
        tables = [
            replace(t, group=replace(t.group, frozen=(*t.group.frozen, READ))) for t in tables
        ]
        changed = ends(model, [table.group for table in tables], choices)
        new = rebuild(model, changed)
    costs = multiply_adds(model, inputs[:1]), multiply_adds(new, inputs[:1])
    groups = tuple(map(reporting.group_report, tables, choices))
    return Removal(
        new,
        tuple(
            reporting.layer_report(layer, new, changed.get(layer.name), promised(choices), costs)
            for layer in prunable
        ),
        Channels(
            groups=groups,
            whole=graph.whole,
            shapes=_shapes(new, changed),
            parameters_before=parameter_count(model),
            parameters_after=parameter_count(new),
            multiply_adds_before=sum(costs[0].values()),
            multiply_adds_after=sum(costs[1].values()),
        ),
        reporting.is_vacuous(groups, eps is not None),
        reporting.notes(groups, graph.whole, eps is not None),
    )


def _runs_alike(graph: ChannelGraph, new: nn.Module, inputs: Given) -> bool:
    """Whether the smaller model does what the given one does, with the same numbers."""
    try:
        recorded = record(new, example_of(inputs).to(model_device(new)))
    except ValueError:  # a condition on the number of channels
        return False
    return recorded.exported and same_operations(graph.recorded, recorded)


def _consumers(graph: ChannelGraph) -> dict[tuple[str, int], tuple[np.ndarray, int]]:
    return {
        (name, index): (labels, group.units)
        for index, group in enumerate(graph.groups)
        for name, labels in group.inputs.items()
    }


def _tables(
    model: nn.Module, graph: ChannelGraph, measured: ChannelCalibration, delta: float,
    factor: float, bound: str,
) -> list[GroupTable]:  # fmt: skip
    eta_star = max(channel_shape(model.get_submodule(n))[0] for g in graph.groups for n in g.inputs)
    feeding = Counter(name for group in graph.groups for name in group.inputs)
    tables = []
    for index, group in enumerate(graph.groups):
        stats = {name: measured.statistics[name, index] for name in group.inputs}
        events = sum(
            channel_shape(model.get_submodule(name))[0] * each.rows * (4 if each.signed else 2)
            for name, each in stats.items()
        )
        shares = {name: each.sensitivity for name, each in stats.items()}
        share = shared_delta(delta, max(feeding[name] for name in group.inputs))
        unit = max(_rounding_unit(model.get_submodule(name)) for name in group.inputs)
        tables.append(
            GroupTable(group, shares, max(1, events), eta_star, share, factor, bound, unit)
        )
    return tables


def shared_delta(delta: float, groups: int) -> float:
    """Delta of each of the groups that feed one layer: the layer is promised delta, each can fail.

    Claim: PF-2. Source: [OWN], a union bound.
    """
    return delta / groups


def _rounding_unit(module: nn.Module) -> float:
    """Share of a weight that its dtype may round away; none in float64, as bounds have guards."""
    dtype = weight_of(module).dtype
    return 0.0 if dtype == torch.float64 else torch.finfo(dtype).eps / 2


def _within_budget(
    model: nn.Module, prunable: Sequence[PrunableLayer], graph: ChannelGraph,
    tables: list[GroupTable], random: bool, keep: float, seed: int, alike: str,
) -> list[GroupChoice]:  # fmt: skip
    """Choose within keep times the number of prunable weights; refuse what cannot be met."""
    counts = {layer.name: nonzeros(layer) for layer in prunable}
    size = sum(layer.weight.numel() for layer in prunable)
    budget = math.floor(keep * size + 1e-9)

    def count(kept: Sequence[Bool]) -> int:
        plain = [GroupChoice(k.astype(np.float64), 0, {}) for k in kept]
        kept_ends = ends(model, graph.groups, plain)
        return sum(left(counts[name], kept_ends.get(name)) for name in counts)

    choices = by_budget(tables, random, budget, count, seed, alike)
    least = count([choice.kept for choice in choices])
    if least > budget:
        whole_layers = ", ".join(map(repr, graph.whole)) or "none"
        raise ValueError(
            f"keep={keep!r} cannot be met: with one channel left in each group {least} of {size} "
            f"weights remain, so keep must be at least {least / size:.4g} (no filter can go from "
            f"layers {whole_layers})"
        )
    return choices


def promised(choices: Sequence[GroupChoice]) -> dict[str, float]:
    """Error promised to each consumer: of what several groups bring, the worst.

    Claim: PF-2. Source: [OWN]: the groups' parts of z add up to no more than z~.
    """
    worst: dict[str, float] = {}
    for choice in choices:
        for name, eps in choice.eps.items():
            worst[name] = max(eps, worst.get(name, 0.0))
    return worst


def _shapes(new: nn.Module, by_layer: dict[str, Ends]) -> dict[str, tuple[int, int]]:
    """Counts of the layers that shrank."""
    return {
        name: channel_shape(new.get_submodule(name))
        for name, end in by_layer.items()
        if not (end.stay.all() and end.wired.all())
    }

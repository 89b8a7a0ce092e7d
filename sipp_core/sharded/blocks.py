"""One block: read, calibrated on what the one before gives, pruned, refitted and written."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from sipp_core.network.layers import (
    PrunableLayer,
    is_layer,
    prunable_layers,
    weight_of,
    write_weight,
)
from sipp_core.network.packed import Projection, layer_of
from sipp_core.network.selection import places
from sipp_core.pruning.measured import measured_errors
from sipp_core.pruning.method import Method
from sipp_core.pruning.prune import calibrate_for
from sipp_core.pruning.refit import REFITTED, refit
from sipp_core.pruning.report import with_measured, with_rows
from sipp_core.pruning.request import Request
from sipp_core.pruning.result import LayerReport
from sipp_core.pruning.writing import rewritten
from sipp_core.runtime.batch import Batch, Given
from sipp_core.runtime.inputs import whole_stream
from sipp_core.runtime.padding import Mask
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sharded.records import Records
from sipp_core.sharded.report import Report
from sipp_core.sharded.shards import Shards, Writer
from sipp_core.sharded.skeleton import Skeleton, Stage


@dataclass(frozen=True)
class Call:
    """What one run is about, the same for all blocks."""

    rule: Method
    request: Request
    skeleton: Skeleton
    inputs: Sequence[Given]  # with the number of each input first
    layers: frozenset[str] | None  # chosen names; None for all
    size: int
    sequential: bool
    mask: Mask


@dataclass
class Streams:
    """What the last block gave: in the pruned network, and in the dense one if that is needed."""

    folder: Path
    pruned: Records | None = None
    dense: Records | None = None


def prune_block(call: Call, number: int, streams: Streams, report: Report, writer: Writer) -> None:
    """Prune one block, or read what an earlier run made of it, and hand its outputs on."""
    skeleton, twice = call.skeleton, call.request.refit and call.sequential
    block = skeleton.load(number)
    file, names = number + 1, skeleton.names(number)
    source = streams.pruned if call.sequential else streams.dense
    dense = Stage(skeleton, number, block, streams.dense if twice else source)
    if number < len(report.blocks):
        new = skeleton.load(number, Shards(writer.path(file)))
        writer.wrote(file, {name: skeleton.shards.places[name] for name in names})
    else:
        new, reports, notes = _pruned(call, number, block, dense, source)
        prefix = skeleton.keys[number] + "."
        state = new.state_dict()
        writer.write(file, {name: state[name[len(prefix):]] for name in names})  # fmt: skip
        report.add(reports, notes)
    last = number == len(skeleton) - 1
    if call.sequential and not last:
        stage = Stage(skeleton, number, new, streams.pruned)
        streams.pruned = _advanced(call, stage, streams.folder / f"pruned-{number}", streams.pruned)
    if (twice or not call.sequential) and not last:
        streams.dense = _advanced(call, dense, streams.folder / f"dense-{number}", streams.dense)


def _advanced(call: Call, stage: Stage, folder: Path, before: Records | None) -> Records:
    """What a block gives for all inputs, on disk; what it was given goes."""
    after = Records(folder)
    with torch.no_grad():
        for batch in call.inputs:
            assert isinstance(batch, Batch)
            after.add(stage(*batch.arrays, **batch.named, **batch.settings), len(batch))
    if before is not None:
        before.remove()
    return after


def _pruned(
    call: Call, number: int, block: nn.Module, dense: Stage, source: Records | None
) -> tuple[nn.Module, list[LayerReport], list[str]]:
    """A pruned copy of a block, its layers' reports, and what a reader should know."""
    stage = Stage(call.skeleton, number, block, source)
    names = None
    if call.layers is not None:
        prefix = call.skeleton.keys[number] + "."
        names = sorted(name for name in call.layers if f"{name}.".startswith(prefix))
    if names == [] or (names is None and not any(map(is_layer, block.modules()))):
        return block, [], []
    prunable_layers(stage, names)
    plain = replace(call.request, model=stage, refit=False)
    stats = calibrate_for(
        call.rule, plain, call.inputs, layers=names, forward_size=call.size, mask=call.mask
    )
    new = Stage(call.skeleton, number, copy.deepcopy(block), source)
    first, reports, notes = _first(call, number), list[LayerReport](), list[str]()
    for place, layer in enumerate(stats.layers):
        alone = _alone(layer.name, layer.layer.module)
        one = replace(plain, model=alone, first=first + place)
        pruned = call.rule.run(one, replace(stats, layers=(layer,)))
        if pruned.structure:
            raise ValueError(f"method {call.rule.name!r} changes the shape of layers")
        write_weight(
            layer.name,
            weight_of(layer_of(new, layer.name)),
            weight_of(layer_of(pruned.model, layer.name)),
        )
        reports += pruned.reports
        notes += pruned.notes
        del pruned
    if call.request.refit:
        reports = _refitted(call, stats, dense, new, reports)
        notes.append(REFITTED)
    measured = measured_errors(
        stage, new, [layer.layer for layer in stats.layers], call.inputs, mask=call.mask
    )
    reports = [
        with_measured(each, measured.get(each.name), False) for each in with_rows(reports, stats)
    ]
    return new.block, reports, notes


def _first(call: Call, number: int) -> int:
    """How many layers stand in the blocks before."""
    inside = tuple(f"{call.skeleton.keys[k]}." for k in range(number))
    return (
        sum(
            1
            for place in places(call.skeleton.model)
            if is_layer(place.module)
            and f"{place.name}.".startswith(inside)
            and (call.layers is None or place.name in call.layers)
        )
        if number
        else 0
    )


def _alone(name: str, module: nn.Module) -> nn.Module:
    """A model that holds one layer and nothing else, under its own name."""
    if isinstance(module, Projection):
        name, module = name.rpartition(".")[0], module._of[0]
    *above, last = name.split(".")
    root = place = nn.Module()
    for part in above:
        place.add_module(part, nn.Module())
        place = place.get_submodule(part)
    place.add_module(last, module)
    return root


def _refitted(
    call: Call, stats: Calibration, dense: Stage, new: Stage, reports: Sequence[LayerReport]
) -> list[LayerReport]:
    """Solve for the kept weights of a block again; the reports of what they are then."""
    layers = [
        PrunableLayer(each.name, layer_of(dense, each.name), each.layer.groups)
        for each in stats.layers
    ]
    masks = {each.name: weight_of(layer_of(new, each.name)) != 0 for each in stats.layers}
    refit(dense, new, layers, masks, whole_stream(call.inputs), size=call.size, mask=call.mask)
    plain, fresh = replace(call.request, refit=False), list[LayerReport]()
    for layer in stats.layers:
        one = replace(stats, layers=(layer,))
        alone = _alone(layer.name, layer.layer.module)
        given = replace(plain, model=alone)
        fresh += rewritten(given, one, new).reports
    return fresh

"""`prune_sharded`: one block at a time is read, calibrated, pruned and written."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from sipp_core.network.layers import (
    PrunableLayer,
    is_layer,
    prunable_layers,
    weight_of,
    write_weight,
)
from sipp_core.network.packed import Projection, layer_of
from sipp_core.network.selection import Choice, LayerChoice, places
from sipp_core.pruning.arguments import make_request
from sipp_core.pruning.measured import measured_errors
from sipp_core.pruning.method import Method, find_method, registered
from sipp_core.pruning.prune import calibrate_for
from sipp_core.pruning.refit import REFITTED, refit
from sipp_core.pruning.report import with_measured, with_rows
from sipp_core.pruning.request import Request
from sipp_core.pruning.result import LayerReport
from sipp_core.pruning.writing import measured_promise, rewrite, rewrites_of
from sipp_core.runtime.arguments import whole
from sipp_core.runtime.batch import Batch, Given
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.files import read_bytes, write_atomically
from sipp_core.runtime.inputs import Inputs, batches, whole_stream
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.padding import Mask
from sipp_core.runtime.provenance import digests
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sharded.records import Records
from sipp_core.sharded.result import ShardedResult, read, written
from sipp_core.sharded.shards import Shards, Writer, grouped
from sipp_core.sharded.skeleton import Skeleton, Stage
from sipp_theory import Bound

REPORT = "sipp.json"
FORMAT = "sipp-sharded-1"
# Bytes of one file of what stands outside the blocks.
REST = 2**30
SEQUENTIAL = (
    "each block was calibrated on what the pruned blocks before it give (AL-5), and its promises "
    "are about these inputs"
)
OUTSIDE = "tensors outside the blocks were copied as they are"


@dataclass(frozen=True)
class _Call:
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
class _Streams:
    """What the last block gave: in the pruned network, and in the dense one if that is needed."""

    folder: Path
    pruned: Records | None = None
    dense: Records | None = None


@isolated
def prune_sharded(
    model: nn.Module,
    shards: str | PathLike[str],
    calibration: Inputs,
    folder: str | PathLike[str],
    *,
    method: str | Method = "sipp-det",
    keep: float | None = None,
    eps: float | None = None,
    delta: float | None = None,
    bound: str | Bound | None = None,
    coverage_factor: float = 1.0,
    seed: int = 0,
    layers: LayerChoice = None,
    blocks: str | None = None,
    sequential: bool = True,
    points: int | None = None,
    forward_size: int | None = None,
    refit: bool = False,
    pattern: str | None = None,
    mask: Mask = None,
    scratch: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> ShardedResult:
    """Prune a network that does not fit into memory, block by block, from safetensors shards.

    In memory are what stands outside the blocks, one block with its statistics, and one batch of
    inputs; what blocks give for the calibration inputs is on disk. Every layer keeps the same
    fraction, or as few weights as its promise needs. Layers outside the blocks (embeddings, a head)
    are copied as they are.

    A run that was stopped goes on where it was when the same call is made again: blocks that were
    written are only run forward.

    Args:
        model: the network, its parameters on the meta device (see `on_meta`); not changed.
        shards: a folder of .safetensors files, or one, whose tensors have the model's names.
        calibration: inputs of the model, as `prune` takes them.
        folder: where the pruned shards go, with `model.safetensors.index.json` and `sipp.json`;
            empty, or of the same call.
        method: a mask method that chooses each layer's weights by themselves.
        keep: fraction of each layer's weights to keep, in (0, 1].
        eps: relative error of each neuron, in (0, 1).
        delta: failure probability, as in `prune`.
        bound: a name of `sipp_theory.BOUNDS`, or a bound.
        coverage_factor: C >= 1, as in `prune`.
        seed: seed of every draw, >= 0.
        layers: which layers of the blocks, as in `prune`.
        blocks: name of the ModuleList or Sequential that holds the blocks; None takes the one with
            which least must be in memory.
        sequential: calibrate each block on what the pruned ones before it give (AL-5); False on
            what the dense ones give, and then the weights are those of `prune`.
        points: activation rows kept per layer, as in `prune`.
        forward_size: inputs a forward pass, as in `prune`.
        refit: solve for the kept weights again, towards what the dense network gives (AL-5).
        pattern: which sets of weights may stay ("2:4", "4x4"), as in `prune`.
        mask: which positions of token inputs are measured, as in `prune`.
        scratch: folder for the activations; default beside the new shards.
        progress: callback (done, total, what).

    Returns:
        The folder and the report of each layer.

    Raises:
        FileNotFoundError: no shards.
        TypeError: wrong types.
        ValueError: shards that do not fit the model, a method that looks at more than one layer, a
            folder that holds something else, or what `prune` refuses.

    Claim: SP-1 to SP-12, AL-5. Source: [SP] arXiv 1910.05422, [OWN].

    Example:
        >>> from safetensors.torch import save_file
        >>> from sipp_core.sharded import on_meta
        >>> def build():
        ...     return nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)))
        >>> with tempfile.TemporaryDirectory() as place:
        ...     _ = save_file(build().state_dict(), f"{place}/model.safetensors")
        ...     with on_meta():
        ...         net = build()
        ...     result = prune_sharded(net, place, torch.rand(8, 4), f"{place}/new", keep=0.5)
        >>> len(result.blocks), result.nnz_before, result.nnz_after
        (3, 48, 24)
    """
    rule = find_method(method)
    if not rule.by_layer:
        _refuse(rule, ["it looks at more than one layer"])
    request = make_request(
        rule, model, keep=keep, eps=eps, delta=delta, scope=None if eps is not None else "layer",
        bound=bound, coverage_factor=coverage_factor, seed=seed, points=points, refit=refit,
        pattern=pattern,
    )  # fmt: skip
    _refuse_network_wide(rule, request)
    if forward_size is not None:
        whole("forward_size", forward_size, 1)
    given = list(batches(calibration, forward_size))
    size = max(len(batch) for batch in given)
    skeleton = Skeleton(model, Shards(shards), blocks)
    arguments: dict[str, Any] = {
        "keep": keep, "eps": eps, "pattern": pattern, "delta": request.delta,
        "bound": request.bound.name,
        "coverage_factor": request.coverage_factor, **rule.settings(), "points": request.points,
        "refit": refit, "sequential": sequential, "blocks": skeleton.name,
        "layers": None if layers is None else repr(layers), "forward_size": size,
        "mask": None if mask is None else repr(mask),
    }  # fmt: skip
    call = _Call(
        rule, request, skeleton, _numbered(given), _chosen(skeleton, layers), size, sequential, mask
    )
    promise = measured_promise() if refit else rule.promise(request)
    target = Path(folder)
    report = _Report(target, _mark(call, arguments, given), len(skeleton))
    rest = grouped(skeleton.rest, {n: p.size for n, p in skeleton.shards.places.items()}, REST)
    writer = Writer(target, len(skeleton) + len(rest))
    with tempfile.TemporaryDirectory(dir=scratch or target, prefix="activations-") as place:
        streams = _Streams(Path(place))
        for number in range(len(skeleton)):
            if progress is not None:
                progress(number, len(skeleton), "blocks")
            _block(call, number, streams, report, writer)
    for number, names in enumerate(rest, len(skeleton) + 1):
        writer.write(number, {name: skeleton.shards.read(name) for name in names})
    writer.finish()
    notes = [*dict.fromkeys(report.notes), *([SEQUENTIAL] if sequential else []), OUTSIDE]
    result = ShardedResult(
        folder=target,
        layers=tuple(layer for block in report.blocks for layer in block),
        blocks=tuple(skeleton.keys.values()),
        outside=tuple(skeleton.rest),
        method=rule.name,
        seed=request.seed,
        inputs=sum(map(len, given)),
        holds_for=promise.holds_for,
        claims=promise.claims,
        notes=tuple(notes),
        arguments=arguments,
    )
    report.finish(result)
    return result


def _refuse_network_wide(rule: Method, request: Request) -> None:
    """Refuse what looks at more than a layer: no more than a block is ever in memory."""
    needs = rule.needs(request)
    wide = [
        text
        for text, is_so in (
            ("it runs the network again", needs.inputs and not request.refit),
            ("it needs targets", needs.targets),
            ("it sets inputs aside", needs.held_out > 0),
            (f"bound {request.bound.name!r} speaks of the whole network",
             request.bound.knows == "network"),
            ("bound 'measured' runs the network again", request.measured),
        )
        if is_so
    ]  # fmt: skip
    if wide:
        _refuse(rule, wide)


def _refuse(rule: Method, reasons: Sequence[str]) -> NoReturn:
    known = ", ".join(name for name, method in registered().items() if method.by_layer)
    raise ValueError(
        f"method {rule.name!r} cannot prune block by block: {'; '.join(reasons)}. Methods that "
        f"look at a layer alone: {known}"
    )


def _numbered(given: Sequence[Given]) -> list[Given]:
    """The batches, the number of each input before its tensors."""
    first, numbered = 0, list[Given]()
    for batch in given:
        which = torch.arange(first, first + len(batch))
        first += len(batch)
        if isinstance(batch, Tensor):
            numbered.append(Batch(which, batch))
        else:
            named: dict[str, Any] = {**batch.named, **batch.settings}
            numbered.append(Batch(which, *batch.arrays, **named))
    return numbered


def _chosen(skeleton: Skeleton, layers: LayerChoice) -> frozenset[str] | None:
    """Names of the chosen layers of all blocks; a choice that means none of them is refused."""
    if layers is None:
        return None
    choice = Choice(layers)
    inside = tuple(f"{prefix}." for prefix in skeleton.keys.values())
    known = [
        place for place in places(skeleton.model)
        if is_layer(place.module) and f"{place.name}.".startswith(inside)
    ]  # fmt: skip
    choice.refuse_slips(known)
    chosen = frozenset(place.name for place in known if choice(place))
    if not chosen:
        raise ValueError(f"layers={layers!r} selects no layer of the blocks {skeleton.name!r}")
    return chosen


def _mark(call: _Call, arguments: dict[str, Any], given: Sequence[Given]) -> str:
    """What makes two calls one: shards, inputs, method and arguments."""
    files = {place.file for place in call.skeleton.shards.places.values()}
    stats = sorted((str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    seen = hashlib.sha256(b"".join(mark for batch in given for mark in digests(batch))).hexdigest()
    text = repr((call.rule.name, sorted(arguments.items()), call.request.seed, stats, seen))
    return hashlib.sha256(text.encode()).hexdigest()


class _Report:
    """What is known of the blocks that were written, kept in the new folder."""

    def __init__(self, folder: Path, mark: str, count: int) -> None:
        self.path, self.mark = folder / REPORT, mark
        self.blocks, self.notes = list[list[dict[str, Any]]](), list[str]()
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.is_file():
            self._resume(count)
        elif any(p.suffix == ".safetensors" for p in folder.iterdir()):
            raise ValueError(f"{folder} holds another checkpoint; choose an empty folder")
        else:
            self._write({})
        for left in folder.glob("activations-*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)

    def _resume(self, count: int) -> None:
        try:
            known = json.loads(read_bytes(self.path, "report"))
            same = known["format"] == FORMAT and known["mark"] == self.mark
            blocks = [[read(layer) for layer in block] for block in known["blocks"]]
            notes = [str(note) for note in known["notes"]]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{self.path} is damaged; remove the folder ({error})") from error
        if not same or len(blocks) > count:
            raise ValueError(
                f"{self.path} is of another call (other shards, inputs or arguments); choose "
                "another folder"
            )
        self.blocks, self.notes = blocks, notes

    def add(self, layers: Sequence[LayerReport], notes: Sequence[str]) -> None:
        """A block was written."""
        self.blocks.append([layer.summary() for layer in layers])
        self.notes += notes
        self._write({})

    def finish(self, result: ShardedResult) -> None:
        """All were."""
        self._write({"result": result.summary()})

    def _write(self, more: dict[str, Any]) -> None:
        content = {
            "format": FORMAT, "mark": self.mark, "notes": self.notes,
            "blocks": [[written(layer) for layer in block] for block in self.blocks],
        }  # fmt: skip
        text = json.dumps(content | more, indent=1, allow_nan=False)
        write_atomically(self.path, text.encode())


def _block(call: _Call, number: int, streams: _Streams, report: _Report, writer: Writer) -> None:
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


def _advanced(call: _Call, stage: Stage, folder: Path, before: Records | None) -> Records:
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
    call: _Call, number: int, block: nn.Module, dense: Stage, source: Records | None
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
        made = call.rule.run(one, replace(stats, layers=(layer,)))
        if made.structure:
            raise ValueError(f"method {call.rule.name!r} changes the shape of layers")
        write_weight(
            layer.name,
            weight_of(layer_of(new, layer.name)),
            weight_of(layer_of(made.model, layer.name)),
        )
        reports += made.reports
        notes += made.notes
        del made
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


def _first(call: _Call, number: int) -> int:
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
    call: _Call, stats: Calibration, dense: Stage, new: Stage, reports: Sequence[LayerReport]
) -> list[LayerReport]:
    """Solve for the kept weights of a block again; the reports of what they are then."""
    layers = [
        PrunableLayer(each.name, layer_of(dense, each.name), each.layer.groups)
        for each in stats.layers
    ]
    masks = {each.name: weight_of(layer_of(new, each.name)) != 0 for each in stats.layers}
    refit(dense, new, layers, masks, whole_stream(call.inputs), size=call.size)
    plain, fresh = replace(call.request, refit=False), list[LayerReport]()
    for layer in stats.layers:
        one = replace(stats, layers=(layer,))
        alone = _alone(layer.name, layer.layer.module)
        given = replace(plain, model=alone)
        fresh += rewrite(given, one, rewrites_of(new, one)).reports
    return fresh

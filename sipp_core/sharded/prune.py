"""`prune_sharded`: one block at a time is read, calibrated, pruned and written."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from sipp_core.network.layers import is_layer
from sipp_core.network.selection import Choice, LayerChoice, places
from sipp_core.pruning.arguments import make_request, named_in
from sipp_core.pruning.method import Method, find_method, registered
from sipp_core.pruning.request import Request
from sipp_core.pruning.writing import measured_promise
from sipp_core.runtime.arguments import in_words, whole
from sipp_core.runtime.batch import Batch, Given
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.padding import Mask
from sipp_core.runtime.provenance import digests
from sipp_core.sharded.blocks import Call, Streams, prune_block
from sipp_core.sharded.report import Report
from sipp_core.sharded.result import ShardedResult
from sipp_core.sharded.shards import Shards, Writer, grouped
from sipp_core.sharded.skeleton import Skeleton
from sipp_theory import Bound

# Bytes of one file of what stands outside the blocks.
REST = 2**30
SEQUENTIAL = (
    "each block was calibrated on what the pruned blocks before it give (AL-5), and its promises "
    "are about these inputs"
)
OUTSIDE = "tensors outside the blocks were copied as they are"


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
        >>> _ = torch.manual_seed(0)
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
    values = named_in(locals()) | {
        "scope": None if eps is not None else "layer",
        "progress": None,
    }
    rule = find_method(method)
    if not rule.by_layer:
        _refuse(rule, ["it looks at more than one layer"])
    request = make_request(rule, model, **values)
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
        "layers": None if layers is None else in_words(layers), "forward_size": size,
        "mask": None if mask is None else in_words(mask),
    }  # fmt: skip
    call = Call(
        rule,
        request,
        skeleton,
        _numbered(given),
        _chosen(skeleton, layers),
        size,
        sequential,
        _of_inputs(mask),
    )
    promise = measured_promise() if refit else rule.promise(request)
    target = Path(folder)
    report = Report(target, _mark(call, arguments, given), len(skeleton))
    rest = grouped(skeleton.rest, {n: p.size for n, p in skeleton.shards.places.items()}, REST)
    writer = Writer(target, len(skeleton) + len(rest))
    with tempfile.TemporaryDirectory(dir=scratch or target, prefix="activations-") as place:
        streams = Streams(Path(place))
        for number in range(len(skeleton)):
            if progress is not None:
                progress(number, len(skeleton), "blocks")
            prune_block(call, number, streams, report, writer)
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


def _of_inputs(mask: Mask) -> Mask:
    """A mask that is a function is given the inputs alone, without their numbers."""
    if not callable(mask):
        return mask

    def of_inputs(batch: Given) -> Tensor:
        assert isinstance(batch, Batch)
        named: dict[str, Any] = {**batch.named, **batch.settings}
        return mask(Batch(*batch.arrays[1:], **named).without_targets())

    return of_inputs


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


def _mark(call: Call, arguments: dict[str, Any], given: Sequence[Given]) -> str:
    """What makes two calls one: shards, inputs, method and arguments."""
    files = {place.file for place in call.skeleton.shards.places.values()}
    stats = sorted((str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    seen = hashlib.sha256(b"".join(mark for batch in given for mark in digests(batch))).hexdigest()
    text = repr((call.rule.name, sorted(arguments.items()), call.request.seed, stats, seen))
    return hashlib.sha256(text.encode()).hexdigest()

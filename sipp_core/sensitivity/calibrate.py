"""Calibrate: stream inputs through the user's model once and keep statistics of every layer.

The model is run in eval mode without gradients, watched by hooks, and left exactly as it was. In
a process group of torch.distributed the batches are shared out and the statistics joined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.network.layers import other_matrices, prunable_layers
from sipp_core.network.selection import LayerChoice
from sipp_core.runtime.arguments import whole
from sipp_core.runtime.execution import Progress, evaluating, forward, model_device
from sipp_core.runtime.inputs import Inputs, batches, labelled
from sipp_core.runtime.processes import Processes, processes
from sipp_core.runtime.provenance import digests, fingerprint
from sipp_core.sensitivity import origins
from sipp_core.sensitivity.buffer import HELD
from sipp_core.sensitivity.gradients import Loss, saliency
from sipp_core.sensitivity.statistics import LayerStatistics, Watcher


@dataclass(frozen=True, eq=False)
class Calibration:
    """Statistics of all layers, and what the inputs were.

    Attributes:
        layers: one entry a prunable layer, in the model's order.
        inputs: number of inputs seen (|S|).
        distinct: number of distinct inputs among them.
        digests: fingerprints of the inputs, to refuse them as held-out ones.
        original: fingerprint of the network that was measured.
        points: activation rows kept per layer, as asked for.
        left_whole: matrices of modules of the user's own, which are no layer of a known kind.
        validation: statistics-free activation rows of the inputs set aside (CoreNet++'s T), per
            layer name; empty when none were.

    Claim: none (plumbing).
    """

    layers: tuple[LayerStatistics, ...]
    inputs: int
    distinct: int
    digests: frozenset[bytes]
    original: str
    points: int
    validation: dict[str, Tensor]
    left_whole: tuple[str, ...] = ()


def calibrate(
    model: nn.Module,
    calibration: Inputs,
    *,
    layers: LayerChoice = None,
    batch_size: int = 256,
    forward_size: int | None = None,
    points: int = 0,
    support: bool = False,
    mean: bool = False,
    validation_every: int = 0,
    seed: int = 0,
    norms: bool = False,
    gradients: bool = False,
    loss: Loss | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Measure the empirical sensitivities of all layers over a stream of inputs.

    s_ij = max over inputs (and patches) of |w_ij| a_j/z_i^s, as in `empirical_sensitivity`; bit for
    bit the same for any batch size, as the stream is re-cut for forward passes of one size. A
    layer that is called several times in a forward pass is measured over all of its calls, and a
    convolution's patches are unfolded tile by tile.

    Many processes: inside an initialised group of torch.distributed every rank must make this call
    with the same model and the whole of the inputs in the same order (no sampler that gives each
    rank a part). Rank r of N runs every N-th batch from batch r on, and each rank returns the same
    statistics, bit for bit those of one process with as many threads: maxima are joined by MAX,
    sums without rounding (`sipp_core.exact`), sampled rows by dice of their own. Ranks whose inputs
    or settings differ are refused, and what one rank refuses, all of them do. A rank that dies ends
    the call on the others at once with gloo; one that hangs, after the group's timeout.

    Threads: torchrun gives each process one, where one process alone takes all cores. A product
    split among threads may round otherwise: between 1 and 2 threads LeNet-5's means differ by up to
    6e-7 of themselves, its sensitivities not at all. OMP_NUM_THREADS sets them alike.

    Args:
        model: any nn.Module with Linear or Conv layers; left as found.
        calibration: a tensor (n, ...), or an iterable of batches or (input, target) pairs.
        layers: names, globs, types or a predicate to choose layers, "!name" or Except(type) to
            leave out (see `sipp_core.layers.prunable_layers`); None takes all.
        batch_size: inputs between two calls of `progress`, >= 1, and no fewer than run at once; it
            changes no bit of the result, nor does the stream's own.
        forward_size: inputs a forward pass, >= 1, where memory is short; None takes 256, or as many
            as fit into 16 MiB, and depends on the size of an input alone. Part of the result's
            definition, as products of other shapes round otherwise (on LeNet-5 a sensitivity
            changes by up to 2e-5 of itself).
        points: activation rows to keep per layer for instance-exact bounds, >= 0; a uniform sample
            where there are more.
        support: track which inputs set the maxima (ES-5, wait and judge). The rows of a layer must
            stand in the order of the inputs (batch first), which two more forward passes find out.
        mean: keep the mean shares too (`LayerStatistics.mean`): for ranking, never for a promise.
        validation_every: set every k-th input aside from the maxima and keep its rows (CoreNet++).
        seed: seed of the row sample.
        norms: also sum a_j^2 of every layer input, for Wanda.
        gradients: also score weights by |w dL/dw|, for SNIP; the calibration is then pairs of
            inputs and targets, held in memory and run forward and backward by every process.
        loss: (outputs, targets) -> the batch's mean loss; default cross-entropy for integer targets
            and mean squared error for floating ones.
        progress: called with (inputs done, 0, "calibrate" or "gradients").

    Returns:
        The statistics; memory O(weights + points), whatever the stream.

    Raises:
        TypeError: inputs or activations that are no floating-point tensors.
        ValueError: an empty or inconsistent stream, activations that are not finite, a model that
            cannot be pruned, an argument out of range, or with support=True rows that are not in
            the order of the inputs; of many processes the rank is named.
        ConnectionError: a process of the group has ended or does not answer.

    Claim: ES-1. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422.

    Example:
        >>> stats = calibrate(nn.Sequential(nn.Linear(2, 3)), torch.ones(4, 2))
        >>> (stats.inputs, stats.distinct, tuple(stats.layers[0].sensitivity.shape))
        (4, 1, (3, 2))
    """
    batch_size, points = whole("batch_size", batch_size, 1), whole("points", points, 0)
    seed = whole("seed", seed, 0)
    if forward_size is not None:
        forward_size = whole("forward_size", forward_size, 1)
    if validation_every < 0 or validation_every == 1:
        raise ValueError(f"validation_every must be 0 or at least 2; found {validation_every}")
    if isinstance(layers, Iterable) and not isinstance(layers, str | type):
        layers = list(layers)  # a one-shot iterator is read twice below
    found = prunable_layers(model, layers)
    watchers = [
        Watcher(layer, points, support, seed * 2, mean=mean, norms=norms, held=HELD // len(found))
        for layer in found
    ]
    group = processes()
    if group is not None:
        settings = (points, support, mean, validation_every, seed, norms, gradients)
        group.agree(
            {
                "model": fingerprint(model),
                "choice of layers": [w.layer.name for w in watchers],
                "forward_size": forward_size,
                "(points, support, mean, validation_every, seed, norms, gradients)": settings,
            }
        )
    stream = _Stream(model, watchers, forward_size, validation_every, group, support)
    scores: dict[str, Tensor] = {}
    failure: Exception | None = None
    try:
        pairs = labelled(calibration) if gradients else None
        with _watching(watchers, stream), evaluating(model):
            stream.run(calibration if pairs is None else pairs, batch_size, progress)
        if pairs is not None:
            of = [watcher.layer for watcher in watchers]
            scores = saliency(model, of, pairs, forward_size, loss, progress)
    except Exception as error:
        if group is None:
            raise
        failure = error
    if group is not None:
        group.settle(failure, stream.batch)
        stream.merge(group)
    return Calibration(
        layers=tuple(replace(w.finish(), saliency=scores.get(w.layer.name)) for w in watchers),
        inputs=stream.inputs,
        distinct=len(stream.digests),
        digests=frozenset(stream.digests),
        original=fingerprint(model),
        points=points,
        validation={w.layer.name: w.aside.rows(w.peak) for w in watchers if w.aside.seen},
        left_whole=other_matrices(model, layers),
    )


@contextmanager
def _watching(watchers: Sequence[Watcher], stream: _Stream) -> Iterator[None]:
    """Let every watcher see what its layer receives."""
    handles = [
        w.layer.module.register_forward_pre_hook(
            lambda module, inputs, named, w=w: stream.see(w, inputs, named), with_kwargs=True
        )
        for w in watchers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Stream:
    """One pass over the inputs; with many processes, over this one's share of the batches."""

    def __init__(
        self, model: nn.Module, watchers: list[Watcher], size: int | None, aside_every: int,
        group: Processes | None, support: bool,
    ) -> None:  # fmt: skip
        self.model, self.watchers, self.group = model, watchers, group
        # Until it is known that rows stand in the order of the inputs, where that matters.
        self.support, self.untried, self.trying = support, support, False
        self.size, self.aside_every = size, aside_every
        self.inputs, self.batch = 0, 0
        self.digests: set[bytes] = set()
        # The first input of every batch, to notice ranks that were not given the same stream.
        self.marks = hashlib.blake2b(digest_size=16)

    def run(self, calibration: Inputs, report: int, progress: Progress | None) -> None:
        told = 0
        device = model_device(self.model)
        for batch in batches(calibration, self.size):
            if self.group is not None:
                self.marks.update(digests(batch[:1])[0])
            if self.group is None or self.group.mine(self.batch):
                # Fingerprints first: the model may write to its input.
                self.digests.update(digests(batch))
                self._measure(batch, device)
            self.inputs += len(batch)
            self.batch += 1
            if progress is not None and self.inputs - told >= report:
                told = self.inputs
                progress(told, 0, "calibrate")
        if progress is not None and told < self.inputs:
            progress(self.inputs, 0, "calibrate")

    def see(self, watcher: Watcher, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Hand on what one call of a layer received."""
        if self.trying:
            return
        watcher.see(inputs, named)
        if self.support:
            given = inputs[0] if inputs else named["input"]
            origins.refuse_uneven(watcher.layer, given, watcher.batch)

    def _measure(self, batch: Tensor, device: torch.device) -> None:
        if self.untried:
            self.trying = True
            layers = [watcher.layer for watcher in self.watchers]
            self.untried = not origins.refuse_mixed(self.model, layers, batch.to(device))
            self.trying = False
        for watcher in self.watchers:
            watcher.open(self.batch)
        for part, aside in _split(batch, self.inputs, self.aside_every):
            for watcher in self.watchers:
                watcher.set_aside, watcher.batch = aside, part.shape[0]
                watcher.first_input = self.inputs
            forward(self.model, part.to(device), "calibration")
        for watcher in self.watchers:
            watcher.close()

    def merge(self, group: Processes) -> None:
        group.agree({"number of inputs": self.inputs, "stream of inputs": self.marks.hexdigest()})
        marks = np.frombuffer(b"".join(sorted(self.digests)), dtype=np.uint8).reshape(-1, 8)
        gathered = torch.cat(group.gather(torch.from_numpy(marks.copy()))).numpy()
        self.digests = {row.tobytes() for row in gathered}
        for watcher in self.watchers:
            watcher.merge(group)


def _split(batch: Tensor, start: int, every: int) -> Iterator[tuple[Tensor, bool]]:
    """Split a batch into inputs for the maxima and inputs set aside."""
    if every == 0:
        yield batch, False
        return
    position = torch.arange(start, start + batch.shape[0]) % every == every - 1
    for part, aside in (
        (batch[~position.to(batch.device)], False),
        (batch[position.to(batch.device)], True),
    ):
        if part.shape[0]:
            yield part, aside

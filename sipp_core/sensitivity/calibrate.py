"""Calibrate: stream inputs through the user's model once and keep statistics of every layer.

The model is run in eval mode without gradients, watched by hooks, and left exactly as it was. In
a process group of torch.distributed the batches are shared out and the statistics joined.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer, other_matrices, prunable_layers
from sipp_core.network.patches import row_count, tiles
from sipp_core.network.selection import LayerChoice
from sipp_core.runtime.arguments import whole
from sipp_core.runtime.execution import (
    Progress,
    evaluating,
    forward,
    full_precision,
    model_device,
)  # fmt: skip
from sipp_core.runtime.inputs import Inputs, batches, labelled
from sipp_core.runtime.processes import Processes, processes
from sipp_core.runtime.provenance import digests, fingerprint
from sipp_core.sensitivity import buffer, origins
from sipp_core.sensitivity.gradients import Loss, add_gradients
from sipp_core.sensitivity.measures import Cancellation, InputPeak, Sample, Shares
from sipp_core.sensitivity.operands import extreme
from sipp_core.sensitivity.statistics import (
    STATISTICS,
    LayerStatistics,
    MeasuredLayer,
    Rows,
    checked_names,
)  # fmt: skip


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
        statistics: names of what was measured beside what always is.
        held_inputs: the inputs (n, ...) in the order seen, each process all of them, on the device
            that they came on; None unless calibrate(inputs=True) kept them.
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
    statistics: frozenset[str] = frozenset()
    held_inputs: Tensor | None = None


# Of the flags that `statistics` replaces, the names that they stand for.
FLAGS = {"support": "support", "mean": "mean", "norms": "energy", "gradients": "gradients"}


def _deprecated(flags: Mapping[str, bool]) -> list[str]:
    """Names of the statistics that flags of the old spelling ask for, with a warning for each."""
    names = [FLAGS[flag] for flag, on in flags.items() if on]
    for flag in (flag for flag, on in flags.items() if on):
        warnings.warn(
            f"calibrate({flag}=True) is deprecated; write statistics={{{FLAGS[flag]!r}}}",
            DeprecationWarning,
            stacklevel=3,
        )
    return names


def calibrate(
    model: nn.Module,
    calibration: Inputs,
    *,
    layers: LayerChoice = None,
    batch_size: int = 256,
    forward_size: int | None = None,
    points: int = 0,
    statistics: Collection[str] = (),
    inputs: bool = False,
    validation_every: int = 0,
    seed: int = 0,
    loss: Loss | None = None,
    progress: Progress | None = None,
    support: bool = False,
    mean: bool = False,
    norms: bool = False,
    gradients: bool = False,
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
    sums without rounding (`exact_sum`), sampled rows by dice of their own, and with inputs=True
    every rank holds all inputs. Ranks whose inputs or settings differ are refused, and what one
    rank refuses, all of them do. A rank that dies ends
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
        statistics: what else to measure, by name: "mean" (`LayerStatistics.mean`: for ranking,
            never for a promise); "support" (which inputs set the maxima: ES-5, wait and judge; the
            rows of a layer must stand in the order of the inputs, batch first, which two more
            forward passes make sure of); "energy" (sums of a_j^2, for Wanda); "gradients"
            (`LayerStatistics.saliency`, |w dL/dw|, for SNIP; the calibration is then pairs of
            inputs and targets, held in memory and run forward and backward by every process); and
            what `register_statistic` made known.
        inputs: keep the inputs too (`Calibration.held_inputs`), for methods that run the model on
            them again.
        validation_every: set every k-th input aside from the maxima and keep its rows (CoreNet++).
        seed: seed of the row sample.
        loss: (outputs, targets) -> the batch's mean loss; default cross-entropy for integer targets
            and mean squared error for floating ones.
        progress: called with (inputs done, 0, "calibrate" or "gradients").
        support: deprecated, statistics={"support"}.
        mean: deprecated, statistics={"mean"}.
        norms: deprecated, statistics={"energy"}.
        gradients: deprecated, statistics={"gradients"}.

    Returns:
        The statistics; memory O(weights + points), whatever the stream, unless inputs=True.

    Raises:
        TypeError: inputs or activations that are no floating-point tensors.
        ValueError: an empty or inconsistent stream, activations that are not finite, a model that
            cannot be pruned, an argument out of range, or rows that are not in the order of the
            inputs where "support" is measured; of many processes the rank is named.
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
    old = {"support": support, "mean": mean, "norms": norms, "gradients": gradients}
    names = sorted({*checked_names(statistics), *_deprecated(old)})
    if isinstance(layers, Iterable) and not isinstance(layers, str | type):
        layers = list(layers)  # a one-shot iterator is read twice below
    prunable = prunable_layers(model, layers)
    held = buffer.HELD // len(prunable)
    watchers = [Watcher(layer, names, points, seed * 2, held) for layer in prunable]
    group = processes()
    if group is not None:
        group.agree(
            {
                "model": fingerprint(model),
                "choice of layers": [w.layer.name for w in watchers],
                "forward_size": forward_size,
                "(points, statistics, validation_every, seed)": (
                    points, names, validation_every, seed,
                ),
            }
        )  # fmt: skip
    stream = _Stream(model, watchers, forward_size, validation_every, group, inputs)
    with _together(group, stream):
        labels = any(watcher.gradients for watcher in watchers)
        pairs = labelled(calibration) if labels else None
        with _watching(watchers, stream), evaluating(model):
            stream.run(calibration if pairs is None else pairs, batch_size, progress)
        if pairs is not None:
            of = [(watcher.layer, watcher.gradients) for watcher in watchers]
            add_gradients(model, of, pairs, forward_size, loss, progress)
    if group is not None:
        stream.merge(group)
    with _together(group, stream):
        measured = tuple(watcher.finish() for watcher in watchers)
    return Calibration(
        layers=measured,
        inputs=stream.inputs,
        distinct=len(stream.digests),
        digests=frozenset(stream.digests),
        original=fingerprint(model),
        points=points,
        validation={w.layer.name: w.aside.value()[0] for w in watchers if w.aside.seen},
        left_whole=other_matrices(model, layers),
        statistics=frozenset(names),
        held_inputs=torch.cat(stream.held) if inputs else None,
    )


@contextmanager
def _together(group: Processes | None, stream: _Stream) -> Iterator[None]:
    """What one process refuses inside the block, all refuse at its end."""
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        if group is None:
            raise
        failure = error
    if group is not None:
        group.settle(failure, stream.batch)


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


class Watcher:
    """Statistics of one layer while the stream runs."""

    def __init__(
        self, layer: PrunableLayer, names: Sequence[str] = (), points: int = 0, seed: int = 0,
        held: int = buffer.HELD,
    ) -> None:  # fmt: skip
        self.layer, self.measured = layer, MeasuredLayer(layer, held)
        self.sample, self.aside = Sample(points, seed), Sample(points, seed + 1)
        chosen = [STATISTICS[name]() for name in names]
        # The maxima come last, as the kernel writes over the denominators.
        self.statistics = [self.sample, InputPeak(), Cancellation(), *chosen, Shares()]
        for statistic in (*self.statistics, self.aside):
            statistic.start(self.measured)
        self.gradients = [each for each in chosen if each.gradients]
        self.ordered = any(each.ordered for each in chosen)
        self.set_aside, self.first_input, self.batch, self.calls = False, 0, 1, 0
        self.batch_index = 0

    def see(self, given: Tensor) -> None:
        """Take in what one call of the layer received."""
        if not given.is_floating_point():
            raise TypeError(
                f"layer {self.layer.name!r} received {given.dtype} activations; give the model "
                "floating-point inputs"
            )
        self.calls += 1
        # The tiles are converted one by one, so that no copy of the whole input is made.
        given, first = given.detach(), 0
        per_input = max(1, row_count(self.layer, given) // max(1, self.batch))
        # Settled for the whole call, so that no count depends on where a tile ends.
        signed, wide = self._range(given)
        for tile in tiles(self.layer, given):
            if tile.shape[1] == 0:  # an expert that no token was sent to
                continue
            self._add(
                Rows(
                    self.measured, tile.to(self.measured.weight.dtype), signed, wide,
                    self.batch_index, (first, per_input, self.first_input),
                )
            )  # fmt: skip
            first += tile.shape[1]

    def _add(self, rows: Rows) -> None:
        with full_precision(rows.values.device):
            for statistic in [self.aside] if self.set_aside else self.statistics:
                statistic.add(rows)

    def _range(self, given: Tensor) -> tuple[bool, bool]:
        """Whether some value is negative, and whether the rows need float64; else refuse."""
        if given.numel() == 0:
            return False, False
        low, high = (float(end) for end in given.aminmax())
        limit = torch.finfo(self.measured.weight.dtype).max
        if not (-limit <= low <= high <= limit):
            self._refuse_nonfinite(given)
            return bool((given < 0).any()), True  # where no patch reads what is not finite
        return low < 0, extreme(given, max(-low, high))

    def _refuse_nonfinite(self, given: Tensor) -> None:
        first = 0
        for tile in tiles(self.layer, given):
            block = tile.to(self.measured.weight.dtype)
            bad = ~torch.isfinite(block)
            if bad.any():
                group, row, column = (int(i) for i in bad.nonzero()[0])
                value = block[group, row, column].item()
                raise ValueError(
                    f"layer {self.layer.name!r} received an activation that is not finite: {value} "
                    f"at row {first + row}, input {column} of its batch (inputs from "
                    f"{self.first_input} on)"
                )
            first += block.shape[1]

    def close(self) -> None:
        """End a batch."""
        for statistic in self.statistics:
            statistic.close()

    def merge(self, group: Processes) -> None:
        """Join what all processes have seen; each of them then holds the same bits."""
        self.calls = group.count(self.calls)
        for statistic in (*self.statistics, self.aside):
            statistic.merge(group)

    def finish(self) -> LayerStatistics:
        """Turn the running statistics into their values."""
        if self.calls == 0:
            raise ValueError(
                f"layer {self.layer.name!r} was never called in a forward pass; leave it out with "
                "layers=[...]"
            )
        fields: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for statistic in self.statistics:
            value, names = statistic.value(), statistic.attributes
            if not names:
                values[statistic.name] = value
            else:
                fields |= zip(names, [value] if len(names) == 1 else value, strict=True)
        return LayerStatistics(layer=self.layer, values=values, **fields)


class _Stream:
    """One pass over the inputs; with many processes, over this one's share of the batches."""

    def __init__(
        self, model: nn.Module, watchers: list[Watcher], size: int | None, aside_every: int,
        group: Processes | None, hold: bool,
    ) -> None:  # fmt: skip
        self.model, self.watchers, self.group = model, watchers, group
        self.ordered = any(watcher.ordered for watcher in watchers)
        # Until it is known that rows stand in the order of the inputs, where that matters.
        self.untried, self.trying = self.ordered, False
        self.size, self.aside_every = size, aside_every
        self.hold, self.held = hold, list[Tensor]()
        self.inputs, self.batch = 0, 0
        self.digests: set[bytes] = set()
        # The first input of every batch, to notice ranks that were not given the same stream.
        self.marks = hashlib.blake2b(digest_size=16)

    def run(self, calibration: Inputs, report: int, progress: Progress | None) -> None:
        reported = 0
        device = model_device(self.model)
        for batch in batches(calibration, self.size):
            if self.hold:
                self.held.append(batch.clone())  # the model may write to its input
            if self.group is not None:
                self.marks.update(digests(batch[:1])[0])
            if self.group is None or self.group.mine(self.batch):
                # Fingerprints first: the model may write to its input.
                self.digests.update(digests(batch))
                self._measure(batch, device)
            self.inputs += len(batch)
            self.batch += 1
            if progress is not None and self.inputs - reported >= report:
                reported = self.inputs
                progress(reported, 0, "calibrate")
        if progress is not None and reported < self.inputs:
            progress(self.inputs, 0, "calibrate")

    def see(self, watcher: Watcher, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Hand on what one call of a layer received."""
        if self.trying:
            return
        given = inputs[0] if inputs else named.get("input")
        if not isinstance(given, Tensor):
            raise TypeError(f"layer {watcher.layer.name!r} was called without a tensor")
        watcher.see(given)
        if self.ordered:
            origins.refuse_uneven(watcher.layer, given, watcher.batch)

    def _measure(self, batch: Tensor, device: torch.device) -> None:
        if self.untried:
            self.trying = True
            layers = [watcher.layer for watcher in self.watchers]
            self.untried = not origins.refuse_mixed(self.model, layers, batch.to(device))
            self.trying = False
        for part, aside in _split(batch, self.inputs, self.aside_every):
            for watcher in self.watchers:
                watcher.set_aside, watcher.batch = aside, part.shape[0]
                watcher.first_input, watcher.batch_index = self.inputs, self.batch
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

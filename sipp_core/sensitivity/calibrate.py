"""Calibrate: stream inputs through the user's model once and keep statistics of every layer.

The model is run in eval mode without gradients, watched by hooks, and left exactly as it was. In
a process group of torch.distributed the batches are shared out and the statistics joined.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from sipp_core.network.layers import other_matrices, prunable_layers
from sipp_core.network.selection import LayerChoice
from sipp_core.runtime.arguments import whole
from sipp_core.runtime.batch import Given
from sipp_core.runtime.execution import Progress, uncompiled
from sipp_core.runtime.inputs import Inputs, held_pairs, whole_stream
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.outputs import Output
from sipp_core.runtime.padding import Mask
from sipp_core.runtime.processes import processes
from sipp_core.runtime.provenance import fingerprint
from sipp_core.sensitivity import buffer
from sipp_core.sensitivity.gradients import Loss, add_gradients
from sipp_core.sensitivity.operands import Space
from sipp_core.sensitivity.statistics import LayerStatistics, checked_names
from sipp_core.sensitivity.stream import Stream, Watcher, refuse_uncalled


@dataclass(frozen=True, eq=False)
class Calibration:
    """Statistics of all layers, and what the inputs were.

    Attributes:
        layers: one entry a prunable layer, in the model's order.
        inputs: number of inputs seen (|S|).
        distinct: number of distinct inputs among them.
        digests: fingerprints of the inputs, to refuse them as held-out ones.
        original: fingerprint of the network that was measured.
        points: activation rows kept per layer, at most.
        left_whole: matrices of modules of the user's own, which are no layer of a known kind.
        statistics: names of what was measured beside what always is.
        held_inputs: the inputs (n, ...) in the order seen, each process all of them, on the device
            that they came on; None unless calibrate(inputs=True) kept them.
        mask: which positions of the inputs were measured; None for all.
        forward_size: inputs a forward pass; None where the inputs decide.
        validation: statistics-free activation rows of the inputs set aside (CoreNet++'s T), per
            layer name; empty when none were.
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
    held_inputs: Given | None = None
    mask: Mask = None
    forward_size: int | None = None


# Of the flags that `statistics` replaces, the names that they stand for.
FLAGS = {"support": "support", "mean": "mean", "norms": "energy", "gradients": "gradients"}


def _deprecated(flags: Mapping[str, bool]) -> list[str]:
    """Names of the statistics that flags of the old spelling ask for, with a warning for each."""
    given = [flag for flag, on in flags.items() if on]
    for flag in given:
        new = f"statistics={{{FLAGS[flag]!r}}}"
        message = f"calibrate({flag}=True) is deprecated; write {new}"
        warnings.warn(message, DeprecationWarning, stacklevel=4)
    return [FLAGS[flag] for flag in given]


@isolated
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
    output: Output = None,
    mask: Mask = None,
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
    sums without rounding (`exact_sum`), sampled rows by seeds of their own, and with inputs=True
    every rank holds all inputs. Ranks whose inputs or settings differ are refused, and what one
    rank refuses, all of them do. A rank that dies ends
    the call on the others at once with gloo; one that hangs, after the group's timeout.

    Threads: torchrun gives each process one, where one process alone takes all cores. A product
    split among threads may round otherwise: between 1 and 2 threads LeNet-5's means differ by up to
    6e-7 of themselves, its sensitivities not at all. OMP_NUM_THREADS sets them alike.

    Args:
        model: any nn.Module with Linear or Conv layers; left as found.
        calibration: a tensor (n, ...), a dict of forward's arguments by name, or an iterable of
            batches: tensors, dicts, (input, target) pairs or `Batch`. What can be read in two ways
            is refused.
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
        output: what counts of the model's answer where that is no tensor: a name, a position, or a
            function that makes one tensor (n, ...) of it.
        mask: which positions of token inputs are measured: the name of a tensor (n, positions) of
            the batch, such as "attention_mask", or a function of the batch that makes one. It
            leaves rows of dense layers out.
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
        >>> import torch
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
    if mask is not None and "support" in names:
        raise ValueError(
            "'support' counts inputs by their rows, which mask= makes uneven; leave one of them out"
        )
    if isinstance(layers, Iterable) and not isinstance(layers, str | type):
        layers = list(layers)  # a one-shot iterator is read twice below
    model = uncompiled(model)
    prunable = prunable_layers(model, layers)
    held, space = buffer.HELD // len(prunable), Space()
    watchers = [Watcher(layer, names, points, seed * 2, held, space) for layer in prunable]
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
    stream = Stream(model, watchers, forward_size, validation_every, group, inputs, output, mask)
    with stream.together():
        pairs = held_pairs(calibration) if any(w.gradients for w in watchers) else None
        stream.run(calibration if pairs is None else pairs, batch_size, progress)
        if pairs is not None:
            of = [(watcher.layer, watcher.gradients) for watcher in watchers]
            add_gradients(model, of, pairs, forward_size, loss, output, progress)
    if group is not None:
        stream.merge(group)
    with stream.together():
        refuse_uncalled(watchers)
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
        held_inputs=whole_stream(stream.held) if inputs else None,
        mask=mask,
        forward_size=forward_size,
    )

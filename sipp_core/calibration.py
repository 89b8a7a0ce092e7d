"""Calibrate: stream inputs through the user's model once and keep statistics of every layer.

The model is run in eval mode without gradients, watched by hooks, and left exactly as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sipp_core._arguments import whole
from sipp_core.fingerprints import fingerprint
from sipp_core.layers import LayerChoice, prunable_layers
from sipp_core.running import Progress, evaluating, forward, model_device
from sipp_core.statistics import LayerStatistics, Watcher
from sipp_core.streams import Inputs, batches, digests


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


def calibrate(
    model: nn.Module,
    calibration: Inputs,
    *,
    layers: LayerChoice = None,
    batch_size: int = 256,
    points: int = 0,
    support: bool = False,
    validation_every: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Measure the empirical sensitivities of all layers over a stream of inputs.

    s_ij = max over inputs (and patches) of |w_ij| a_j/z_i^s, as in `empirical_sensitivity`; bit for
    bit the same for any batch size of the stream, which is re-cut to batches of one fixed size.

    Args:
        model: any nn.Module with Linear or Conv layers; left as found.
        calibration: a tensor (n, ...), or an iterable of batches or (input, target) pairs.
        layers: names, globs or a predicate to choose layers; None takes all.
        batch_size: inputs a forward pass, >= 1; part of the result's definition.
        points: activation rows to keep per layer for instance-exact bounds, >= 0; a uniform sample
            where there are more.
        support: track which inputs set the maxima (ES-5, wait and judge).
        validation_every: set every k-th input aside from the maxima and keep its rows (CoreNet++).
        seed: seed of the row sample.
        progress: called with (inputs done, 0, "calibrate").

    Returns:
        The statistics; memory O(weights + points), whatever the stream.

    Raises:
        TypeError: inputs or activations that are no floating-point tensors.
        ValueError: an empty or inconsistent stream, activations that are not finite, a model that
            cannot be pruned, an argument out of range.

    Claim: ES-1. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422.

    Example:
        >>> stats = calibrate(nn.Sequential(nn.Linear(2, 3)), torch.ones(4, 2))
        >>> (stats.inputs, stats.distinct, tuple(stats.layers[0].sensitivity.shape))
        (4, 1, (3, 2))
    """
    batch_size, points = whole("batch_size", batch_size, 1), whole("points", points, 0)
    seed = whole("seed", seed, 0)
    if validation_every < 0 or validation_every == 1:
        raise ValueError(f"validation_every must be 0 or at least 2; found {validation_every}")
    watchers = [
        Watcher(layer, points, support, seed * 2) for layer in prunable_layers(model, layers)
    ]
    device = model_device(model)
    seen: list[bytes] = []
    handles = [
        w.layer.module.register_forward_pre_hook(
            lambda module, inputs, named, w=w: w.see(inputs, named), with_kwargs=True
        )
        for w in watchers
    ]
    try:
        with evaluating(model):
            for batch in batches(calibration, batch_size):
                fingerprints = digests(batch)
                for part, aside in _split(batch, len(seen), validation_every):
                    for watcher in watchers:
                        watcher.set_aside, watcher.batch = aside, part.shape[0]
                        watcher.first_input = len(seen)
                    forward(model, part.to(device), "calibration")
                seen += fingerprints
                if progress is not None:
                    progress(len(seen), 0, "calibrate")
    finally:
        for handle in handles:
            handle.remove()
    distinct = frozenset(seen)
    return Calibration(
        layers=tuple(w.finish() for w in watchers),
        inputs=len(seen),
        distinct=len(distinct),
        digests=distinct,
        original=fingerprint(model),
        points=points,
        validation={w.layer.name: w.aside.rows(w.peak) for w in watchers if w.aside.seen},
    )


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

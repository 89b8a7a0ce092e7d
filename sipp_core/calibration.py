"""Calibrate: stream inputs through the user's model once and keep statistics of every layer.

The model is run in eval mode without gradients, watched by hooks, and left exactly as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core import kernel
from sipp_core.layers import LayerChoice, PrunableLayer, prunable_layers, rows
from sipp_core.sensitivity import working_dtype
from sipp_core.streams import Inputs, batches, digests

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What calibration learnt of one layer; all tensors live on the layer's device.

    Attributes:
        layer: the layer, with the user's own module.
        sensitivity: (out, fan_in) max of g over the rows, in [0, 1].
        mean: (out, fan_in) mean of g over the rows.
        rms: (out, fan_in) root mean square of g over the rows.
        live: (2, out) int64, rows with z^s > 0, positive sign first.
        rows: non-negative rows seen (a signed row counts twice).
        input_peak: (groups, fan_in) largest |a_j| seen, to find inputs that never fire.
        cancellation: (out,) mean of Delta_i = max(1, z~/|z + b|) over the rows (+inf where a
            pre-activation is 0); the exact bias moves the denominator.
        support: (2, out) distinct inputs that set some maximum (ES-5's k), or None if not tracked.
        support_total: distinct inputs that set some maximum of the layer, or None.
        points: (groups, n, fan_in) float64 activation rows kept for instance-exact bounds, on the
            CPU; signed rows are split in two. Empty when none were asked for.
        complete: whether `points` holds every row seen.

    Claim: none (plumbing).
    """

    layer: PrunableLayer
    sensitivity: Tensor
    mean: Tensor
    rms: Tensor
    live: Tensor
    rows: int
    input_peak: Tensor
    cancellation: Tensor
    support: Tensor | None
    support_total: int | None
    points: Tensor
    complete: bool

    @property
    def name(self) -> str:
        """Qualified name of the layer in the model."""
        return self.layer.name


@dataclass(frozen=True, eq=False)
class Calibration:
    """Statistics of all layers, and what the inputs were.

    Attributes:
        layers: one entry a prunable layer, in the model's order.
        inputs: number of inputs seen (|S|).
        distinct: number of distinct inputs among them.
        digests: fingerprints of the inputs, to refuse them as held-out ones.
        validation: statistics-free activation rows of the inputs set aside (CoreNet++'s T), per
            layer name; empty when none were.

    Claim: none (plumbing).
    """

    layers: tuple[LayerStatistics, ...]
    inputs: int
    distinct: int
    digests: frozenset[bytes]
    validation: dict[str, Tensor]


class _Reservoir:
    """A uniform sample of rows, whatever the batches: those of least random priority."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seen = size, 0
        self._random = np.random.Generator(np.random.Philox(seed))
        self._priority = np.empty(0)
        self._rows: list[Tensor] = []

    def add(self, block: Tensor) -> None:
        """Offer rows (groups, n, fan_in)."""
        n = block.shape[1]
        self.seen += n
        if self.size == 0:
            return
        priority = self._random.random(n)
        self._priority = np.concatenate([self._priority, priority])
        self._rows.append(block.detach().cpu())
        if self._priority.size > self.size:
            kept = np.sort(np.argsort(self._priority, kind="stable")[: self.size])
            self._rows = [torch.cat(self._rows, dim=1)[:, torch.from_numpy(kept)]]
            self._priority = self._priority[kept]

    def rows(self, like: Tensor) -> Tensor:
        """All rows kept, float64, signed rows split in two non-negative ones."""
        if not self._rows:
            return torch.zeros((like.shape[0], 0, like.shape[1]), dtype=torch.float64)
        joined = torch.cat(self._rows, dim=1).double()
        if not bool((joined < 0).any()):
            return joined
        return torch.cat([joined.clamp(min=0), (-joined).clamp(min=0)], dim=1)


class _Watcher:
    """Statistics of one layer while the stream runs."""

    def __init__(self, layer: PrunableLayer, points: int, support: bool, seed: int) -> None:
        self.layer = layer
        dtype = working_dtype(layer.weight.dtype)
        self.weight = layer.weight.to(dtype)
        self.blocks = self.weight.chunk(layer.groups)
        bias = layer.module.bias
        bias = (
            bias.detach().to(dtype)
            if isinstance(bias, Tensor)
            else self.weight.new_zeros(len(self.weight))
        )
        self.biases = bias.chunk(layer.groups)
        self.accumulators = [kernel.new_accumulator(w, support) for w in self.blocks]
        out, fan_in = self.weight.shape
        self.peak = torch.zeros(layer.groups, fan_in, dtype=dtype, device=self.weight.device)
        self.cancellation = torch.zeros(out, dtype=torch.float64, device=self.weight.device)
        self.plain_rows = 0
        self.sample = _Reservoir(points, seed)
        self.aside = _Reservoir(points, seed + 1)
        self.set_aside, self.first_input, self.batch, self.calls = False, 0, 0, 0

    def see(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        given = inputs[0] if inputs else named.get("input")
        if not isinstance(given, Tensor):
            raise TypeError(f"layer {self.layer.name!r} was called without a tensor")
        if not given.is_floating_point():
            raise TypeError(
                f"layer {self.layer.name!r} received {given.dtype} activations; give the model "
                "floating-point inputs"
            )
        self.calls += 1
        block = rows(self.layer, given.detach().to(self.weight.dtype))
        bad = ~torch.isfinite(block)
        if bad.any():
            group, row, column = (int(i) for i in bad.nonzero()[0])
            value = block[group, row, column].item()
            raise ValueError(
                f"layer {self.layer.name!r} received an activation that is not finite: {value} at "
                f"row {row}, input {column} of its batch (inputs from {self.first_input} on)"
            )
        if self.set_aside:
            self.aside.add(block)
            return
        self._count(block)

    def _count(self, block: Tensor) -> None:
        n = block.shape[1]
        origin = None
        if self.accumulators[0].argmax is not None:
            per_input = max(1, n // max(1, self.batch))
            origin = torch.arange(n, device=block.device) // per_input + self.first_input
        for index, (acc, weight) in enumerate(zip(self.accumulators, self.blocks, strict=True)):
            kernel.update(acc, weight, block[index], origin)
        self.peak = torch.maximum(self.peak, block.abs().amax(dim=1))
        self.plain_rows += n
        deltas = [
            _cancellation(weight, bias, block[index])
            for index, (weight, bias) in enumerate(zip(self.blocks, self.biases, strict=True))
        ]
        self.cancellation += torch.cat(deltas)
        self.sample.add(block)

    def finish(self) -> LayerStatistics:
        if self.calls == 0:
            raise ValueError(
                f"layer {self.layer.name!r} was never called in a forward pass; leave it out with "
                "layers=[...]"
            )
        join = lambda field: torch.cat([getattr(a, field) for a in self.accumulators])  # noqa: E731
        count = max(1, self.accumulators[0].rows)
        argmax = None
        if self.accumulators[0].argmax is not None:
            argmax = join("argmax")
        points = self.sample.rows(self.peak)
        return LayerStatistics(
            layer=self.layer,
            sensitivity=join("maximum"),
            mean=join("total") / count,
            rms=(join("square") / count).sqrt(),
            live=torch.cat([a.live for a in self.accumulators], dim=1),
            rows=self.accumulators[0].rows,
            input_peak=self.peak,
            cancellation=self.cancellation / max(1, self.plain_rows),
            support=None if argmax is None else _support(self.weight, argmax),
            support_total=None if argmax is None else int(argmax[argmax >= 0].unique().numel()),
            points=points,
            complete=self.sample.seen <= self.sample.size,
        )


def _cancellation(weight: Tensor, bias: Tensor, block: Tensor) -> Tensor:
    """Compute the sum over rows of Delta_i = |w_i|.|a| / |w_i.a + b|, 1 where nothing flows."""
    signed = (block @ weight.T + bias).abs().double()
    total = (block.abs() @ weight.abs().T).double()
    ratio = torch.where(total > 0, total / signed, torch.ones_like(total))
    return ratio.clamp(min=1).sum(dim=0)


def _support(weight: Tensor, argmax: Tensor) -> Tensor:
    """Count, per sign and neuron, the distinct inputs that set some maximum."""
    counts = torch.zeros((2, weight.shape[0]), dtype=torch.int64, device=weight.device)
    for sign, here in enumerate((weight > 0, weight < 0)):
        ranked = torch.where(here, argmax, -1).sort(dim=1).values
        fresh = torch.ones_like(ranked, dtype=torch.bool)
        fresh[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
        counts[sign] = (fresh & (ranked >= 0)).sum(dim=1)
    return counts


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a block with the model in eval mode and without gradients; restore every flag after.

    Args:
        model: the module; each submodule's own training flag is put back as it was.

    Returns:
        A context manager.

    Claim: none (plumbing).

    Example:
        >>> net = nn.Sequential(nn.Dropout())
        >>> with evaluating(net):
        ...     net.training
        False
        >>> net.training
        True
    """
    flags = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags:
            module.training = flag


def model_device(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter or buffer, the CPU if it has none.

    Args:
        model: the module.

    Returns:
        The device its inputs must be on.

    Claim: none (plumbing).

    Example:
        >>> model_device(nn.Linear(1, 1))
        device(type='cpu')
    """
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


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
    for name, value, least in (("batch_size", batch_size, 1), ("points", points, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}; found {value}")
    if validation_every < 0 or validation_every == 1:
        raise ValueError(f"validation_every must be 0 or at least 2; found {validation_every}")
    watchers = [
        _Watcher(layer, points, support, seed * 2) for layer in prunable_layers(model, layers)
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
                    model(part.to(device))
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

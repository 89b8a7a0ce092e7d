"""Statistics of one layer while a stream of inputs runs past its hook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sipp_core import kernel
from sipp_core.layers import PrunableLayer, rows
from sipp_core.sensitivity import working_dtype


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


class Reservoir:
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


class Watcher:
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
        self.sample = Reservoir(points, seed)
        self.aside = Reservoir(points, seed + 1)
        self.set_aside, self.first_input, self.batch, self.calls = False, 0, 0, 0

    def see(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Take in what one call of the layer received (a forward pre-hook with keywords)."""
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
        """Turn the running sums into statistics."""
        if self.calls == 0:
            raise ValueError(
                f"layer {self.layer.name!r} was never called in a forward pass; leave it out with "
                "layers=[...]"
            )

        def join(field: str) -> Tensor:
            return torch.cat([getattr(a, field) for a in self.accumulators])

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

"""Statistics of one layer while a stream of inputs runs past its hook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sipp_core.network.layers import PrunableLayer
from sipp_core.network.patches import row_count, tiles
from sipp_core.runtime import exact_sum
from sipp_core.runtime.execution import full_precision
from sipp_core.runtime.processes import Processes
from sipp_core.sensitivity import kernel
from sipp_core.sensitivity.buffer import HELD, Waiting
from sipp_core.sensitivity.empirical import working_dtype
from sipp_core.sensitivity.operands import extreme, halves, matrix
from sipp_core.sensitivity.rows import Reservoir


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What calibration learnt of one layer; all tensors live on the layer's device.

    Attributes:
        layer: the layer, with the user's own module.
        sensitivity: (out, fan_in) max of g over the rows, in [0, 1].
        mean: (out, fan_in) mean of g over the rows, for ranking only; None unless asked for.
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
        energy: (groups, fan_in) float64 sum of a_j^2 over the rows, or None if not asked for.
        saliency: (out, fan_in) float64 |w dL/dw| (see `sipp_core.saliency`), or None.

    Claim: none (plumbing).
    """

    layer: PrunableLayer
    sensitivity: Tensor
    mean: Tensor | None
    live: Tensor
    rows: int
    input_peak: Tensor
    cancellation: Tensor
    support: Tensor | None
    support_total: int | None
    points: Tensor
    complete: bool
    energy: Tensor | None = None
    saliency: Tensor | None = None

    @property
    def name(self) -> str:
        """Qualified name of the layer in the model."""
        return self.layer.name


class Watcher:
    """Statistics of one layer while the stream runs."""

    def __init__(
        self, layer: PrunableLayer, points: int, support: bool, seed: int, *,
        mean: bool = False, norms: bool = False, held: int = HELD,
    ) -> None:  # fmt: skip
        self.layer = layer
        dtype = working_dtype(layer.weight.dtype)
        self.weight = layer.weight.to(dtype)
        weights = self.weight.chunk(layer.groups)
        self.blocks = [matrix(w) for w in weights]
        bias = layer.module.bias
        bias = (
            bias.detach().to(dtype)
            if isinstance(bias, Tensor)
            else self.weight.new_zeros(len(self.weight))
        )
        self.biases = bias.chunk(layer.groups)
        self.accumulators = [kernel.new_accumulator(w, support, mean) for w in weights]
        self.waiting = [
            Waiting(acc, block, held // layer.groups)
            for acc, block in zip(self.accumulators, self.blocks, strict=True)
        ]
        out, fan_in = self.weight.shape
        self.peak = torch.zeros(layer.groups, fan_in, dtype=dtype, device=self.weight.device)
        self.totals = [exact_sum.ExactSum(w, exact_sum.SHARES) for w in weights] if mean else []
        # Of one batch; its rows run together wherever it runs, so it may round as it likes.
        self.batch_cancellation = self.weight.new_zeros(out, dtype=torch.float64)
        self.cancellation = exact_sum.ExactSum(self.batch_cancellation, exact_sum.RATIOS)
        self.batch_energy = torch.zeros_like(self.peak, dtype=torch.float64)
        self.energy = exact_sum.ExactSum(self.peak, exact_sum.SQUARES) if norms else None
        self.plain_rows = 0
        self.sample = Reservoir(points, seed)
        self.aside = Reservoir(points, seed + 1)
        self.set_aside, self.first_input, self.batch, self.calls = False, 0, 0, 0

    def open(self, batch: int) -> None:
        """Begin the batch of that index."""
        self.sample.open(batch)
        self.aside.open(batch)

    def close(self) -> None:
        """Add the finished batch's sums to those of all batches, in a way that no order changes."""
        for acc, total in zip(self.accumulators, self.totals, strict=False):
            assert acc.total is not None
            total.add(acc.total)
            acc.total.zero_()
        self.cancellation.add(self.batch_cancellation)
        self.batch_cancellation.zero_()
        if self.energy is not None:
            self.energy.add(self.batch_energy)
            self.batch_energy.zero_()

    def merge(self, group: Processes) -> None:
        """Join what all processes have seen; each of them then holds the same bits."""
        self._settle()
        self.calls, self.plain_rows = group.count(self.calls), group.count(self.plain_rows)
        self.peak = group.maximum(self.peak)
        for acc in self.accumulators:
            own = acc.maximum
            acc.maximum = group.maximum(own)
            if acc.argmax is not None:
                # The first input of the stream that sets the maximum, as in one process.
                none = torch.iinfo(torch.int64).max
                sets = (own == acc.maximum) & (acc.argmax >= 0)
                first = group.minimum(torch.where(sets, acc.argmax, none))
                acc.argmax = torch.where(first == none, -1, first)
            acc.live, acc.rows = group.total(acc.live), group.count(acc.rows)
        for each in (*self.totals, self.cancellation, self.energy):
            if each is not None:
                each.merge(group.total)
        self.sample.merge(group, self.peak)
        self.aside.merge(group, self.peak)

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
        # The tiles are converted one by one, so that no copy of the whole input is made.
        given, first = given.detach(), 0
        per_input = max(1, row_count(self.layer, given) // max(1, self.batch))
        # Settled for the whole call, so that no count depends on where a tile ends.
        signed, wide = self._range(given)
        for tile in tiles(self.layer, given):
            if tile.shape[1] == 0:  # an expert that no token was sent to
                continue
            block = tile.to(self.weight.dtype)
            if self.set_aside:
                self.aside.add(block)
            else:
                with full_precision(block.device):
                    self._count(block, first, per_input, signed, wide)
            first += block.shape[1]

    def _range(self, given: Tensor) -> tuple[bool, bool]:
        """Whether some value is negative, and whether the rows need float64; else refuse."""
        if given.numel() == 0:
            return False, False
        low, high = (float(end) for end in given.aminmax())
        limit = torch.finfo(self.weight.dtype).max
        if not (-limit <= low <= high <= limit):
            self._refuse_nonfinite(given)
            return bool((given < 0).any()), True  # where no patch reads what is not finite
        return low < 0, extreme(given, max(-low, high))

    def _refuse_nonfinite(self, given: Tensor) -> None:
        first = 0
        for tile in tiles(self.layer, given):
            block = tile.to(self.weight.dtype)
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

    def _count(self, block: Tensor, first: int, per_input: int, signed: bool, wide: bool) -> None:
        n = block.shape[1]
        origin = None
        if self.accumulators[0].argmax is not None:
            place = torch.arange(first, first + n, device=block.device)
            origin = place // per_input + self.first_input
        deltas = [
            self._fold(index, block[index], origin, signed, wide)
            for index in range(len(self.blocks))
        ]
        self.batch_cancellation += torch.cat(deltas)
        self.peak = torch.maximum(self.peak, (block.abs() if signed else block).amax(dim=1))
        if self.energy is not None:
            self.batch_energy += block.double().square().sum(dim=1)
        self.plain_rows += n
        self.sample.add(block)

    def _fold(
        self, index: int, rows: Tensor, origin: Tensor | None, signed: bool, wide: bool
    ) -> Tensor:
        """Fold the rows of one group; return the sums of its neurons' Delta_i."""
        block, bias, waiting = self.blocks[index], self.biases[index], self.waiting[index]
        parts = halves(rows, signed)
        if wide or block.extreme or block.weight.dtype == torch.float64:
            waiting.flush()
            for part in parts:
                kernel.update_extreme(self.accumulators[index], block, part, origin)
            return _cancellation(rows @ block.weight.T + bias, rows.abs() @ block.weight.abs().T)
        both = [kernel.denominators(block, part) for part in parts]
        net, total = both[0][0] - both[0][1], both[0][0] + both[0][1]
        if signed:
            net, total = net - both[1][0] + both[1][1], total + both[1][0] + both[1][1]
        delta = _cancellation(net.add_(bias), total)
        for part, z in zip(parts, both, strict=True):
            waiting.add(part, z, origin)
        return delta

    def _settle(self) -> None:
        for waiting in self.waiting:
            waiting.close()

    def finish(self) -> LayerStatistics:
        """Turn the running sums into statistics."""
        if self.calls == 0:
            raise ValueError(
                f"layer {self.layer.name!r} was never called in a forward pass; leave it out with "
                "layers=[...]"
            )

        self._settle()

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
            mean=self._mean(count) if self.totals else None,
            live=torch.cat([a.live for a in self.accumulators], dim=1),
            rows=self.accumulators[0].rows,
            input_peak=self.peak,
            cancellation=self.cancellation.value() / max(1, self.plain_rows),
            support=None if argmax is None else _support(self.weight, argmax),
            support_total=None if argmax is None else int(argmax[argmax >= 0].unique().numel()),
            points=points,
            complete=self.sample.seen <= self.sample.size,
            energy=None if self.energy is None else self.energy.value(),
        )

    def _mean(self, count: int) -> Tensor:
        return (torch.cat([s.value() for s in self.totals]) / count).to(self.weight.dtype)


def _cancellation(signed: Tensor, total: Tensor) -> Tensor:
    """Compute the sum over rows of Delta_i = |w_i|.|a| / |w_i.a + b|, 1 where nothing flows."""
    net = signed.abs()
    # 0/0 is NaN: nothing flows.
    ratio = torch.maximum(total, net).div_(net).nan_to_num_(nan=1.0, posinf=torch.inf)
    return ratio.sum(dim=0, dtype=torch.float64)


def _support(weight: Tensor, argmax: Tensor) -> Tensor:
    """Count, per sign and neuron, the distinct inputs that set some maximum."""
    counts = torch.zeros((2, weight.shape[0]), dtype=torch.int64, device=weight.device)
    for sign, here in enumerate((weight > 0, weight < 0)):
        ranked = torch.where(here, argmax, -1).sort(dim=1).values
        fresh = torch.ones_like(ranked, dtype=torch.bool)
        fresh[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
        counts[sign] = (fresh & (ranked >= 0)).sum(dim=1)
    return counts

"""The statistics that come with calibration: of shares, of the sizes of inputs, sampled rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sipp_core.runtime import exact_sum
from sipp_core.runtime.processes import Processes
from sipp_core.sensitivity import kernel, kernel_cpu
from sipp_core.sensitivity.operands import halves, normalised
from sipp_core.sensitivity.statistics import MeasuredLayer, Rows, Statistic, register_statistic


class Shares(Statistic):
    """ES-1's maxima; the last of a list, as the kernel writes over the denominators."""

    name = "shares"
    attributes = ("sensitivity", "live", "rows")

    def start(self, layer: MeasuredLayer) -> None:
        self.layer = layer

    def add(self, rows: Rows) -> None:
        for k, acc in enumerate(self.layer.accumulators):
            block, waiting, z = self.layer.blocks[k], self.layer.waiting[k], rows.denominators[k]
            inputs = None if acc.argmax is None else rows.inputs
            if z is None:
                waiting.flush()
                for part in rows.parts[k]:
                    kernel.update_extreme(acc, block, part, inputs)
            else:
                laid = None if rows.packed is None else rows.packed.parts(rows.signed)
                panels = [None] * len(z) if laid is None else laid[k]
                for part, each, laid_out in zip(rows.parts[k], z, panels, strict=True):
                    waiting.add(part, each, inputs, laid_out)

    def merge(self, group: Processes) -> None:
        self.layer.settle()
        for acc in self.layer.accumulators:
            own = acc.maximum
            acc.maximum = group.maximum(own)
            if acc.argmax is not None:
                # The first input of the stream that sets the maximum, as in one process.
                none = torch.iinfo(torch.int64).max
                sets = (own == acc.maximum) & (acc.argmax >= 0)
                first = group.minimum(torch.where(sets, acc.argmax, none))
                acc.argmax = torch.where(first == none, -1, first)
            acc.live, acc.rows = group.total(acc.live), group.count(acc.rows)

    def value(self) -> tuple[Tensor, Tensor, int]:
        self.layer.settle()
        accumulators = self.layer.accumulators
        return (
            _maxima(self.layer),
            torch.cat([acc.live for acc in accumulators], dim=1),
            accumulators[0].rows,
        )


@register_statistic
class Mean(Statistic):
    """The mean shares, of the sums that the kernel forms beside the maxima."""

    name = "mean"
    attributes = ("mean",)

    def start(self, layer: MeasuredLayer) -> None:
        self.layer = layer
        for acc in layer.accumulators:
            acc.total = torch.zeros_like(acc.maximum)
        self.sums = [exact_sum.ExactSum(b.weight, exact_sum.SHARES) for b in layer.blocks]

    def close(self) -> None:
        for acc, total in zip(self.layer.accumulators, self.sums, strict=True):
            assert acc.total is not None
            total.add(acc.total)
            acc.total.zero_()

    def merge(self, group: Processes) -> None:
        for total in self.sums:
            total.merge(group.total)

    def value(self) -> Tensor:
        count = max(1, self.layer.accumulators[0].rows)
        sums = torch.cat([total.value() for total in self.sums])
        return (sums / count).to(self.layer.weight.dtype)


@register_statistic
class PatchMean(Statistic):
    """The mean share over the patches of an image, the largest of all images; halves by themselves.

    Where an image has a single row, it is the maximum itself, which `Shares` knows.
    """

    name = "patch-mean"
    attributes = ("patch_mean",)

    def start(self, layer: MeasuredLayer) -> None:
        self.layer, self.single = layer, True
        self.largest = torch.zeros_like(layer.weight)
        self._open: tuple[int, list[Tensor]] | None = None

    def add(self, rows: Rows) -> None:
        if rows.patches == 1:
            return
        self.single = False
        first, n = rows.origins[0], rows.values.shape[1]
        # Rows of one image may lie in two tiles; an image never lies in two calls.
        for image in range(first // rows.patches, (first + n - 1) // rows.patches + 1):
            start = max(image * rows.patches, first) - first
            stop = min((image + 1) * rows.patches, first + n) - first
            sums = [self._sums(rows, k, slice(start, stop)) for k in range(len(rows.parts))]
            halves = [torch.cat(each) for each in zip(*sums, strict=True)]
            if self._open is not None:
                halves = [a + b for a, b in zip(halves, self._open[1], strict=True)]
            self._open = rows.patches, halves
            if first + stop == (image + 1) * rows.patches:
                self.close()

    def _sums(self, rows: Rows, k: int, some: slice) -> list[Tensor]:
        """Sums over some rows of a group's shares, (out/groups, fan_in) each half, float64."""
        # ES-3: a row and a neuron may be scaled; float64 then holds whatever the dtype can.
        weight = normalised(rows.layer.blocks[k].weight.double())
        sums = []
        for part in rows.parts[k]:
            values = normalised(part[some].double())
            flows = [values @ half.T for half in halves(weight, signed=True)]
            shares = [torch.where(z > 0, 1 / z, 0.0).T @ values for z in flows]
            sums.append(weight.abs() * torch.where(weight > 0, shares[0], shares[1]))
        return sums

    def close(self) -> None:
        if self._open is None:
            return
        patches, halves = self._open
        for half in halves:
            mean = (half / patches).to(self.largest.dtype)
            self.largest = torch.maximum(self.largest, mean)
        self._open = None

    def merge(self, group: Processes) -> None:
        self.single = group.count(int(not self.single)) == 0
        self.largest = group.maximum(self.largest)

    def value(self) -> Tensor:
        if not self.single:
            return self.largest.clamp(max=1)
        self.layer.settle()
        return _maxima(self.layer)


def _maxima(layer: MeasuredLayer) -> Tensor:
    """The maxima of all groups, (out, fan_in); those of a single group are not copied."""
    first, *others = (acc.maximum for acc in layer.accumulators)
    return torch.cat([first, *others]) if others else first


class Patches(Statistic):
    """The most rows that an image of a convolution gave; 1 for a linear layer."""

    name = "patches"
    attributes = ("patches",)

    def start(self, layer: MeasuredLayer) -> None:
        self.most = 1

    def add(self, rows: Rows) -> None:
        self.most = max(self.most, rows.patches)

    def merge(self, group: Processes) -> None:
        self.most = int(group.maximum(torch.tensor(float(self.most))))

    def value(self) -> int:
        return self.most


@register_statistic
class Support(Statistic):
    """ES-5's support: which inputs set a maximum; the kernel tracks them, `Shares` joins them."""

    name = "support"
    attributes = ("support", "support_total")
    ordered = True

    def start(self, layer: MeasuredLayer) -> None:
        self.layer = layer
        for acc in layer.accumulators:
            acc.argmax = torch.full_like(acc.maximum, -1, dtype=torch.int64)

    def merge(self, group: Processes) -> None:
        pass

    def value(self) -> tuple[Tensor, int]:
        self.layer.settle()
        weight = self.layer.weight
        argmax = torch.cat([a.argmax for a in self.layer.accumulators if a.argmax is not None])
        counts = torch.zeros((2, weight.shape[0]), dtype=torch.int64, device=weight.device)
        for sign, here in enumerate((weight > 0, weight < 0)):
            ranked = torch.where(here, argmax, -1).sort(dim=1).values
            fresh = torch.ones_like(ranked, dtype=torch.bool)
            fresh[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
            counts[sign] = (fresh & (ranked >= 0)).sum(dim=1)
        return counts, int(argmax[argmax >= 0].unique().numel())


class Peaks(Statistic):
    """The largest a_j and the largest -a_j of every input, 0 where there is none above 0."""

    name = "peaks"
    attributes = ("peaks",)

    def start(self, layer: MeasuredLayer) -> None:
        self.peaks = torch.stack([layer.like_inputs()] * 2)

    def add(self, rows: Rows) -> None:
        if rows.values.device.type == "cpu":  # torch reduces narrow columns slowly
            for k, values in enumerate(rows.values):
                peaks = (each.numpy() for each in self.peaks[:, k])
                kernel_cpu.raise_peaks(values.contiguous().numpy(), rows.signed, *peaks)
            return
        ends = rows.packed
        self.peaks[0] = torch.maximum(self.peaks[0], ends.highs if ends else rows.values.amax(1))
        if rows.signed:
            lows = ends.lows if ends else rows.values.amin(dim=1)
            self.peaks[1] = torch.maximum(self.peaks[1], -lows)

    def merge(self, group: Processes) -> None:
        self.peaks = group.maximum(self.peaks)

    def value(self) -> Tensor:
        return self.peaks


class Summed(Statistic):
    """A sum over the rows, in which the order of the batches rounds nothing."""

    units: ClassVar[Sequence[int]]

    def begin(self, like: Tensor) -> None:
        """Begin with zeros of that shape."""
        self.batch = torch.zeros_like(like, dtype=torch.float64)
        self.sum = exact_sum.ExactSum(like, self.units)

    def close(self) -> None:
        self.sum.add(self.batch)
        self.batch.zero_()

    def merge(self, group: Processes) -> None:
        self.sum.merge(group.total)

    def value(self) -> Tensor:
        return self.sum.value()


@register_statistic
class Energy(Summed):
    """The sum of a_j^2 of every input, for Wanda."""

    name = "energy"
    attributes = ("energy",)
    units = exact_sum.SQUARES

    def start(self, layer: MeasuredLayer) -> None:
        self.begin(layer.like_inputs())

    def add(self, rows: Rows) -> None:
        self.batch += rows.values.double().square().sum(dim=1)


class Cancellation(Summed):
    """The mean of Delta_i = max(1, |w_i|.|a| / |w_i.a + b|), 1 where nothing flows (NW-3)."""

    name = "cancellation"
    attributes = ("cancellation",)
    units = exact_sum.RATIOS

    def start(self, layer: MeasuredLayer) -> None:
        self.begin(layer.weight.new_zeros(len(layer.weight)))
        self.rows = 0

    def add(self, rows: Rows) -> None:
        groups = range(len(rows.layer.blocks))
        self.batch += torch.cat([self._ratios(rows, k) for k in groups])
        self.rows += rows.values.shape[1]

    def _ratios(self, rows: Rows, k: int) -> Tensor:
        """Sum of Delta_i over the rows of a group."""
        weight, bias, z = rows.layer.blocks[k].weight, rows.layer.biases[k], rows.denominators[k]
        if z is not None and z[0].device.type == "cpu":
            return kernel_cpu.cancellations(z, bias).sum(dim=0, dtype=torch.float64)
        if z is None:
            values = rows.values[k]
            net, total = values @ weight.T + bias, values.abs() @ weight.abs().T
        else:
            net, total = z[0][0] - z[0][1], z[0][0] + z[0][1]
            if rows.signed:
                net, total = net - z[1][0] + z[1][1], total + z[1][0] + z[1][1]
            net = net.add_(bias)
        net = net.abs()
        # 0/0 is NaN: nothing flows.
        ratio = torch.maximum(total, net).div_(net).nan_to_num_(nan=1.0, posinf=torch.inf)
        return ratio.sum(dim=0, dtype=torch.float64)

    def merge(self, group: Processes) -> None:
        super().merge(group)
        self.rows = group.count(self.rows)

    def value(self) -> Tensor:
        return super().value() / max(1, self.rows)


class Sample(Statistic):
    """A uniform sample of the rows of all processes: those of least random priority.

    The priority of a row depends on the seed, its batch and its place there, so it is the same in
    whichever process the batch runs.
    """

    name = "points"
    attributes = ("points", "complete")

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seen, self._seed = size, 0, seed
        self._random: np.random.Generator | None = None
        self._batch = -1
        self._priority, self._batches = np.empty(0), np.empty(0, dtype=np.int64)

    def start(self, layer: MeasuredLayer) -> None:
        self._kept = [layer.like_inputs(0).cpu()]

    def add(self, rows: Rows) -> None:
        n = rows.values.shape[1]
        self.seen += n
        if self.size == 0:
            return
        if self._random is None or self._batch != rows.batch:
            seeds = np.random.SeedSequence((self._seed, rows.batch))
            self._batch, self._random = rows.batch, np.random.Generator(np.random.Philox(seeds))
        self._priority = np.concatenate([self._priority, self._random.random(n)])
        self._batches = np.concatenate([self._batches, np.full(n, self._batch)])
        held = self._priority.size - n
        kept = self._least(self._priority)
        # Only rows that stay leave the device; as copies, since the model may overwrite its own.
        fresh = torch.from_numpy(kept[kept >= held] - held)
        self._kept.append(rows.values.detach()[:, fresh.to(rows.values.device)].cpu())
        if len(kept) < held + n:
            stay = np.concatenate([kept[kept < held], held + np.arange(len(fresh))])
            self._kept = [torch.cat(self._kept, dim=1)[:, torch.from_numpy(stay)]]
            self._priority, self._batches = self._priority[kept], self._batches[kept]

    def _least(self, priority: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.sort(np.argsort(priority, kind="stable")[: self.size])

    def merge(self, group: Processes) -> None:
        self.seen = group.count(self.seen)
        if self.size == 0:
            return
        priorities = group.gather(torch.from_numpy(self._priority))
        batches = group.gather(torch.from_numpy(self._batches))
        owner = np.repeat(np.arange(group.size), [len(p) for p in priorities])
        place = np.concatenate([np.arange(len(p)) for p in priorities])
        priority, batch = torch.cat(priorities).numpy(), torch.cat(batches).numpy()
        # A batch is in one process only, so this is the order of the stream.
        order = np.argsort(batch, kind="stable")
        order = order[self._least(priority[order])]
        # Only rows that stay are sent.
        mine = place[order[owner[order] == group.rank]]
        own = torch.cat(self._kept, dim=1)[:, torch.from_numpy(mine)]
        sent = torch.cat(group.gather(own.movedim(1, 0).contiguous())).movedim(0, 1)
        back = np.argsort(np.argsort(owner[order], kind="stable"), kind="stable")
        self._kept = [sent[:, torch.from_numpy(back)]]
        self._priority, self._batches = priority[order], batch[order]

    def value(self) -> tuple[Tensor, bool]:
        """The rows, float64, signed ones split in two non-negative ones, and if they are all."""
        rows = torch.cat(self._kept, dim=1).double()
        if bool((rows < 0).any()):
            rows = torch.cat([rows.clamp(min=0), (-rows).clamp(min=0)], dim=1)
        return rows, self.seen <= self.size

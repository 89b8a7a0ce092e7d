"""PF: the sensitivity of channels, measured where the next layers consume them.

The share of a channel in one pre-activation (filter i, patch, sign) is the sum over its columns of
the weight matrix, kernel positions or pixels behind a flattening, of |w| a / z^s; z^s is what the
channels of its group bring to that pre-activation. s_c is the largest of these shares. A single
position's largest share, as PF-1 is printed, does not bound what removing a channel takes away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.filters.coupling import NOBODY, Labels
from sipp_core.network.layers import PrunableLayer
from sipp_core.network.patches import row_count, tiles
from sipp_core.runtime.arguments import refuse_nonfinite
from sipp_core.runtime.execution import Progress, forward, model_device, watching
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.provenance import digests
from sipp_core.sensitivity import kernel

# Float64 elements of one temporary (channels x rows x outputs): 32 MiB.
CHUNK = 2**22


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """What one layer's inputs say about the channels that it consumes.

    Attributes:
        sensitivity: (units,) float64 in [0, 1], the largest share of each.
        rows: most rows (patches, tokens) that one input gave the layer.
        signed: whether some activation was negative, so that a+ and a- count as two inputs.

    Claim: PF-2. Source: [PF] arXiv 1911.07412, the sum over positions [OWN].
    """

    sensitivity: np.ndarray
    rows: int
    signed: bool


@dataclass(frozen=True, eq=False)
class ChannelCalibration:
    """Statistics of all consumers, and what the inputs were.

    Attributes:
        statistics: by (name of the layer, number of the group).
        inputs: number of inputs seen.
        digests: fingerprints of the inputs.
    """

    statistics: dict[tuple[str, int], ChannelStatistics]
    inputs: int
    digests: frozenset[bytes]


def channel_sensitivity(weight: Tensor, activations: Tensor, owner: Labels) -> np.ndarray:
    """Largest share that each channel takes in any neuron's output over a batch, per sign.

    s_c = max over rows x, neurons i and signs s of sum_{j of c} |w_ij| a_j(x) / z_i^s(x), the sum
    and z over the weights of sign s and the columns that some channel owns. Activations of mixed
    sign count as two non-negative rows. Computed in float64.

    Args:
        weight: (out, in) float tensor, any sign, finite.
        activations: (n, in) float tensor, any sign, finite; one row an input or patch.
        owner: (in,) int64, the channel that each column belongs to, from 0 on; -1 for none.

    Returns:
        (channels,) float64 in [0, 1].

    Raises:
        ValueError: shapes that do not fit.

    Claim: PF-2. Source: [PF] arXiv 1911.07412, the sum over positions [OWN].

    Example:
        >>> w, a = torch.tensor([[1.0, 1.0, 2.0]]), torch.tensor([[1.0, 1.0, 1.0]])
        >>> channel_sensitivity(w, a, np.array([0, 0, 1])).tolist()
        [0.5, 0.5]
    """
    if activations.shape[-1] != weight.shape[1] or owner.shape != (weight.shape[1],):
        raise ValueError(
            f"weight {tuple(weight.shape)}, activations {tuple(activations.shape)} and owner "
            f"{owner.shape} do not fit: each needs one entry a column"
        )
    meter = _Meter(weight.detach(), owner, int(owner.max(initial=NOBODY)) + 1)
    meter.see(activations.detach())
    return meter.sensitivity()


class _Meter:
    """The running maximum of the shares of one layer's channels."""

    def __init__(self, weight: Tensor, owner: Labels, units: int) -> None:
        self.units = units
        order = np.argsort(owner, kind="stable")
        order = order[owner[order] != NOBODY]
        self.columns = torch.from_numpy(order).to(weight.device)
        self.weight = _scaled(weight.index_select(1, self.columns).double())
        self.maxima = self.weight.new_zeros(units)
        # Channels with equally many columns are multiplied together; those of one go to the kernel.
        self.blocks: list[tuple[Tensor, Tensor]] = []
        self.single: tuple[Tensor, Tensor, kernel.Accumulator] | None = None
        names, starts, counts = np.unique(owner[order], return_index=True, return_counts=True)
        for count in np.unique(counts):
            same = counts == count
            where = _on(starts[same][:, None] + np.arange(count), weight)
            if count > 1:
                self.blocks.append((_on(names[same], weight), where))
            else:
                of_one = kernel.new_accumulator(self.weight[:, where[:, 0]], support=False)
                self.single = (_on(names[same], weight), where[:, 0], of_one)

    def see(self, rows: Tensor) -> None:
        """Fold in rows of any sign."""
        a = _scaled(rows.index_select(1, self.columns).double())
        signed = bool((a < 0).any())
        sizes = [self.weight.clamp(min=0), (-self.weight).clamp(min=0)]
        for part in [a.clamp(min=0), (-a).clamp(min=0)] if signed else [a]:
            inverse = torch.stack([part @ size.T for size in sizes]).reciprocal_()
            inverse.masked_fill_(inverse.isinf(), 0.0)
            if self.single is not None:
                _, where, acc = self.single
                kernel.update_maxima(acc, self.weight[:, where], inverse, part[:, where], None)
            for size, reciprocal in zip(sizes, inverse, strict=True):
                self._fold(part, size, reciprocal)

    def _fold(self, part: Tensor, size: Tensor, inverse: Tensor) -> None:
        step = max(1, CHUNK // max(1, inverse.numel()))
        for names, columns in self.blocks:
            for some, where in zip(names.split(step), columns.split(step), strict=True):
                # (channels, rows, columns) @ (channels, columns, out)
                shares = part[:, where].permute(1, 0, 2) @ size[:, where].permute(1, 2, 0)
                best = shares.mul_(inverse).amax(dim=(1, 2)).clamp_(max=1)
                self.maxima[some] = torch.maximum(self.maxima[some], best)

    def sensitivity(self) -> np.ndarray:
        """The largest shares so far."""
        maxima = self.maxima.clone()
        if self.single is not None:
            names, _, acc = self.single
            maxima[names] = acc.maximum.amax(dim=0)
        return maxima.cpu().numpy()


def _scaled(rows: Tensor) -> Tensor:
    """Bring the largest magnitude of each row to 1: shares stay, and z stays inside the floats."""
    return rows / rows.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)


def _on(index: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(index.astype(np.int64)).to(like.device)


class _Watch:
    """Hears what one layer receives and hands its rows to a meter for each group."""

    def __init__(self, layer: PrunableLayer, groups: dict[int, tuple[Labels, int]]) -> None:
        self.layer, self.rows, self.signed, self.batch = layer, 0, False, 1
        blocks = layer.weight.chunk(layer.groups)
        # Of a grouped convolution, each block sees the inputs of its own group.
        self.meters = {
            group: [
                _Meter(block, np.repeat(own, layer.weight.shape[1] // len(own)), units)
                for block, own in zip(blocks, np.split(owner, layer.groups), strict=True)
            ]
            for group, (owner, units) in groups.items()
        }

    def see(self, inputs: Tensor) -> None:
        self.rows = max(self.rows, -(-row_count(self.layer, inputs) // self.batch))
        self.signed |= bool((inputs < 0).any())
        refuse_nonfinite(
            f"layer {self.layer.name!r} received an activation that",
            inputs,
            "; find the calibration input that causes it, or the layer before that overflows",
        )
        for tile in tiles(self.layer, inputs.detach()):
            for meters in self.meters.values():
                for meter, rows in zip(meters, tile, strict=True):
                    meter.see(rows)

    def sensitivity(self, group: int) -> np.ndarray:
        """The largest share of each unit so far."""
        return np.max([meter.sensitivity() for meter in self.meters[group]], axis=0)


def measure_channels(
    model: nn.Module,
    calibration: Inputs,
    consumers: Mapping[tuple[str, int], tuple[Labels, int]],
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> ChannelCalibration:
    """Measure the sensitivities of channels over a stream of inputs, in bounded memory.

    In a process group of torch.distributed each process measures all inputs by itself.

    Args:
        model: the network; left as it was.
        calibration: a tensor (n, ...), or an iterable of batches or (input, target) pairs.
        consumers: by (name of a Linear or Conv layer, any number of the caller's): the
            unit of each of its input channels, -1 for those that do not count, and how many units
            there are.
        batch_size: inputs a forward pass, >= 1.
        progress: called with (inputs done, 0, "calibrate").

    Returns:
        The statistics under the same keys; no number depends on the batch size but by rounding.

    Raises:
        ValueError: an empty or inconsistent stream, or activations that are not finite.

    Claim: PF-2. Source: [PF] arXiv 1911.07412, the sum over positions [OWN].

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        >>> measured = measure_channels(net, torch.rand(4, 2), {("1", 0): (np.arange(2), 2)})
        >>> measured.inputs, measured.statistics["1", 0].sensitivity.shape
        (4, (2,))
    """
    by_layer: dict[str, dict[int, tuple[Labels, int]]] = {}
    for (name, group), units in consumers.items():
        by_layer.setdefault(name, {})[group] = units
    watches = {
        name: _Watch(
            PrunableLayer(name, m := model.get_submodule(name), int(getattr(m, "groups", 1))),
            units,
        )
        for name, units in by_layer.items()
    }
    marks: set[bytes] = set()
    inputs, device = 0, model_device(model)
    modules = {name: watch.layer.module for name, watch in watches.items()}
    with watching(model, modules, lambda name, given: watches[name].see(given)):
        for batch in batches(calibration, batch_size):
            marks.update(digests(batch))
            for watch in watches.values():
                watch.batch = len(batch)
            forward(model, batch.to(device), "calibration")
            inputs += len(batch)
            if progress is not None:
                progress(inputs, 0, "calibrate")
    tables = {
        (w.layer.name, group): ChannelStatistics(w.sensitivity(group), w.rows, w.signed)
        for w in watches.values()
        for group in w.meters
    }
    return ChannelCalibration(tables, inputs, frozenset(marks))

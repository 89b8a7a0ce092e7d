"""One pass of the inputs through the model, and the watcher of each layer that measures it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from sipp_core.network.layers import PrunableLayer
from sipp_core.network.packed import is_dense
from sipp_core.network.patches import is_unbatched, masked, patches_an_image, row_count, tiles
from sipp_core.network.selection import leaving_out
from sipp_core.runtime.arguments import first_nonfinite
from sipp_core.runtime.batch import Given
from sipp_core.runtime.bypasses import Bypasses
from sipp_core.runtime.execution import (
    Progress,
    forward,
    full_precision,
    model_device,
    threads_for,
    watching,
)
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.outputs import Output, refuse_other_count, refuse_unbatched
from sipp_core.runtime.padding import Mask, padding_mask
from sipp_core.runtime.processes import Processes
from sipp_core.runtime.provenance import digests
from sipp_core.sensitivity import kernel_gpu
from sipp_core.sensitivity.buffer import HELD
from sipp_core.sensitivity.measures import Cancellation, Patches, Peaks, Sample, Shares
from sipp_core.sensitivity.operands import Space, beyond, extreme
from sipp_core.sensitivity.origins import refuse_mixed, refuse_uneven
from sipp_core.sensitivity.statistics import STATISTICS, LayerStatistics, MeasuredLayer, Rows


class Part(NamedTuple):
    """Inputs of one forward pass: number of their batch, of the first in the stream, how many."""

    batch: int
    first: int
    size: int
    aside: bool = False


class Watcher:
    """Statistics of one layer while the stream runs."""

    def __init__(
        self, layer: PrunableLayer, names: Sequence[str] = (), points: int = 0, seed: int = 0,
        held: int = HELD, space: Space | None = None,
    ) -> None:  # fmt: skip
        self.layer, self.measured = layer, MeasuredLayer(layer, held, space)
        self.sample, self.aside = Sample(points, seed), Sample(points, seed + 1)
        chosen = [STATISTICS[name]() for name in names]
        # The maxima come last, as the kernel writes over the denominators.
        self.statistics = [self.sample, Peaks(), Patches(), Cancellation(), *chosen, Shares()]
        for statistic in (*self.statistics, self.aside):
            statistic.start(self.measured)
        self.gradients = [each for each in chosen if each.gradients]
        self.ordered = any(each.ordered for each in chosen)
        self.calls = self.positions = self.inputs = 0
        self._last: Part | None = None
        self._signed = False  # whether the last call had a negative value

    def see(self, given: Tensor, part: Part) -> None:
        """Take in what one call of the layer received."""
        if not given.is_floating_point():
            raise TypeError(
                f"layer {self.layer.name!r} received {given.dtype} activations; give the model "
                "floating-point inputs"
            )
        self.calls += 1
        # The tiles are converted one by one, so that no copy of the whole input is made.
        given, first = given.detach(), 0
        count, weight = row_count(self.layer, given), self.measured.blocks[0].weight
        per_input = max(1, count // max(1, part.size))
        patches = max(1, patches_an_image(self.layer, given))
        # Settled for the whole call, so that no count depends on where a tile ends.
        whole = None if part.aside else self._packed(given, count)
        with threads_for(count, weight):
            signed, wide = self._range(given, part.first, whole)
        self._signed = signed
        for tile in tiles(self.layer, given):
            if tile.shape[1] == 0:  # an expert that no token was sent to
                continue
            origins = first, per_input, part.first
            with full_precision(tile.device), threads_for(tile.shape[1], weight):
                packed = whole
                if packed is None and not part.aside:
                    packed = self.measured.pack(tile, signed, wide)
                tile = tile.to(weight.dtype)
                rows = Rows(self.measured, tile, signed, wide, part.batch, origins, patches, packed)
                for statistic in [self.aside] if part.aside else self.statistics:
                    statistic.add(rows)
            first += tile.shape[1]
        self.positions += first
        if first and part is not self._last:
            self.inputs, self._last = self.inputs + part.size, part

    def _packed(self, given: Tensor, count: int) -> kernel_gpu.Packed | None:
        """A call as the GPU kernel reads it, if one tile is all of it: its range comes with it."""
        # Patches repeat what they are made of, and may leave some of it out.
        dense = is_dense(self.layer.module) and given.numel() > 0
        if not (dense and kernel_gpu.available(given.device)):
            return None
        tile = next(tiles(self.layer, given))
        return self.measured.pack(tile, self._signed) if tile.shape[1] == count else None

    def _range(
        self, given: Tensor, first_input: int, packed: kernel_gpu.Packed | None
    ) -> tuple[bool, bool]:
        """Whether some value is negative, and whether the rows need float64; else refuse."""
        if given.numel() == 0:
            return False, False
        ends = kernel_gpu.span(given) if packed is None else packed.span
        low, high = ends[:2] if ends else (float(end) for end in given.aminmax())
        limit = torch.finfo(self.measured.weight.dtype).max
        if not (-limit <= low <= high <= limit):
            self._refuse_nonfinite(given, first_input)
            return bool((given < 0).any()), True  # where no patch reads what is not finite
        peak = max(-low, high)
        return low < 0, beyond(peak, ends[2]) if ends else extreme(given, peak)

    def _refuse_nonfinite(self, given: Tensor, first_input: int) -> None:
        first = 0
        for tile in tiles(self.layer, given):
            block = tile.to(self.measured.weight.dtype)
            if (index := first_nonfinite(block)) is not None:
                raise ValueError(
                    f"layer {self.layer.name!r} received an activation that is not finite: "
                    f"{block[index].item()} at row {first + index[1]}, input {index[2]} of its "
                    f"batch (inputs from {first_input} on)"
                )
            first += block.shape[1]

    def close(self) -> None:
        """End a batch."""
        for statistic in self.statistics:
            statistic.close()

    def merge(self, group: Processes) -> None:
        """Join what all processes have seen; each of them then holds the same bits."""
        self.calls, self.positions = group.count(self.calls), group.count(self.positions)
        self.inputs = group.count(self.inputs)
        for statistic in (*self.statistics, self.aside):
            statistic.merge(group)

    def finish(self) -> LayerStatistics:
        """Turn the running statistics into their values."""
        fields: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for statistic in self.statistics:
            value, names = statistic.value(), statistic.attributes
            if not names:
                values[statistic.name] = value
            else:
                fields |= zip(names, [value] if len(names) == 1 else value, strict=True)
        return LayerStatistics(
            layer=self.layer, positions=self.positions, reached_by=self.inputs, values=values,
            **fields,
        )  # fmt: skip


class Stream:
    """One pass over the inputs; with many processes, over this one's share of the batches."""

    def __init__(
        self, model: nn.Module, watchers: list[Watcher], size: int | None, aside_every: int,
        group: Processes | None, hold: bool, output: Output = None, mask: Mask = None,
    ) -> None:  # fmt: skip
        self.model, self.watchers, self.group = model, watchers, group
        self.by_name = {watcher.layer.name: watcher for watcher in watchers}
        self.ordered = any(watcher.ordered for watcher in watchers)
        # Until it is known that rows stand in the order of the inputs, where that matters.
        self.untried = self.ordered
        self.unlistened = True  # until the operators of one batch were listened to
        self.part: Part | None = None  # what runs, if it is to be measured
        self.size, self.aside_every = size, aside_every
        self.output, self.mask = output, mask
        self.padding: Tensor | None = None  # of what runs
        self.unbatched = False  # whether some layer was called without a batch dimension
        self.hold, self.held = hold, list[Given]()
        self.inputs, self.batch = 0, 0
        self.digests: set[bytes] = set()
        # The first input of every batch, to notice ranks that were not given the same stream.
        self.marks = hashlib.blake2b(digest_size=16)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What one process refuses inside the block, all refuse at its end."""
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            if self.group is None:
                raise
            failure = error
        if self.group is not None:
            self.group.settle(failure, self.batch)

    def run(self, calibration: Inputs, report: int, progress: Progress | None) -> None:
        """Let the model run on this process's share of the inputs, and measure its layers."""
        modules = {name: watcher.layer.module for name, watcher in self.by_name.items()}
        reported = 0
        with watching(self.model, modules, self._see) as calls:
            for batch in batches(calibration, self.size):
                if self.hold:
                    self.held.append(batch.clone())  # the model may write to its input
                if self.group is not None:
                    self.marks.update(digests(batch[:1])[0])
                if self.group is None or self.group.mine(self.batch):
                    # Fingerprints first: the model may write to its input.
                    self.digests.update(digests(batch))
                    self._measure(batch, model_device(self.model), calls)
                self.inputs += len(batch)
                self.batch += 1
                if progress is not None and self.inputs - reported >= report:
                    reported = self.inputs
                    progress(reported, 0, "calibrate")
            if progress is not None and reported < self.inputs:
                progress(self.inputs, 0, "calibrate")

    def _see(self, name: str, given: Tensor) -> None:
        """Hand on what one call of a layer received."""
        if self.part is None:
            return
        layer = self.by_name[name].layer
        self.unbatched |= is_unbatched(layer, given)
        with _disable_current_modes():  # what is measured here is none of the model's operators
            self.by_name[name].see(masked(layer, given, self.padding), self.part)
        if self.ordered:
            refuse_uneven(layer, given, self.part.size)

    def _measure(self, batch: Given, device: torch.device, calls: Collection[str]) -> None:
        if self.untried:
            layers = [watcher.layer for watcher in self.watchers]
            self.untried = not refuse_mixed(self.model, layers, batch.to(device))
        bypasses = None
        if self.unlistened:
            modules = {name: watcher.layer.module for name, watcher in self.by_name.items()}
            bypasses = Bypasses(modules, calls)
        for inputs, aside in _split(batch, self.inputs, self.aside_every):
            self.part = Part(self.batch, self.inputs, len(inputs), aside)
            self.padding = padding_mask(self.mask, inputs)
            with bypasses or nullcontext():
                answer = forward(self.model, inputs.to(device), "calibration")
            refuse_other_count(answer, inputs, "calibration", self.output)
        self.part = None
        if bypasses is not None:
            refuse_bypassed(self.watchers, bypasses)
            self.unlistened = False
        if self.unbatched and self.batch == 0:
            refuse_unbatched(self.model, batch.to(device, copy=True), "calibration")
        for watcher in self.watchers:
            watcher.close()

    def merge(self, group: Processes) -> None:
        """Join what all processes have seen; refuse streams that differ."""
        group.agree({"number of inputs": self.inputs, "stream of inputs": self.marks.hexdigest()})
        marks = np.frombuffer(b"".join(sorted(self.digests)), dtype=np.uint8).reshape(-1, 8)
        gathered = torch.cat(group.gather(torch.from_numpy(marks.copy()))).numpy()
        self.digests = {row.tobytes() for row in gathered}
        for watcher in self.watchers:
            watcher.merge(group)


def refuse_bypassed(watchers: Sequence[Watcher], bypasses: Bypasses) -> None:
    """Refuse layers whose weight multiplies what calibration does not see, all of them at once."""
    reasons, outside = [], bypasses.outside
    if outside:
        shown = ", ".join(f"{name!r} (by {operator})" for name, operator in outside.items())
        reasons.append(
            f"the weight of layer {shown} is read outside of a call of the layer, so that not all "
            "that it multiplies is seen"
        )
    replaced = [w.layer.name for w in watchers if w.calls and w.layer.name not in bypasses.used]
    replaced = [name for name in replaced if name not in outside]
    if replaced:
        shown = ", ".join(map(repr, replaced))
        reasons.append(f"layer {shown} is called with another weight in the place of its own")
    if reasons:
        culprits = [*outside, *replaced]
        raise ValueError(
            f"{'; '.join(reasons)}; call the layers as they are, or leave them out with "
            f"{leaving_out(culprits, [watcher.layer.name for watcher in watchers])}"
        )


def refuse_uncalled(watchers: Sequence[Watcher]) -> None:
    """Refuse layers that no forward pass called, all of them at once."""
    unused = [watcher.layer.name for watcher in watchers if watcher.calls == 0]
    if unused:
        raise ValueError(
            f"layer {', '.join(map(repr, unused))} was never called in a forward pass; prune the "
            f"others with {leaving_out(unused, [watcher.layer.name for watcher in watchers])}"
        )


def _split(batch: Given, start: int, every: int) -> Iterator[tuple[Given, bool]]:
    """Split a batch into inputs for the maxima and inputs set aside."""
    if every == 0:
        yield batch, False
        return
    position = torch.arange(start, start + len(batch)) % every == every - 1
    device = (batch if isinstance(batch, Tensor) else batch.tensors[0]).device
    for part, aside in ((batch[~position.to(device)], False), (batch[position.to(device)], True)):
        if len(part):
            yield part, aside

"""A layer's input as the rows that its matrix multiplies, in tiles of bounded size."""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false, reportCallIssue=false
from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.network.packed import is_dense
from sipp_core.runtime.padding import unpadded
from sipp_core.runtime.vectors import transpose
from sipp_theory.numeric.compiling import compiled_leaf

# Float32 elements of one tile (float64: half as many): patches, and what is computed of each. 2**22
# are 16 MiB, and about ten temporaries of that size live at once in the kernel.
TILE = 2**22
# For each row, temporaries as long as the row of outputs: denominators, squares, float64 sums.
PER_OUTPUT = 4
LOOPS = (torch.float32, torch.float64)  # what the compiled loop copies

Ranges = tuple[range, ...]


def rows(layer: PrunableLayer, inputs: Tensor) -> Tensor:
    """Unfold a layer's input into the rows that its matrix multiplies, all at once.

    Shapes: returns (groups, n_rows, fan_in).
    """
    return torch.cat(list(tiles(layer, inputs)), dim=1)


def some_rows(layer: PrunableLayer, inputs: Tensor, chosen: Tensor | None) -> Tensor:
    """Unfold only the chosen of the rows that `rows` gives; None for all.

    Shapes: chosen (n,) row numbers; returns (groups, n, fan_in).
    """
    if chosen is None:
        return rows(layer, inputs)
    if is_dense(layer.module):
        return _tokens(layer, inputs)[chosen][None]
    return _Geometry(layer, inputs).pick(chosen)


def row_count(layer: PrunableLayer, inputs: Tensor) -> int:
    """Count the rows that `tiles` gives."""
    if is_dense(layer.module):
        return _tokens(layer, inputs).shape[0]
    return math.prod(_Geometry(layer, inputs).positions)


def is_unbatched(layer: PrunableLayer, inputs: Tensor) -> bool:
    """Whether a layer was called with a single input that has no batch dimension."""
    if is_dense(layer.module):
        return inputs.ndim == 1
    return inputs.ndim == weight_of(layer.module).ndim - 1


def masked(layer: PrunableLayer, inputs: Tensor, mask: Tensor | None) -> Tensor:
    """What a layer receives, without the rows that a mask leaves out; patches are all kept."""
    return unpadded(inputs, mask) if is_dense(layer.module) else inputs


def patches_an_image(layer: PrunableLayer, inputs: Tensor) -> int:
    """Count the rows that one image of a convolution's batch gives; 1 for a linear layer."""
    if is_dense(layer.module):
        return 1
    return math.prod(_Geometry(layer, inputs).positions[1:])


def tiles(layer: PrunableLayer, inputs: Tensor) -> Iterator[Tensor]:
    """Give the rows of a layer's input in tiles, in order, without ever holding all patches.

    Where a tile ends follows from the shapes alone, so the same batch gives the same tiles. A tile
    has about TILE elements; a single row is never cut.
    """
    out, fan_in = layer.weight.shape
    a_row = PER_OUTPUT * out + layer.groups * fan_in
    budget = TILE * 4 // max(4, inputs.element_size())
    if is_dense(layer.module):
        tokens = _tokens(layer, inputs)
        yield from (part[None] for part in tokens.split(max(1, budget // a_row)))
        return
    geometry = _Geometry(layer, inputs)
    for box in boxes(geometry.positions, max(1, budget // (a_row + geometry.fringe))):
        yield geometry.unfold(box)


def boxes(shape: tuple[int, ...], most: int) -> Iterator[Ranges]:
    """Cut a grid of positions into boxes of at most `most`, which follow each other row by row."""
    # The first axis along which whole slices fit is cut; those before it go one at a time.
    axis = next(a for a in range(len(shape)) if math.prod(shape[a + 1 :]) <= most)
    inner = shape[axis + 1 :]
    step = max(1, most // max(1, math.prod(inner)))
    for outer in itertools.product(*(range(n) for n in shape[:axis])):
        for first in range(0, shape[axis], step):
            cut = range(first, min(first + step, shape[axis]))
            yield (*(range(k, k + 1) for k in outer), cut, *map(range, inner))


def _tokens(layer: PrunableLayer, inputs: Tensor) -> Tensor:
    fan_in = layer.weight.shape[1]
    if inputs.ndim == 0 or inputs.shape[-1] != fan_in:
        raise ValueError(
            f"layer {layer.name!r} got an input of shape {tuple(inputs.shape)}; its last "
            f"dimension must be {fan_in}"
        )
    return inputs.reshape(-1, fan_in)


class _Geometry:
    """Where the patches of a convolution lie in one batch."""

    def __init__(self, layer: PrunableLayer, inputs: Tensor) -> None:
        module = layer.module
        assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        self.dims = len(module.kernel_size)
        if inputs.ndim == self.dims + 1:
            inputs = inputs.unsqueeze(0)
        if inputs.ndim != self.dims + 2 or inputs.shape[1] != module.in_channels:
            raise ValueError(
                f"layer {layer.name!r} got an input of shape {tuple(inputs.shape)}; it takes (n, "
                f"{module.in_channels}, ...) with {self.dims} more dimensions"
            )
        self.inputs, self.groups = inputs, layer.groups
        self.stride, self.dilation = module.stride, module.dilation
        self.reach = [
            d * (k - 1) + 1 for d, k in zip(self.dilation, module.kernel_size, strict=True)
        ]
        padding = module._reversed_padding_repeated_twice
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        self.sources = [
            _sources(n, padding[2 * k], padding[2 * k + 1], mode)
            for k, n in zip(reversed(range(self.dims)), inputs.shape[2:], strict=True)
        ]
        self.padded, self.zeros = any(padding), mode == "constant"
        self.positions = (
            inputs.shape[0],
            *(
                max(0, (len(source) - reach) // stride + 1)
                for source, reach, stride in zip(self.sources, self.reach, self.stride, strict=True)
            ),
        )
        # Where there is padding, a tile's part of the padded image is copied beside its patches.
        self.fringe = module.in_channels * math.prod(self.stride) if self.padded else 0

    def unfold(self, box: Ranges) -> Tensor:
        """Rows of the patches at these positions."""
        image = self._padded(box)
        if image.device.type == "cpu" and image.dtype in LOOPS and not image.requires_grad:
            return self._copied(image.contiguous(), box)
        for axis in range(self.dims):
            reach, gap = self.reach[axis], self.dilation[axis]
            image = image.unfold(2 + axis, reach, self.stride[axis])[..., ::gap]
        # (n, channels, *positions, *kernel) -> (groups, n * positions, channels/groups * kernel)
        channels = image.shape[1]
        image = image.unflatten(1, (self.groups, channels // self.groups))
        positions = list(range(3, 3 + self.dims))
        kernel = list(range(3 + self.dims, 3 + 2 * self.dims))
        image = image.permute(1, 0, *positions, 2, *kernel)
        return image.reshape(self.groups, math.prod(map(len, box)), -1)

    def _copied(self, image: Tensor, box: Ranges) -> Tensor:
        """The rows of `unfold` by a compiled loop: torch copies a patch's short runs slowly."""
        channel, *axes = image.stride()[1:]
        bases, offsets = (
            image.stride(0) * torch.arange(len(image)),
            channel * torch.arange(image.shape[1] // self.groups),
        )
        for axis, step in enumerate(axes):
            kernel = torch.arange(0, self.reach[axis], self.dilation[axis]) * step
            offsets = (offsets[:, None] + kernel).flatten()
            if axis < self.dims - 1:
                places = torch.arange(len(box[axis + 1])) * (self.stride[axis] * step)
                bases = (bases[:, None] + places).flatten()
        across, step = len(box[-1]), self.stride[-1]
        copied = image.new_empty(self.groups, len(bases) * across, len(offsets))
        for group, into in enumerate(copied):
            first = group * channel * (image.shape[1] // self.groups)
            flat, starts, places, patches = (
                t.detach().numpy() for t in (image.view(-1), bases + first, offsets, into)
            )
            copy_patches(flat, starts, places, across, step, patches)
        return copied

    def pick(self, chosen: Tensor) -> Tensor:
        """Rows of the patches of these numbers."""
        image, *places = torch.unravel_index(chosen, self.positions)
        index, outside = [image.view(-1, *[1] * self.dims)], []
        for axis, place in enumerate(places):
            gap, reach = self.dilation[axis], self.reach[axis]
            kernel = torch.arange(0, reach, gap, device=chosen.device)
            cells = place[:, None] * self.stride[axis] + kernel
            source = self.sources[axis].to(chosen.device)[cells]
            shape = [-1, *(len(kernel) if k == axis else 1 for k in range(self.dims))]
            index.append(source.clamp(min=0).view(shape))
            outside.append((source < 0).view(shape))
        patches = self.inputs[(index[0], slice(None), *index[1:])]
        if self.padded:
            for where in outside:
                patches = patches.masked_fill(where[..., None], 0)
        # (n, *kernel, channels) -> (groups, n, channels/groups * kernel)
        patches = patches.movedim(-1, 1)
        patches = patches.unflatten(1, (self.groups, patches.shape[1] // self.groups))
        return patches.movedim(1, 0).flatten(2)

    def _padded(self, box: Ranges) -> Tensor:
        """The part of the padded batch that the patches at these positions cover."""
        image = self.inputs[box[0].start : box[0].stop]
        spans = [
            slice(cut.start * stride, (cut.stop - 1) * stride + reach)
            for cut, stride, reach in zip(box[1:], self.stride, self.reach, strict=True)
        ]
        if not self.padded:
            return image[(slice(None), slice(None), *spans)]
        if self.zeros:
            return self._within_zeros(image, spans)
        index = []
        for axis, span in enumerate(spans):
            source = self.sources[axis][span]
            shape = [-1 if k == axis else 1 for k in range(self.dims)]
            index.append(source.view(shape).to(image.device))
        return image[(slice(None), slice(None), *index)]

    def _within_zeros(self, image: Tensor, spans: list[slice]) -> Tensor:
        """The part of an image padded with zeros that lies within these spans."""
        sizes, into, given = list(image.shape[:2]), [slice(None)] * 2, [slice(None)] * 2
        for axis, span in enumerate(spans):
            source = self.sources[axis][span]
            inside = (source >= 0).nonzero().flatten().tolist() or [0, -1]
            into.append(slice(inside[0], inside[-1] + 1))
            first = int(source[inside[0]])
            given.append(slice(first, first + inside[-1] + 1 - inside[0]))
            sizes.append(len(source))
        part = image.new_zeros(sizes)
        part[tuple(into)] = image[tuple(given)]
        return part


@compiled_leaf
def copy_patches(image, bases, offsets, across, step, copied):
    """copied[b * across + x, k] = image[bases[b] + x * step + offsets[k]], x below `across`."""
    count = len(offsets)
    for b in range(len(bases)):
        # Squares of neighbours, the last of which may overlap those before it.
        if step == 1 and min(across, count) >= 16:
            for x in range(0, across, 16):
                x = min(x, across - 16)
                for k in range(0, count, 16):
                    k = min(k, count - 16)
                    transpose(16, image, offsets, k, 1, bases[b] + x, copied, b * across + x, k)
        elif step == 1 and min(across, count) >= 8:
            for x in range(0, across, 8):
                x = min(x, across - 8)
                for k in range(0, count, 8):
                    k = min(k, count - 8)
                    transpose(8, image, offsets, k, 1, bases[b] + x, copied, b * across + x, k)
        else:
            for x in range(across):
                base, row = np.uint64(bases[b] + x * step), copied[b * across + x]
                for k in range(count):
                    row[k] = image[base + np.uint64(offsets[k])]


def _sources(size: int, before: int, after: int, mode: str) -> Tensor:
    """Which cell each cell of a padded axis repeats; -1 where it is a zero."""
    cells = torch.arange(size, dtype=torch.float64)[None, None]
    if mode == "constant":
        return F.pad(cells, (before, after), value=-1.0)[0, 0].long()
    return F.pad(cells, (before, after), mode=mode)[0, 0].long()

"""The GPU kernel of S = W o maxmul(A, 1/Z), in Triton: dense tiles, exact, in no order.

What it may reach. Two float32 operations a (weight, row) pair are the least, so a device does at
most `ceiling` pairs a second: 64 a clock and multiprocessor, 16.7e12 on an H200. Such a processor
issues 4 x 32 lanes' instructions a clock, and the loop that Triton 3.7.1 makes for it (sm_90) has
3.0 to 3.1 a pair, loads included: 42 pairs a clock, 65% of the ceiling, if nothing ever waits.
Choosing 1/z by a select would leave 50% before loads, as selects and maxima share units of half
the width; so would two products and two maxima, one a sign. Packed half precision would round.
These are counts in compiled code, not times: this kernel has not yet run on a GPU.

Which pairs are multiplied does not depend on the values (`sipp_core.kernel_cpu` skips, this does
not), nor does anything here wait for the device.
"""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Elements of the packed copies of a launch: 2**24 float32 are 64 MiB, whatever the batch.
PACKED = 2**24
# Neurons, or inputs, a program: the longer edge reads less memory a pair, the shorter pads less.
EDGES, PADDING = (64, 32), 1.1
WIDE_EDGE = 32  # of float64, whose numbers take two registers
WARPS = 4
ROWS = {64: 4, 32: 8}  # rows unrolled, by the longer edge: about 64 pairs a thread
# A launch is cut along the rows until there are so many programs a processor, of LEAST rows or more
# (setting up a program costs as much as a few rows).
PROGRAMS, LEAST = 8, 32
SPAN = 4096  # numbers a program, where only their ends are looked for
BLOCK, CHOICES = 64, 32  # rows a program, where activations or 1/z are laid out in panels
MOST_PANELS = 65535  # of inputs, as CUDA's grids have no more along the second axis


def available(device: torch.device) -> bool:
    """Whether this kernel runs on a device: NVIDIA, Ampere or later, with triton."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    if importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def span(values: Tensor) -> tuple[float, float, float] | None:
    """Ends of the values and 0, and least size that is not 0 (1 if none is below), in one read.

    Infinite above where one is no number; None where this kernel does not serve.
    """
    narrow = values.dtype in (torch.float32, torch.bfloat16, torch.float16)
    if not (narrow and values.numel() and values.is_contiguous() and available(values.device)):
        return None
    from sipp_core.sensitivity import _gpu_span

    n = values.numel()
    blocks = -(-n // SPAN)
    ends = values.new_empty((3, blocks), dtype=torch.float32)
    run: Any = _gpu_span.span[(blocks,)]
    with _on(values.device):
        run(values.detach(), *ends, n, BLOCK=SPAN, num_warps=WARPS)
    low, high, least = torch.stack([ends[0].amin(), ends[1].amax(), ends[2].amin()]).tolist()
    return low, high, least


def ceiling(processors: int, clock: float, lanes: int = 128) -> float:
    """Pairs a second at two float32 operations each, the least that a (max, x) product takes."""
    return processors * lanes * clock / 2


def fits(weight: Tensor) -> bool:
    """Whether this kernel takes a matrix (out, fan_in) of these shapes on this device."""
    return available(weight.device) and weight.shape[1] <= MOST_PANELS * EDGES[1]


@dataclass(frozen=True)
class Packed:
    """Rows of activations in panels, and their ends, all of one read.

    Attributes:
        panels: for each group, those of a, or of a+ and a-; None where they were not laid out.
        signed: whether they are of a+ and a-.
        lows: (groups, fan_in) float32 least a_j, at most 0.
        highs: (groups, fan_in) float32 largest a_j, at least 0; infinite where one is no number.
        leasts: least sizes that are not 0, 1 where none is below.
    """

    panels: list[tuple[Tensor, ...]] | None
    signed: bool
    lows: Tensor
    highs: Tensor
    leasts: Tensor

    @cached_property
    def span(self) -> tuple[float, float, float]:
        """What `span` gives; waits for the device."""
        ends = torch.stack([self.lows.amin(), self.highs.amax(), self.leasts.amin()]).tolist()
        return ends[0], ends[1], ends[2]

    def parts(self, signed: bool) -> list[tuple[Tensor, ...]] | None:
        """Panels of a, or of a+ and a- if signed, for each group; None where there are none."""
        if self.panels is None or (signed and not self.signed):
            return None
        return self.panels if signed else [each[:1] for each in self.panels]


def pack(rows: Tensor, out: int, signed: bool, panels: bool) -> Packed | None:
    """Find the ends of rows and lay them out for `raise_maxima`; None where this does not serve.

    Shapes: rows (groups, n, fan_in), of which float32 is made; out neurons a group.
    """
    narrow = rows.dtype in (torch.float32, torch.bfloat16, torch.float16)
    if not (narrow and rows.numel() and rows.stride(2) == 1 and available(rows.device)):
        return None
    _, n, fan_in = rows.shape
    tile = _tile(out, fan_in, wide=False)
    # More than a launch takes is laid out launch by launch.
    panels &= n <= _most(out, fan_in, tile)
    return _packed(rows, tile, torch.float32, signed, panels, ends=True)


def raise_maxima(
    maximum: Tensor, weight: Tensor, inverse: Tensor, activations: Tensor,
    packed: Tensor | None = None, invert: bool = False,
) -> None:  # fmt: skip
    """Raise maxima to min(1, |w_ij| max_x a_j(x) r_i^s(x)), s the sign of w_ij, all on one GPU.

    Half precision is turned into float32 first, exactly: each product is one of float32 numbers,
    rounded once. float64 is computed in float64 if any of the three is. The activations may be
    given in panels too, as `pack` lays them out; with invert=True z stands for 1/z.

    Shapes: maximum (out, fan_in), weight (out, fan_in), inverse (2, n, out), activations (n,
    fan_in).

    Claim: ES-1. Source: [SP] arXiv 1910.05422.
    """
    _check(maximum, weight, inverse, activations)
    out, fan_in = weight.shape
    n = activations.shape[0]
    if 0 in (out, fan_in, n):
        return
    dtype = torch.float32
    for tensor in (weight, inverse, activations):
        dtype = torch.promote_types(dtype, tensor.dtype)
    wide = dtype == torch.float64
    tile = _tile(out, fan_in, wide)
    weight = weight.detach().contiguous()
    positive = _in_tiles(weight > 0, *tile)
    most = n if packed is not None else _most(out, fan_in, tile)
    for first in range(0, n, most):
        rows = slice(first, first + most)
        choice = _choices(inverse[:, rows].detach().to(dtype), tile, invert)
        panels = packed if packed is not None else _panels(activations[rows].detach(), tile, dtype)
        _launch(maximum, weight, positive, choice, panels, tile, wide)


def _check(maximum: Tensor, weight: Tensor, inverse: Tensor, activations: Tensor) -> None:
    if maximum.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"maximum must be float32 or float64; found {maximum.dtype}")
    operands = {"weight": weight, "inverse": inverse, "activations": activations}
    for name, tensor in operands.items():
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be floating point; found {tensor.dtype}")
        if tensor.device != maximum.device:
            raise ValueError(f"maximum is on {maximum.device} but {name} on {tensor.device}")
    out, fan_in = maximum.shape
    shapes = {"weight": (out, fan_in), "inverse": (2, len(activations), out)}
    for name, shape in (shapes | {"activations": (len(activations), fan_in)}).items():
        if operands[name].shape != shape:
            raise ValueError(f"{name} must have shape {shape}; found {tuple(operands[name].shape)}")
    if not maximum.is_contiguous():
        raise ValueError("maximum must be contiguous, since it is changed in place")


def _edge(size: int) -> int:
    """The long edge unless it pads too much."""
    long, short = EDGES
    return long if _padded(size, long) <= PADDING * _padded(size, short) else short


def _padded(size: int, to: int) -> int:
    return -(-size // to) * to


def _tile(out: int, fan_in: int, wide: bool) -> tuple[int, int]:
    """Neurons and inputs of one program."""
    return (WIDE_EDGE, WIDE_EDGE) if wide else (_edge(out), _edge(fan_in))


def _most(out: int, fan_in: int, tile: tuple[int, int]) -> int:
    """Rows a launch."""
    return max(1, PACKED // (_padded(fan_in, tile[1]) + 2 * _padded(out, tile[0])))


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, wherever its tensors are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _packed(
    rows: Tensor, tile: tuple[int, int], dtype: torch.dtype, signed: bool, panels: bool, ends: bool
) -> Packed:
    """Panels (groups, panels, padded rows, width) of rows (groups, n, fan_in), and their ends."""
    # Only here: importing triton takes half a second, and not every machine has it.
    from sipp_core.sensitivity import _gpu_panels

    (groups, n, fan_in), width = rows.shape, tile[1]
    padded, across, blocks = _padded(n, ROWS[max(tile)]), -(-fan_in // width), -(-n // BLOCK)
    size = (groups, across, padded, width) if panels else (0,)
    above = rows.new_empty(size, dtype=dtype)
    below = rows.new_empty(size if signed else (0,), dtype=dtype)
    shape = (groups, blocks, across * width) if ends else (0,)
    lows, highs = (rows.new_empty(shape, dtype=torch.float32) for _ in range(2))
    leasts = rows.new_empty(groups * blocks * across if ends else 0, dtype=torch.float32)
    run: Any = _gpu_panels.pack[(across, blocks, groups)]
    with _on(rows.device):
        run(
            rows, above, below, lows, highs, leasts, n, fan_in, padded, rows.stride(0),
            rows.stride(1), WIDTH=width, BLOCK=BLOCK, PACK=panels, SIGNED=signed, ENDS=ends,
            num_warps=WARPS,
        )  # fmt: skip
    if ends:
        lows, highs = lows.amin(dim=1)[:, :fan_in], highs.amax(dim=1)[:, :fan_in]
    laid = list(zip(above, below, strict=True)) if signed else [(each,) for each in above]
    return Packed(laid if panels else None, signed, lows, highs, leasts)


def _panels(table: Tensor, tile: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Cut (n, fan_in) into panels, (panels, padded rows, width), padded with zeros.

    A row of zeros has no share, so it raises nothing.
    """
    rows = (table if table.stride(1) == 1 else table.contiguous())[None]
    laid = _packed(rows, tile, dtype, signed=False, panels=True, ends=False).panels
    assert laid is not None
    return laid[0][0]


def _in_tiles(mask: Tensor, out: int, fan_in: int) -> Tensor:
    """Lay a mask of weights out tile by tile; 16 bits each make a thread's share 8 columns wide."""
    down, across = _padded(len(mask), out), _padded(mask.shape[1], fan_in)
    padded = F.pad(mask.to(torch.int16), (0, across - mask.shape[1], 0, down - len(mask)))
    return padded.unflatten(1, (-1, fan_in)).unflatten(0, (-1, out)).movedim(2, 1).contiguous()


def _choices(inverse: Tensor, tile: tuple[int, int], invert: bool) -> Tensor:
    """Lay out both signs' 1/z of each neuron, as `_gpu_tile._products` reads them."""
    from sipp_core.sensitivity import _gpu_panels

    (_, n, out), width, wide = inverse.shape, tile[0], inverse.dtype == torch.float64
    padded, across = _padded(n, ROWS[max(tile)]), -(-out // width)
    kind, columns = (torch.float64, 2 * width) if wide else (torch.int64, width)
    choice = inverse.new_empty((across, padded, columns), dtype=kind)
    run: Any = _gpu_panels.choose[(across, -(-n // CHOICES))]
    with _on(inverse.device):
        run(
            inverse, choice, n, out, padded, *inverse.stride(), WIDTH=width, BLOCK=CHOICES,
            WIDE=wide, INVERT=invert, num_warps=WARPS,
        )  # fmt: skip
    return choice


def _launch(
    maximum: Tensor, weight: Tensor, positive: Tensor, choice: Tensor, activations: Tensor,
    tile: tuple[int, int], wide: bool,
) -> None:  # fmt: skip
    from sipp_core.sensitivity import _gpu_tile

    out, fan_in = weight.shape
    rows, unrolled = choice.shape[1], ROWS[max(tile)]
    span = _span(rows, len(choice) * len(activations), unrolled, maximum.device)
    grid = (len(choice), len(activations), -(-rows // span))
    run: Any = _gpu_tile.maxima[grid]  # it takes options of Triton's besides
    with _on(maximum.device):
        run(
            maximum, weight, positive, choice, activations, out, fan_in, rows, span, OUT=tile[0],
            IN=tile[1], ROWS=unrolled, WIDE=wide, num_warps=WARPS,
        )  # fmt: skip


def _span(rows: int, tiles: int, unrolled: int, device: torch.device) -> int:
    """Rows a program: all of them, unless there are too few tiles to fill the device."""
    processors = 132
    if device.type == "cuda":
        processors = torch.cuda.get_device_properties(device).multi_processor_count
    parts = min(-(-processors * PROGRAMS // tiles), max(1, rows // LEAST))
    return _padded(-(-rows // parts), unrolled)

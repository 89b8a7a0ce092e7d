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
    run(values.detach(), *ends, n, BLOCK=SPAN, num_warps=WARPS)
    low, high, least = torch.stack([ends[0].amin(), ends[1].amax(), ends[2].amin()]).tolist()
    return low, high, least


def ceiling(processors: int, clock: float, lanes: int = 128) -> float:
    """Pairs a second at two float32 operations each, the least that a (max, x) product takes."""
    return processors * lanes * clock / 2


def raise_maxima(maximum: Tensor, weight: Tensor, inverse: Tensor, activations: Tensor) -> None:
    """Raise maxima to min(1, |w_ij| max_x a_j(x) r_i^s(x)), s the sign of w_ij, all on one GPU.

    Half precision is turned into float32 first, exactly: each product is one of float32 numbers,
    rounded once. float64 is computed in float64 if any of the three is.

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
    tile = (WIDE_EDGE, WIDE_EDGE) if wide else (_edge(out), _edge(fan_in))
    weight = weight.detach().contiguous()
    positive = _in_tiles(weight > 0, *tile)
    most = max(1, PACKED // (_padded(fan_in, tile[1]) + 2 * _padded(out, tile[0])))
    for first in range(0, n, most):
        rows = slice(first, first + most)
        choice = _choices(inverse[:, rows].detach().to(dtype), tile[0], ROWS[max(tile)])
        packed = _panels(activations[rows].detach().to(dtype), tile[1], ROWS[max(tile)])
        _launch(maximum, weight, positive, choice, packed, tile, wide)


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


def _panels(table: Tensor, width: int, rows: int) -> Tensor:
    """Cut (n, columns) into panels of `width` columns, (panels, n, width), padded with zeros.

    A row of zeros has no share, so it raises nothing.
    """
    n, columns = table.shape
    down, across = _padded(n, rows) - n, _padded(columns, width) - columns
    return F.pad(table, (0, across, 0, down)).unflatten(1, (-1, width)).movedim(1, 0).contiguous()


def _in_tiles(mask: Tensor, out: int, fan_in: int) -> Tensor:
    """Lay a mask of weights out tile by tile; 16 bits each make a thread's share 8 columns wide."""
    down, across = _padded(len(mask), out), _padded(mask.shape[1], fan_in)
    padded = F.pad(mask.to(torch.int16), (0, across - mask.shape[1], 0, down - len(mask)))
    return padded.unflatten(1, (-1, fan_in)).unflatten(0, (-1, out)).movedim(2, 1).contiguous()


def _choices(inverse: Tensor, width: int, rows: int) -> Tensor:
    """Lay out both signs' 1/z of each neuron, as `_gpu_tile._products` reads them."""
    plus, minus = inverse
    if inverse.dtype == torch.float64:
        return torch.cat([_panels(minus, width, rows), _panels(plus, width, rows)], dim=2)
    plus, minus = plus.view(torch.int32), minus.view(torch.int32)
    # The bits of 1/z^- and, in the upper half, the difference: both are below 2^31.
    both = torch.stack([minus, plus - minus], dim=2).view(torch.int64).squeeze(2)
    return _panels(both, width, rows)


def _launch(
    maximum: Tensor, weight: Tensor, positive: Tensor, choice: Tensor, activations: Tensor,
    tile: tuple[int, int], wide: bool,
) -> None:  # fmt: skip
    # Only here: importing triton takes half a second, and not every machine has it.
    from sipp_core.sensitivity import _gpu_tile

    out, fan_in = weight.shape
    rows, unrolled = choice.shape[1], ROWS[max(tile)]
    span = _span(rows, len(choice) * len(activations), unrolled, maximum.device)
    grid = (len(choice), len(activations), -(-rows // span))
    run: Any = _gpu_tile.maxima[grid]  # it takes options of Triton's besides
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

"""One tile of max_x a_j(x) r_i^s(x) on the GPU, in Triton's terms: the heart of the GPU kernel.

Two floating-point operations a (weight, row) pair are the least, a product and a maximum; here they
are three instructions, and fewer. The denominator is chosen by multiply-and-add on bits, with
0 or 1 for the sign: that is exact, and runs in the units that multiply, while a select would queue
for those that compare, which are half as many and have the maxima to do. Maxima are taken of bits
read as whole numbers, which order non-negative floats alike: of two rows at once where the
processor can (Hopper's VIMNMX3). Nothing here contracts: no product meets a sum.
"""

# Triton infers the types of what it compiles.
# pyright: reportMissingParameterType=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportOptionalMemberAccess=false, reportMissingImports=false
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _products(
    choice, activations, positive, STEP: tl.constexpr, OUT: tl.constexpr, IN: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """Give a_j r_i^s of one row: float64 if WIDE, else the bits of float32."""
    i, j = tl.arange(0, OUT), tl.arange(0, IN)
    a = tl.load(activations + STEP * IN + j)[None, :]
    if WIDE:
        minus = tl.load(choice + STEP * 2 * OUT + i)[:, None]
        plus = tl.load(choice + STEP * 2 * OUT + OUT + i)[:, None]
        return tl.where(positive != 0, plus, minus) * a
    else:
        # The bits of 1/z^- below, and above them what is to be added to get those of 1/z^+.
        both = tl.load(choice + STEP * OUT + i)
        minus, step = both.to(tl.int32)[:, None], (both >> 32).to(tl.int32)[:, None]
        inverse = positive * step + minus
        return (inverse.to(tl.float32, bitcast=True) * a).to(tl.int32, bitcast=True)


@triton.jit
def maxima(
    maximum, weight, positive, choice, activations, out, fan_in, rows, span, OUT: tl.constexpr,
    IN: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Raise maxima of OUT neurons and IN inputs over `span` rows, ROWS at a time.

    `positive` lies tile by tile, `choice` and `activations` in panels of all rows, OUT or IN wide,
    so that every address in the loop is a pointer and a constant.
    """
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    i, j = tl.arange(0, OUT), tl.arange(0, IN)
    tile = (row * tl.num_programs(1) + column) * (OUT * IN)
    # Read from memory, so that no compiler knows it for 0 or 1 and makes a select of the product.
    sign = tl.load(positive + tile + i[:, None] * IN + j[None, :]).to(tl.int32)
    first = tl.program_id(2) * span
    last = tl.minimum(first + span, rows)
    WIDTH: tl.constexpr = 2 * OUT if WIDE else OUT
    c, a = choice + (row * rows + first) * WIDTH, activations + (column * rows + first) * IN
    best = tl.zeros((OUT, IN), tl.float64 if WIDE else tl.int32)
    for _ in range(first, last, ROWS):
        for step in tl.static_range(0, ROWS, 2):
            # Both products first: then most of the pairs of maxima become one instruction.
            one = _products(c, a, sign, step, OUT, IN, WIDE)
            two = _products(c, a, sign, step + 1, OUT, IN, WIDE)
            best = tl.maximum(tl.maximum(best, one), two)
        c += ROWS * WIDTH
        a += ROWS * IN
    ratio = best if WIDE else best.to(tl.float32, bitcast=True)
    i, j = row * OUT + i, column * IN + j
    inside = (i < out)[:, None] & (j < fan_in)[None, :]
    place = i[:, None] * fan_in + j[None, :]
    size = tl.abs(tl.load(weight + place, mask=inside, other=0.0).to(ratio.dtype))
    share = size * ratio
    # Rounding may carry a share past 1 (ES-1 says it cannot be).
    share = tl.where(share > 1, 1.0, share).to(maximum.dtype.element_ty)
    # Several programs may share a tile's rows; the largest of non-negative bits needs no order.
    if maximum.dtype.element_ty == tl.float64:
        bits = maximum.to(tl.pointer_type(tl.int64), bitcast=True)
        tl.atomic_max(bits + place, share.to(tl.int64, bitcast=True), inside, sem="relaxed")
    else:
        bits = maximum.to(tl.pointer_type(tl.int32), bitcast=True)
        tl.atomic_max(bits + place, share.to(tl.int32, bitcast=True), inside, sem="relaxed")

"""What the GPU kernel reads, laid out in panels, each in one read and one write, in Triton's terms.

Torch's operations pad and move in two reads and two writes, and read the activations for their
range and for the largest of each input once more each.
"""

# Triton infers the types of what it compiles.
# pyright: reportMissingParameterType=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportOptionalMemberAccess=false, reportMissingImports=false
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _exact(given):
    """Half precision as float32: bfloat16 by its bits, subnormal numbers included."""
    if given.dtype == tl.bfloat16:
        return (given.to(tl.int16, bitcast=True).to(tl.int32) << 16).to(tl.float32, bitcast=True)
    elif given.dtype == tl.float16:
        return given.to(tl.float32)
    else:
        return given


@triton.jit
def pack(
    values, above, below, lows, highs, leasts, n, columns, padded, to_group, to_row,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, PACK: tl.constexpr, SIGNED: tl.constexpr,
    ENDS: tl.constexpr,
):  # fmt: skip
    """Lay BLOCK rows of one panel out, and find their ends, 0 among them, input by input.

    `above` gets the panel as it is, or if SIGNED a+, and `below` a-. `lows` and `highs`, (groups,
    blocks of rows, padded columns), get the ends of each input, infinite above where one is no
    number; `leasts`, one a program, the least size that is not 0 (1 if none is below).
    """
    panel, block, group = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    i, j = block * BLOCK + tl.arange(0, BLOCK), panel * WIDTH + tl.arange(0, WIDTH)
    source = group.to(tl.int64) * to_group + i.to(tl.int64)[:, None] * to_row + j[None, :]
    inside = (i < n)[:, None] & (j < columns)[None, :]
    given = _exact(tl.load(values + source, mask=inside, other=0.0))
    if PACK:
        row = (group.to(tl.int64) * tl.num_programs(0) + panel) * padded + i
        place = row[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
        exact = given.to(above.dtype.element_ty)
        here = (i < padded)[:, None] & (j >= 0)[None, :]
        if SIGNED:
            tl.store(above + place, tl.where(exact > 0, exact, 0.0), mask=here)
            tl.store(below + place, tl.where(exact < 0, -exact, 0.0), mask=here)
        else:
            tl.store(above + place, exact, mask=here)
    if ENDS:
        number = tl.where(given == given, given, 0.0)
        bad = tl.max((given != given).to(tl.int32), axis=0)
        high = tl.where(bad > 0, float("inf"), tl.max(number, axis=0))
        ends = (group * tl.num_programs(1) + block).to(tl.int64) * tl.num_programs(0) + panel
        tl.store(lows + ends * WIDTH + tl.arange(0, WIDTH), tl.min(number, axis=0))
        tl.store(highs + ends * WIDTH + tl.arange(0, WIDTH), high)
        size = tl.abs(number)
        least = tl.min(tl.where(size > 0, tl.minimum(size, 1.0), 1.0), axis=0)
        tl.store(leasts + ends, tl.min(least, axis=0))


@triton.jit
def _inverted(z, WIDE: tl.constexpr):
    """1/z as torch rounds it, 0 where z is or where 1/z overflows."""
    # The largest numbers of which it overflows, so that no infinity is formed.
    some = z > (5.562684646268003e-309 if WIDE else 2.938735877055719e-39)
    divisor = tl.where(some, z, 1.0)
    # A plain quotient of float32 would be off by up to two units.
    quotient = 1.0 / divisor if WIDE else tl.div_rn(tl.full(z.shape, 1.0, z.dtype), divisor)
    return tl.where(some, quotient, 0.0)


@triton.jit
def choose(
    z, choice, n, out, padded, to_sign, to_row, to_neuron, WIDTH: tl.constexpr,
    BLOCK: tl.constexpr, WIDE: tl.constexpr, INVERT: tl.constexpr,
):  # fmt: skip
    """Lay both signs' 1/z of BLOCK rows and one panel of neurons out, as `_gpu_tile` reads them.

    `z` is 1/z already, unless INVERT; 1/z is 0 where z is, or where it overflows.
    """
    panel, block = tl.program_id(0), tl.program_id(1)
    i, j = block * BLOCK + tl.arange(0, BLOCK), panel * WIDTH + tl.arange(0, WIDTH)
    source = z + i.to(tl.int64)[:, None] * to_row + j.to(tl.int64)[None, :] * to_neuron
    inside = (i < n)[:, None] & (j < out)[None, :]
    plus = tl.load(source, mask=inside, other=0.0)
    minus = tl.load(source + to_sign, mask=inside, other=0.0)
    if INVERT:
        plus, minus = _inverted(plus, WIDE), _inverted(minus, WIDE)
    row = (panel.to(tl.int64) * padded + i)[:, None]
    k = tl.arange(0, WIDTH)[None, :]
    here = (i < padded)[:, None] & (k >= 0)
    if WIDE:
        tl.store(choice + row * (2 * WIDTH) + k, minus, mask=here)
        tl.store(choice + row * (2 * WIDTH) + WIDTH + k, plus, mask=here)
    else:
        # The bits of 1/z^- and, in the upper half, the difference: both are below 2^31.
        low = minus.to(tl.int32, bitcast=True)
        step = (plus.to(tl.int32, bitcast=True) - low).to(tl.int64)
        both = (step << 32) | (low.to(tl.int64) & 0xFFFFFFFF)
        tl.store(choice + row * WIDTH + k, both, mask=here)

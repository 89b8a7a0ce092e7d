"""How far activations reach, in one read on the GPU, in Triton's terms.

Torch's operations read them for each of the three ends, and wait for the device in between.
"""

# Triton infers the types of what it compiles.
# pyright: reportMissingParameterType=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportOptionalMemberAccess=false, reportMissingImports=false
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def span(values, lows, highs, leasts, n, BLOCK: tl.constexpr):
    """Give the ends of BLOCK numbers and 0, and the least size that is not 0 (1 if none is below).

    A block with what is no number reaches to infinity.
    """
    program = tl.program_id(0)
    place = program.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    given = tl.load(values + place, mask=place < n, other=0.0).to(tl.float32)
    bad = tl.max((given != given).to(tl.int32), axis=0)
    number = tl.where(given == given, given, 0.0)
    size = tl.abs(number)
    high = tl.max(number, axis=0)
    tl.store(lows + program, tl.min(number, axis=0))
    tl.store(highs + program, tl.where(bad > 0, float("inf"), high))
    tl.store(leasts + program, tl.min(tl.where(size > 0, tl.minimum(size, 1.0), 1.0), axis=0))

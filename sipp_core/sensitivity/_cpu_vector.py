"""One product in vector registers, written in LLVM's own terms: the heart of the CPU kernel.

LLVM splits the vector into whatever the processor has (AVX-512, AVX2, NEON); of the same loop in
numba it makes scalars. No fast-math: each product is rounded once.
"""

# numba infers the types of what it compiles, and its intrinsics are called without `typing`.
# pyright: reportMissingParameterType=false, reportCallIssue=false
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

ROWS = 32  # two vectors of AVX-512 float32; a power of 2


@intrinsic
def largest_product(typing, entries, inverses):
    """Largest entries[x] * inverses[x], of arrays of ROWS numbers without NaN."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, width = context.get_value_type(signature.return_type), ROWS
        vector = ir.VectorType(kind, width)

        def load(array: Any, value: Any) -> Any:
            data = context.make_array(array)(context, builder, value).data
            loaded = builder.load(builder.bitcast(data, ir.PointerType(vector)))
            loaded.align = signature.return_type.bitwidth // 8
            return loaded

        best = builder.fmul(*map(load, signature.args, args))
        while width > 1:
            width //= 2
            low, high = (
                builder.shuffle_vector(
                    best, best, ir.Constant(ir.VectorType(ir.IntType(32), width), list(order))
                )
                for order in (range(width), range(width, 2 * width))
            )
            best = builder.select(builder.fcmp_ordered(">", high, low), high, low)
        return builder.extract_element(best, ir.Constant(ir.IntType(32), 0))

    return entries.dtype(entries, inverses), generate

"""What compiled loops do in vector registers, written in LLVM's own terms: load, store, transpose.

LLVM splits a vector into whatever the processor has (AVX-512, AVX2, NEON).
"""

# numba infers the types of what it compiles, and its intrinsics are called without `typing`.
# pyright: reportMissingParameterType=false, reportCallIssue=false
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


def number(value: int, bits: int = 32) -> Any:
    """A whole number of LLVM's."""
    return ir.Constant(ir.IntType(bits), value)


class Array:
    """One argument of an intrinsic: where its elements lie."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        self.builder, self.element = builder, context.get_value_type(kind.dtype)
        self.bytes = kind.dtype.bitwidth // 8
        array = context.make_array(kind)(context, builder, value)
        self.data, self.shape = array.data, cgutils.unpack_tuple(builder, array.shape)

    def at(self, *index: Any) -> Any:
        """Address of an element; with two indices, of a matrix in C's order."""
        place = index[0]
        if len(index) == 2:
            place = self.builder.add(self.builder.mul(place, self.shape[1]), index[1])
        return self.builder.gep(self.data, [place])

    def load(self, width: int, *index: Any) -> Any:
        """`width` elements from there on, in one register."""
        pointer = ir.PointerType(ir.VectorType(self.element, width))
        loaded = self.builder.load(self.builder.bitcast(self.at(*index), pointer))
        loaded.align = self.bytes
        return loaded

    def store(self, vector: Any, *index: Any) -> None:
        """Write a register from there on."""
        pointer = ir.PointerType(vector.type)
        self.builder.store(
            vector, self.builder.bitcast(self.at(*index), pointer)
        ).align = self.bytes


@intrinsic(prefer_literal=True)
def transpose(typing, width, given, places, first, scale, shift, into, row, column):
    """Write given[places[first + k] * scale + shift + j] as into[row + j, column + k].

    j and k below `width`, a power of two; given and places flat, into a matrix in C's order.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> None:
        count, half = width.literal_value, width.literal_value // 2
        source, starts, written = (
            Array(context, builder, signature.args[k], args[k]) for k in (1, 2, 6)
        )
        lanes = []
        for k in range(count):
            start = builder.load(starts.at(builder.add(args[3], number(k, 64))))
            place = builder.add(builder.mul(start, args[4]), args[5])
            lanes.append(source.load(count, place))
        mixes = [
            ir.Constant(
                ir.VectorType(ir.IntType(32), count),
                [k for j in range(start, start + half) for k in (j, count + j)],
            )
            for start in (0, half)
        ]
        # Each turn shuffles all lanes as a pack of cards; log2(width) of them transpose.
        for _ in range(count.bit_length() - 1):
            pairs = zip(lanes[:half], lanes[half:], strict=True)
            lanes = [builder.shuffle_vector(*pair, mix) for pair in pairs for mix in mixes]
        for j, lane in enumerate(lanes):
            written.store(lane, builder.add(args[7], number(j, 64)), args[8])

    whole = types.int64
    return types.void(width, given, places, whole, whole, whole, into, whole, whole), generate

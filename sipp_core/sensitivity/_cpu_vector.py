"""Loops over vector registers, written in LLVM's own terms: the heart of the CPU kernel.

LLVM splits a vector into whatever the processor has (AVX-512, AVX2, NEON); of the same loops in
numba it makes scalars, or reads and writes what could stay in registers. No fast-math: each product
is rounded once. What an array holds outside of its columns is never read.
"""

# numba infers the types of what it compiles, and its intrinsics are called without `typing`.
# pyright: reportMissingParameterType=false, reportCallIssue=false
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from sipp_core.runtime.vectors import Array, number

ROWS = 32  # two vectors of AVX-512 float32; a power of 2
WIDE, NARROW = 16, 4  # columns at once, the fewer where there are not so many


def _splat(builder: Any, value: Any, width: int) -> Any:
    vector = ir.VectorType(value.type, width)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, number(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
    return builder.shuffle_vector(one, one, zeros)


def _larger(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", one, other), one, other)


@intrinsic
def largest_product(typing, entries, inverses):
    """Largest entries[x] * inverses[x], of arrays of ROWS numbers without NaN."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        width, first = ROWS, number(0, 64)
        arrays = [Array(context, builder, *pair) for pair in zip(signature.args, args, strict=True)]
        best = builder.fmul(*(array.load(width, first) for array in arrays))
        while width > 1:
            width //= 2
            low, high = (
                builder.shuffle_vector(
                    best, best, ir.Constant(ir.VectorType(ir.IntType(32), width), list(order))
                )
                for order in (range(width), range(width, 2 * width))
            )
            best = _larger(builder, high, low)
        return builder.extract_element(best, number(0))

    return entries.dtype(entries, inverses), generate


@intrinsic(prefer_literal=True)
def raise_peaks_of(typing, width, rows, order, factors, start, column, floor, peaks, place):
    """Write peaks[place..] of `width` columns of rows order[x], times factors[order[x] - start].

    A peak is at least `floor`, or 0 if all of its column is.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> None:
        count = width.literal_value
        given, places, scales, into = (
            Array(context, builder, signature.args[k], args[k]) for k in (1, 2, 3, 7)
        )
        begin, first, least, where = args[4], args[5], args[6], args[8]
        kind = ir.VectorType(given.element, count)
        peak, raw = (cgutils.alloca_once_value(builder, ir.Constant(kind, [0.0] * count))
                     for _ in range(2))  # fmt: skip
        with cgutils.for_range(builder, places.shape[0]) as loop:
            row = builder.load(places.at(loop.index))
            factor = builder.load(scales.at(builder.sub(row, begin)))
            values = given.load(count, row, first)
            scaled = builder.fmul(values, _splat(builder, factor, count))
            builder.store(_larger(builder, scaled, builder.load(peak)), peak)
            builder.store(_larger(builder, values, builder.load(raw)), raw)
        zero = ir.Constant(kind, [0.0] * count)
        found = _larger(builder, builder.load(peak), _splat(builder, least, count))
        alive = builder.fcmp_ordered(">", builder.load(raw), zero)
        into.store(builder.select(alive, found, zero), where)

    signature = types.void(
        width, rows, order, factors, types.int64, types.int64, rows.dtype, peaks, types.int64
    )
    return signature, generate


@intrinsic(prefer_literal=True)
def promising(typing, width, weights, best, peaks, place, plus, minus):
    """Bits of which of `width` weights' maxima can rise: min(1, |w| max r max a) > best."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, at = width.literal_value, args[4]
        sizes, highest, bounds = (
            Array(context, builder, signature.args[k], args[k]).load(count, at) for k in (1, 2, 3)
        )
        if highest.type != sizes.type:  # shares in float64 of maxima that are kept in float32
            highest = builder.fpext(highest, sizes.type)
        zero, one = (ir.Constant(sizes.type, [value] * count) for value in (0.0, 1.0))
        positive = builder.fcmp_ordered(">", sizes, zero)
        top = builder.select(positive, *(_splat(builder, args[k], count) for k in (5, 6)))
        size = builder.select(positive, sizes, builder.fsub(zero, sizes))
        share = builder.fmul(size, builder.fmul(top, bounds))
        # A share of 1 is never beaten, and 0 * inf is no share.
        rises = builder.and_(
            builder.fcmp_ordered(">", share, highest), builder.fcmp_ordered("<", highest, one)
        )
        return builder.zext(builder.bitcast(rises, ir.IntType(count)), ir.IntType(64))

    kind = weights.dtype
    return types.uint64(width, weights, best, peaks, types.int64, kind, kind), generate


@intrinsic
def lowest_bit(typing, bits):
    """Place of the lowest bit of a whole number other than 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate

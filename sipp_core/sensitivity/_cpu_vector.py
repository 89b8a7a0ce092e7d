"""Two loops in vector registers, written in LLVM's own terms: the heart of the CPU kernel.

A loop over a list of entries (row x as a byte, value a) keeps LANES neurons in registers; LLVM
splits them into whatever the processor has (AVX-512, AVX2, NEON). The array loops that numba makes
itself reload and store them at every step, at a quarter of the speed. No fast-math: each product is
rounded once, `max` keeps what it has where a value is not greater, and NaN is never greater.
"""

# numba infers the types of what it compiles, and its intrinsics are called without `typing`.
# pyright: reportMissingParameterType=false, reportCallIssue=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 32  # neurons side by side; 128 rows of both denominators then fit a 48 KiB cache
_BITS = 512  # width of one LLVM vector; 256 where that is what the processor prefers

_i8, _i32, _i64 = (ir.IntType(bits) for bits in (8, 32, 64))
# Addresses of two kinds of state, weights, denominators of + and -, rows and values of the entries;
# then the number of entries.
_ADDRESSES = (types.uintp,) * 7 + (types.intp,)


class _Emit:
    """Vectors of one element type at addresses, and the loop over entries."""

    def __init__(self, builder: Any, bits: int) -> None:
        self.b = builder
        self.scalar = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.width = _BITS // bits
        self.vector = ir.VectorType(self.scalar, self.width)
        self.integers = ir.VectorType(_i32, self.width)
        self.parts = range(LANES // self.width)

    def splat(self, value: Any, kind: Any) -> Any:
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.b.insert_element(undefined, value, ir.Constant(_i32, 0))
        order = ir.Constant(ir.VectorType(_i32, self.width), [0] * self.width)
        return self.b.shuffle_vector(first, undefined, order)

    def _at(self, address: Any, kind: Any, element: Any, offset: Any) -> Any:
        base = self.b.inttoptr(address, ir.PointerType(element))
        return self.b.bitcast(self.b.gep(base, [offset]), ir.PointerType(kind))

    def load(self, address: Any, kind: Any, element: Any, offset: Any) -> Any:
        value = self.b.load(self._at(address, kind, element, offset))
        value.align = 1 if element is _i8 else 4
        return value

    def loads(self, address: Any, base: Any, kind: Any = None, element: Any = None) -> list[Any]:
        """Load LANES values that start `base` elements behind an address."""
        starts = [self.b.add(base, ir.Constant(_i64, k * self.width)) for k in self.parts]
        kind, element = kind or self.vector, element or self.scalar
        return [self.load(address, kind, element, start) for start in starts]

    def store(self, values: list[Any], address: Any, element: Any) -> None:
        for k, value in zip(self.parts, values, strict=True):
            start = ir.Constant(_i64, k * self.width)
            self.b.store(value, self._at(address, value.type, element, start)).align = 4

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.width)

    def larger(self, value: Any, kept: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered(">", value, kept), value, kept)

    def loop(self, args: Any, state: list[Any], step: Callable[..., list[Any]]) -> list[Any]:
        """Carry `state` through all entries: step(k-th part's r * a, row, state) -> new state."""
        weights, plus, minus, rows, values, count = args[2:8]
        zero = ir.Constant(_i64, 0)
        positive = [
            self.b.fcmp_ordered(">", w, self.constant(0.0)) for w in self.loads(weights, zero)
        ]
        before = self.b.block
        head, body, after = (self.b.append_basic_block(name) for name in ("head", "body", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        entry = self.b.phi(_i64)
        carried = [self.b.phi(value.type) for value in state]
        self.b.cbranch(self.b.icmp_signed("<", entry, count), body, after)
        self.b.position_at_end(body)
        row = self.b.zext(self.load(rows, _i8, _i8, entry), _i32)
        value = self.splat(self.load(values, self.scalar, self.scalar, entry), self.vector)
        base = self.b.mul(self.b.zext(row, _i64), ir.Constant(_i64, LANES))
        inverse = [
            self.b.select(chosen, a, b)
            for chosen, a, b in zip(
                positive, self.loads(plus, base), self.loads(minus, base), strict=True
            )
        ]
        new = step([self.b.fmul(r, value) for r in inverse], row, carried)
        entry.add_incoming(zero, before)
        entry.add_incoming(self.b.add(entry, ir.Constant(_i64, 1)), self.b.block)
        for phi, first, following in zip(carried, state, new, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(following, self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)
        return carried


def _signature(element: Any) -> Any:
    return types.void(*_ADDRESSES, element)


@intrinsic
def climb(typing, state, more, weights, plus, minus, rows, values, count, zero):
    """state[k] = max(state[k], max over entries of r[x, k] * a), r by the sign of weights[k]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit = _Emit(builder, signature.args[8].bitwidth)
        start = emit.loads(args[0], ir.Constant(_i64, 0))

        def step(ratio: list[Any], _: Any, best: list[Any]) -> list[Any]:
            return [emit.larger(v, kept) for v, kept in zip(ratio, best, strict=True)]

        emit.store(emit.loop(args, start, step), args[0], emit.scalar)
        return context.get_dummy_value()

    return _signature(zero), generate


@intrinsic
def climb_first(typing, state, more, weights, plus, minus, rows, values, count, zero):
    """As climb, of min(1, |w| r a); more[k] is the row that set it (int32).

    The first entry that attains a maximum sets it, and one that only equals it does not.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit = _Emit(builder, signature.args[8].bitwidth)
        zero_, one = ir.Constant(_i64, 0), emit.constant(1.0)
        sizes = [emit.larger(w, builder.fneg(w)) for w in emit.loads(args[2], zero_)]
        start = emit.loads(args[0], zero_) + emit.loads(args[1], zero_, emit.integers, _i32)
        half = len(emit.parts)

        def step(ratio: list[Any], row: Any, carried: list[Any]) -> list[Any]:
            new: list[Any] = []
            where: list[Any] = []
            here = emit.splat(row, emit.integers)
            for k in emit.parts:
                share = builder.fmul(sizes[k], ratio[k])
                share = builder.select(builder.fcmp_ordered("<", share, one), share, one)
                better = builder.fcmp_ordered(">", share, carried[k])
                new.append(builder.select(better, share, carried[k]))
                where.append(builder.select(better, here, carried[half + k]))
            return new + where

        final = emit.loop(args, start, step)
        emit.store(final[:half], args[0], emit.scalar)
        emit.store(final[half:], args[1], _i32)
        return context.get_dummy_value()

    return _signature(zero), generate

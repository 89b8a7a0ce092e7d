"""Sums in the very order of numpy's, for compiled loops that must give the same bits."""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

from sipp_theory.numeric.compiling import compiled_leaf

# Numbers that numpy adds in eight strands, without halving; and how often more can be halved.
STRANDS, DEPTH = 128, 64


@compiled_leaf
def _strand(a, first, count):
    """Sum of up to `STRANDS` numbers."""
    if count < 8:
        total = 0.0
        for i in range(count):
            total += a[first + i]
        return total
    r0, r1, r2, r3 = a[first], a[first + 1], a[first + 2], a[first + 3]
    r4, r5, r6, r7 = a[first + 4], a[first + 5], a[first + 6], a[first + 7]
    end = count - count % 8
    for i in range(first + 8, first + end, 8):
        r0, r1, r2, r3 = r0 + a[i], r1 + a[i + 1], r2 + a[i + 2], r3 + a[i + 3]
        r4, r5, r6, r7 = r4 + a[i + 4], r5 + a[i + 5], r6 + a[i + 6], r7 + a[i + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for i in range(first + end, first + count):
        total += a[i]
    return total


@compiled_leaf
def add_up(a, count, places, sums):
    """`a[:count].sum()` of a float64 array without gaps: halves of halves, in eight strands each.

    `places` and `sums` are room to work in, (3, DEPTH) whole numbers and (DEPTH,) float64: the
    halves that are begun, and what their left ones came to.
    """
    depth = 0
    places[0, 0], places[1, 0], places[2, 0] = 0, count, 0
    while True:
        first, many = places[0, depth], places[1, depth]
        if many > STRANDS:
            half = many // 2
            half -= half % 8
            depth += 1
            places[0, depth], places[1, depth], places[2, depth] = first, half, 0
            continue
        value = _strand(a, first, many)
        while depth > 0 and places[2, depth] == 1:  # a right half: with its left one it is whole
            depth -= 1
            value = sums[depth] + value
        if depth == 0:
            return value
        sums[depth - 1] = value
        first, many = places[0, depth - 1], places[1, depth - 1]
        half = places[1, depth]
        places[0, depth], places[1, depth], places[2, depth] = first + half, many - half, 1

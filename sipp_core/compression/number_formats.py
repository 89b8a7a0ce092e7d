"""Numbers that a file holds exactly, in few bits: formats, and lists of them in rising order."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from sipp_core.compression.loops import halves
from sipp_core.compression.range_coder import WHOLE, Coder, Integers


@dataclass(frozen=True)
class Format:
    """A way to write numbers above 0; the greater number has the greater pattern."""

    name: str
    bits: int  # of a pattern
    pattern: Callable[[float], int | None]  # None if it does not hold the number exactly
    number: Callable[[int], float]  # what a pattern means


def _small(name: str, fraction: int, lowest: int) -> Format:
    """Five bits of exponent from 2**lowest on, and so many bits of fraction."""
    top = 1 << fraction

    def pattern(value: float) -> int | None:
        share, exponent = math.frexp(value)
        scaled, place = share * 2 * top, exponent - 1 - lowest
        if scaled != int(scaled) or not 0 <= place < 32:
            return None
        return place * top + int(scaled) - top

    def number(pattern: int) -> float:
        return math.ldexp(top + pattern % top, pattern // top + lowest - fraction)

    return Format(name, 5 + fraction, pattern, number)


def _ieee(name: str, code: str, whole: str, bits: int, dropped: int = 0) -> Format:
    """A format of struct without its sign and without so many of its last bits."""

    def pattern(value: float) -> int | None:
        try:
            (bits,) = struct.unpack(whole, struct.pack(code, value))
        except OverflowError:
            return None
        return bits >> dropped if number(bits >> dropped) == value else None

    def number(pattern: int) -> float:
        return struct.unpack(code, struct.pack(whole, pattern << dropped))[0]

    return Format(name, bits, pattern, number)


FORMATS = (
    _small("power of two", 0, -24),
    _small("minifloat", 3, -25),
    _ieee("bfloat16", ">f", ">I", 15, dropped=16),
    _ieee("float16", ">e", ">H", 15),
    _ieee("float32", ">f", ">I", 31),
    _ieee("float64", ">d", ">Q", 63),
)
"""Every format, in the order of their numbers in a file."""


def shortest(values: list[float]) -> int:
    """Number of the shortest format that holds all of some finite numbers above 0 exactly."""
    for k, way in enumerate(FORMATS):
        if all(way.pattern(value) is not None for value in values):
            return k
    raise AssertionError("float64 holds every float")


def rising(coder: Coder, values: Sequence[int], count: int, bits: int) -> list[int]:
    """Code so many whole numbers of so many bits in rising order.

    Their order being known saves log2(count!) bits: at each bit only how many have a 1 is coded,
    whose chance is binomial.
    """
    if count == 0 or bits == 0:
        return [0] * count
    numbers = np.array([0] * count if coder.reading else values, dtype=np.uint64)
    stack = np.empty((bits + 1, 3), np.int64)
    halves(*coder.room(count * bits), _chances(count.bit_length()), numbers, stack, bits)
    coder.check()
    return numbers.tolist()


@cache
def _chances(bits: int) -> Integers:
    """Chances that of some fair tosses more than k are heads if k are, in WHOLE-ths.

    Shape: (2**bits, 2**bits), by the number of tosses and by k.
    """
    chances = np.zeros((1 << bits, 1 << bits), np.int64)
    for tosses in range(1, 1 << bits):
        rest = 1 << tosses
        ways = 1
        for k in range(tosses):
            chances[tosses, k] = min(max((rest - ways) * WHOLE // rest, 1), WHOLE - 1)
            rest -= ways
            ways = ways * (tosses - k) // (k + 1)
    return chances

"""Numbers that a file holds exactly, in few bits: formats, and lists of them in rising order."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from sipp_core.compression.range_coder import WHOLE, Coder


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


def rising(coder: Coder, values: list[int], count: int, bits: int) -> list[int]:
    """Code so many whole numbers of so many bits in rising order.

    Their order being known saves log2(count!) bits: at each bit only how many have a 1 is coded,
    whose chance is binomial.
    """
    if count == 0 or bits == 0:
        return [0] * count
    half = 1 << (bits - 1)
    high = _binomial(coder, sum(value >= half for value in values), count)
    lower = rising(coder, values[: count - high], count - high, bits - 1)
    upper = [value - half for value in values[count - high :]]
    return lower + [half + value for value in rising(coder, upper, high, bits - 1)]


def _binomial(coder: Coder, value: int, count: int) -> int:
    """Code how often heads came in so many fair tosses."""
    rest = 1 << count
    ways = 1
    for k in range(count):
        more = (rest - ways) * WHOLE // rest
        if not coder.bit(int(value > k), min(max(more, 1), WHOLE - 1)):
            return k
        rest -= ways
        ways = ways * (count - k) // (k + 1)
    return count

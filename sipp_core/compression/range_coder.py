"""Binary decisions with known probabilities in one range-coded stream, written and read alike.

A probability is a whole number of `WHOLE`-ths, so that every machine computes the same stream. The
routines that model a network are written once: they hand each decision to a `Recorder`, which takes
it down, or to a `Reader`, which answers from the stream and looks at no value that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sipp_core.compression.loops import (
    AHEAD,
    BEYOND,
    BROKEN,
    COST,
    FAULT,
    LIMIT,
    ONE_WORD,
    PLACE,
    PRECISION,
    RANGE,
    READING,
    SPENT,
    U32,
    UNITS,
    WHOLE,
    WORD_BITS,
    Integers,
    State,
    Words,
    agrees,
    code,
    read_words,
)
from sipp_theory.numeric.compiling import compiled

__all__ = [
    "WHOLE", "Coder", "DamagedError", "Integers", "Reader", "Recorder", "TooLongError", "fixed",
    "flag", "one_of", "write",
]  # fmt: skip

# A coder as compiled loops see it.
Stream = tuple[State, Words]
# Shares of a bit that sums of parts are exact in.
GRAIN = 1 << 20
# Decisions whose bits are worked out at once.
AT_ONCE = 1 << 18
SAID = {BROKEN: "its stream breaks off", BEYOND: "it holds a number beyond all bounds"}


class DamagedError(ValueError):
    """A stream that no recorder wrote."""


class TooLongError(Exception):
    """What is taken down costs more than it may."""


NO_LIMIT = (1 << 64) - 1


@compiled
def write(taken: Words) -> Any:
    """The stream of what was taken down, as words of 32 bits."""
    out = np.empty(1024, np.uint32)
    size = held = 0
    first = np.uint64(0)
    lower, width = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)
    for item in taken:
        if item < 0:
            left = np.uint64(-1 - item) << np.uint64(24 - WORD_BITS)
            share = np.uint64(1 << (24 - WORD_BITS))
        else:
            one = item & (WHOLE - 1)
            below = np.uint64((((WHOLE - one) * (UNITS - 2)) >> 20) + 1)
            if item < WHOLE:
                left, share = np.uint64(0), below
            else:
                left, share = below, np.uint64(UNITS) - below
        scale = width >> PRECISION
        width = scale * share
        after = lower + scale * left
        if size + held + 4 > len(out):
            larger = np.empty(2 * len(out) + held, np.uint32)
            larger[:size] = out[:size]
            out = larger
        # Words are held back while a carry may still reach them.
        if held > 0 and after + width > after:
            carry = after < lower
            out[size] = np.uint32(first + np.uint64(1)) if carry else np.uint32(first)
            for k in range(1, held):
                out[size + k] = np.uint32(0) if carry else np.uint32(0xFFFFFFFF)
            size += held
            held = 0
        lower = after
        if width < ONE_WORD:
            width <<= U32
            word = lower >> U32
            lower <<= U32
            if held > 0:
                held += 1
            elif lower + width > lower:
                out[size] = np.uint32(word)
                size += 1
            else:
                held, first = 1, word
    if len(taken) == 0:
        return out[:0]
    point = lower + (ONE_WORD - np.uint64(1))
    if held > 0:
        carry = point < lower
        out[size] = np.uint32(first + np.uint64(1)) if carry else np.uint32(first)
        for k in range(1, held):
            out[size + k] = np.uint32(0) if carry else np.uint32(0xFFFFFFFF)
        size += held
    out[size] = np.uint32(point >> U32)
    size += 1
    if (lower + width) >> U32 == point >> U32:
        out[size] = np.uint32(0)
        size += 1
    return out[:size]


def _started(reading: bool) -> State:
    state = np.zeros(7, np.uint64)
    state[READING] = reading
    state[LIMIT] = NO_LIMIT
    return state


class Coder:
    """What models hand their decisions to: a `Recorder` or a `Reader`."""

    reading: bool
    _stream: Stream

    @property
    def _state(self) -> State:
        return self._stream[0]

    def room(self, count: int) -> Stream:
        """The coder as compiled loops see it, with room for so many decisions more."""
        raise NotImplementedError

    def words(self, values: Words) -> Words:
        """Code numbers below 2**WORD_BITS, all equally likely; the numbers."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise what went wrong since."""
        raise NotImplementedError

    def bit(self, value: int, one: int) -> int:
        """Code a decision that is 1 with probability one/WHOLE, 0 < one < WHOLE; its value."""
        value = code(*self.room(1), value, one)
        self.check()
        return value


class Recorder(Coder):
    """Takes decisions down, to be measured and written as one stream.

    Where they are sure to take more bits than a limit, `TooLongError` ends it.
    """

    reading = False

    def __init__(self, limit: float = math.inf) -> None:
        self._stream = _started(False), np.empty(64, np.int32)
        if limit < math.inf:
            # A bit more, so that no rounding of a cost ends what would have been the shortest.
            self._state[LIMIT] = max(0, math.ceil((limit + 1) * COST))
        self._parts: list[tuple[str, str, int]] = []

    @property
    def _size(self) -> int:
        return int(self._state[PLACE])

    @property
    def left(self) -> float:
        """Bits up to the limit."""
        spent, limit = map(int, self._state[SPENT : LIMIT + 1])
        return math.inf if limit == NO_LIMIT else (limit - spent) / COST

    def check(self) -> None:
        """Raise where the limit is passed."""
        if self._state[SPENT] > self._state[LIMIT]:
            raise TooLongError

    @property
    def _taken(self) -> Words:
        return self._stream[1][: self._size]

    def room(self, count: int) -> Stream:
        """The recorder as compiled loops see it, with room for so many decisions more."""
        state, tape = self._stream
        if self._size + count > tape.size:
            larger = np.empty(2 * self._size + count, np.int32)
            larger[: self._size] = self._taken
            self._stream = state, larger
        return self._stream

    def words(self, values: Words) -> Words:
        """Take down numbers below 2**WORD_BITS."""
        self._append(-1 - values)
        self._state[SPENT] += np.uint64(WORD_BITS * COST * values.size)
        self.check()
        return values

    def _append(self, items: Words) -> None:
        state, tape = self.room(items.size)
        tape[self._size : self._size + items.size] = items
        state[PLACE] += np.uint64(items.size)

    def part(self, layer: str, part: str) -> None:
        """Say what the following decisions speak of."""
        self._parts.append((layer, part, self._size))

    def extend(self, other: Recorder) -> None:
        """Take over what another recorder took down."""
        here = self._size
        self._parts += [(a, b, here + first) for a, b, first in other._parts]
        self._append(other._taken)
        self._state[SPENT] += other._state[SPENT]

    def _costs(self, taken: Words) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Bits of decisions, by their probabilities."""
        ones = (taken & (WHOLE - 1)).astype(np.float64)
        np.subtract(WHOLE, ones, out=ones, where=taken < WHOLE)
        ones /= WHOLE
        return np.negative(np.log2(ones, out=ones), out=ones)

    def cost(self) -> float:
        """Bits that the decisions take, by their probabilities."""
        decisions = self._taken[self._taken >= 0]
        return float(self._costs(decisions).sum()) + WORD_BITS * (self._size - decisions.size)

    def parts(self) -> list[tuple[str, str, float]]:
        """Bits of each part, in whole GRAIN-ths."""
        ends = [start for *_, start in self._parts] + [self._size]
        bits, raws = self._until(ends)
        result = []
        for at, (layer, part, _) in enumerate(self._parts):
            some = bits[at + 1] - bits[at] + WORD_BITS * (raws[at + 1] - raws[at])
            result.append((layer, part, round(some * GRAIN) / GRAIN))
        return result

    def _until(self, ends: Sequence[int]) -> tuple[list[float], list[int]]:
        """Bits of all decisions before each place, and words before it; places in order."""
        marks, total, words = list(ends), 0.0, 0
        bits, raws = list[float](), list[int]()
        for first in range(0, self._size + 1, AT_ONCE):
            some = self._taken[first : first + AT_ONCE]
            raw = some < 0
            costs = np.zeros(len(some) + 1)
            costs[1:][~raw] = self._costs(some[~raw])
            costs[0] = total  # one sum from the front, whatever the pieces
            sums, counts = np.cumsum(costs), np.concatenate([[0], np.cumsum(raw)])
            while marks and marks[0] <= first + len(some):
                at = marks.pop(0) - first
                bits.append(float(sums[at]))
                raws.append(words + int(counts[at]))
            total, words = float(sums[-1]), words + int(counts[-1])
        return bits, raws

    def content(self) -> bytes:
        """The stream, cut to the fewest bytes that still say the same when zeros follow."""
        taken = self._taken
        whole = write(taken).astype(">u4").tobytes()
        # Streams that begin alike are read from where they part.
        certain = max(0, len(whole) // 4 - 4)
        reader = Reader(whole)
        start = agrees(*reader.room(0), taken, 0, certain)
        read = 4 * int(reader.room(0)[0][PLACE])
        for size in range(max(0, len(whole) - 8), len(whole)):
            # The next number of so many bytes, so that what was cut off is no less.
            number = int.from_bytes(whole[:size], "big") + 1
            if number >> 8 * size:
                continue
            cut = number.to_bytes(size, "big")
            alike = cut[:read] == whole[:read]
            stream = reader.at(cut) if alike else Reader(cut).room(0)
            if agrees(*stream, taken, start if alike else 0, len(whole) + 8) == len(taken):
                return cut
        return whole


class Reader(Coder):
    """Answers decisions from a stream that a recorder wrote."""

    reading = True

    def __init__(self, content: bytes) -> None:
        words, state = _padded(content), _started(True)
        state[PLACE] = 2
        state[RANGE] = np.uint64(0xFFFFFFFFFFFFFFFF)
        state[AHEAD] = int.from_bytes(content[:8].ljust(8, bytes(1)), "big")
        self._stream = state, words

    def room(self, count: int) -> Stream:
        """The reader as compiled loops see it."""
        return self._stream

    def at(self, content: bytes) -> Stream:
        """Another content, which begins alike, from where this reader stands."""
        return (self._state.copy(), _padded(content))

    def check(self) -> None:
        """Raise what went wrong while reading."""
        if fault := int(self._state[FAULT]):
            raise DamagedError(SAID[fault])

    def words(self, values: Words) -> Words:
        """Read as many numbers as are given; the given ones are not looked at."""
        values = np.empty(values.shape, np.int32)
        read_words(*self._stream, values)
        self.check()
        return values


def _padded(content: bytes) -> Words:
    # What the decoder looks ahead to is zeros, wherever the content ends.
    padded = content + bytes(-len(content) % 4 + 8)
    return np.frombuffer(padded, dtype=">u4").astype(np.uint32).view(np.int32)


def flag(coder: Coder, value: int) -> int:
    """Code a decision as likely as not."""
    return coder.bit(value, WHOLE // 2)


def fixed(coder: Coder, value: int, bits: int) -> int:
    """Code a whole number of so many bits, all equally likely."""
    number = 0
    for place in reversed(range(bits)):
        number = 2 * number + flag(coder, (value >> place) & 1)
    return number


def one_of(coder: Coder, value: int, count: int) -> int:
    """Code a whole number below a count, all equally likely, in log2(count) bits."""
    low, size = 0, count
    while size > 1:
        half = size // 2
        if coder.bit(int(value >= low + half), (size - half) * WHOLE // size):
            low, size = low + half, size - half
        else:
            size = half
    return low

"""Binary decisions with known probabilities in one range-coded stream, written and read alike.

A probability is a whole number of `WHOLE`-ths, so that every machine computes the same stream. The
routines that model a network are written once: they hand each decision to a `Recorder`, which takes
it down, or to a `Reader`, which answers from the stream and looks at no value that it is given.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol, cast

import constriction
import numpy as np

WHOLE = 1 << 20
WORD_BITS = 16
# Shares of a bit that sums of parts are exact in.
GRAIN = 1 << 20

# It comes without types.
_STREAM = cast(Any, constriction).stream
_BERNOULLI = _STREAM.model.Bernoulli
_UNIFORM = _STREAM.model.Uniform
_ENCODER = _STREAM.queue.RangeEncoder
_DECODER = _STREAM.queue.RangeDecoder

Words = np.ndarray[Any, np.dtype[np.int32]]


class DamagedError(ValueError):
    """A stream that no recorder wrote."""


class Coder(Protocol):
    """What models hand their decisions to."""

    def bit(self, value: int, one: int) -> int:
        """Code a decision that is 1 with probability one/WHOLE, 0 < one < WHOLE; its value."""
        ...

    def words(self, values: Words) -> Words:
        """Code numbers below 2**WORD_BITS, all equally likely; the numbers."""
        ...


class Recorder:
    """Takes decisions down, to be measured and written as one stream."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._ones: list[int] = []
        # Numbers as they are, with how many decisions came before them.
        self._words: list[tuple[int, Words]] = []
        self._parts: list[tuple[str, str, int, int]] = []

    def bit(self, value: int, one: int) -> int:
        """Take down a decision."""
        self._values.append(value)
        self._ones.append(one)
        return value

    def words(self, values: Words) -> Words:
        """Take down numbers below 2**WORD_BITS."""
        self._words.append((len(self._values), values))
        return values

    def part(self, layer: str, part: str) -> None:
        """Say what the following decisions speak of."""
        self._parts.append((layer, part, len(self._values), len(self._words)))

    def extend(self, other: Recorder) -> None:
        """Take over what another recorder took down."""
        here, word = len(self._values), len(self._words)
        self._parts += [(a, b, here + first, word + k) for a, b, first, k in other._parts]
        self._words += [(here + before, values) for before, values in other._words]
        self._values += other._values
        self._ones += other._ones

    def _costs(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        ones = np.asarray(self._ones, dtype=np.float64)
        likely = np.where(np.asarray(self._values, dtype=bool), ones, WHOLE - ones)
        return -np.log2(likely / WHOLE)

    def cost(self) -> float:
        """Bits that the decisions take, by their probabilities."""
        return float(self._costs().sum()) + sum(WORD_BITS * v.size for _, v in self._words)

    def parts(self) -> list[tuple[str, str, float]]:
        """Bits of each part, in whole GRAIN-ths."""
        costs = np.concatenate([[0.0], np.cumsum(self._costs())])
        after = ("", "", len(self._values), len(self._words))
        found = []
        for (layer, part, start, word), (*_, end, last) in pairwise([*self._parts, after]):
            raw = sum(WORD_BITS * values.size for _, values in self._words[word:last])
            bits = float(costs[end] - costs[start]) + raw
            found.append((layer, part, round(bits * GRAIN) / GRAIN))
        return found

    def _runs(self) -> list[tuple[Words, Any]]:
        """Symbols in their order, each run with the argument of its model."""
        values = np.asarray(self._values, dtype=np.int32)
        chances = np.asarray(self._ones, dtype=np.float64) / WHOLE
        runs: list[tuple[Words, Any]] = []
        start = 0
        for end, words in [*self._words, (values.size, None)]:
            if end > start:
                runs.append((values[start:end], chances[start:end]))
                start = end
            if words is not None and words.size:
                runs.append((words, None))
        return runs

    def content(self) -> bytes:
        """The stream, cut to the fewest bytes that still say the same when zeros follow."""
        encoder, runs = _ENCODER(), self._runs()
        for values, chances in runs:
            encoder.encode(values, *_model(chances))
        whole = encoder.get_compressed().astype(">u4").tobytes()
        for size in range(max(0, len(whole) - 8), len(whole)):
            # The next number of so many bytes, so that what was cut off is no less.
            number = int.from_bytes(whole[:size], "big") + 1
            if number >> 8 * size:
                continue
            cut = number.to_bytes(size, "big")
            if _says(cut, runs):
                return cut
        return whole


def _model(chances: Any) -> tuple[Any, ...]:
    """What the coder is given of a run: probabilities of decisions, None where all are equal."""
    return (_UNIFORM(1 << WORD_BITS),) if chances is None else (_BERNOULLI(perfect=False), chances)


def _decoder(content: bytes) -> Any:
    # What the decoder looks ahead to is zeros, wherever the content ends.
    padded = content + bytes(-len(content) % 4 + 8)
    return _DECODER(np.frombuffer(padded, dtype=">u4").astype(np.uint32))


def _says(content: bytes, runs: list[tuple[Words, Any]]) -> bool:
    decoder = _decoder(content)
    try:
        for values, chances in runs:
            count = (values.size,) if chances is None else ()
            if not np.array_equal(decoder.decode(*_model(chances), *count), values):
                return False
    except AssertionError:
        return False
    return True


class Reader:
    """Answers decisions from a stream that a recorder wrote."""

    def __init__(self, content: bytes) -> None:
        self._decoder = _decoder(content)

    def bit(self, value: int, one: int) -> int:
        """Read a decision; the value given is not looked at."""
        return self._decoded(_BERNOULLI(one / WHOLE, perfect=False))

    def words(self, values: Words) -> Words:
        """Read as many numbers as are given; the given ones are not looked at."""
        return self._decoded(*_model(None), values.size) if values.size else values

    def _decoded(self, *given: Any) -> Any:
        try:
            return self._decoder.decode(*given)
        except AssertionError as error:
            raise DamagedError("its stream breaks off") from error


def flag(coder: Coder, value: int) -> int:
    """Code a decision as likely as not."""
    return coder.bit(value, WHOLE // 2)


def fixed(coder: Coder, value: int, bits: int) -> int:
    """Code a whole number of so many bits, all equally likely."""
    found = 0
    for place in reversed(range(bits)):
        found = 2 * found + flag(coder, (value >> place) & 1)
    return found


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

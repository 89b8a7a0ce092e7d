"""Probabilities learnt from what was coded so far, by counting; nothing of them is sent.

A pair counts how often a decision was 0 and 1, in units of 1/`SEEN`. All of it is done in whole
numbers, so that the reader, on any machine, learns what the writer learnt.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from sipp_core.compression.range_coder import WHOLE, Coder, DamagedError, flag

SEEN = 32
# What a new pair starts from: 0.4 of each, a little below Krichevsky and Trofimov's half.
START = 13
# How much a pair is trusted that another tensor hands on.
TRUST = 12 * SEEN
# Variance that what a hint learnt in one tensor has in the next.
DOUBT = 0.02
LONGEST = 48
Pair = list[int]


class Book:
    """What was learnt: pairs by the context of their decision, hints by their name."""

    def __init__(self) -> None:
        self.pairs: dict[Hashable, Pair] = {}
        self.hints: dict[Hashable, Hint] = {}

    def pair(self, context: Hashable, zero: int = START, one: int = START) -> Pair:
        """The pair of a context; a new one starts from the given counts."""
        found = self.pairs.get(context)
        if found is None:
            found = self.pairs[context] = [zero, one]
        return found

    def hint(self, name: Hashable, variance: float, mean: float = 0.0) -> Hint:
        """The hint of a name; a new one has a weight of the given mean and variance."""
        found = self.hints.get(name)
        if found is None:
            found = self.hints[name] = [mean, variance]
        return found

    def copy(self) -> Book:
        """A copy that learns on its own."""
        found = Book()
        found.pairs = {context: list(pair) for context, pair in self.pairs.items()}
        found.hints = {name: list(hint) for name, hint in self.hints.items()}
        return found

    def aged(self) -> Book:
        """A copy that trusts what it learnt no more than so far."""
        found = self.copy()
        found.pairs = {context: shrunk(pair, TRUST) for context, pair in self.pairs.items()}
        for hint in found.hints.values():
            hint[1] += DOUBT
        return found

    def learn(self, other: Book) -> None:
        """Take over what another book knows."""
        self.pairs.update(other.pairs)
        self.hints.update(other.hints)


def shrunk(pair: Pair, trust: int) -> Pair:
    """A pair of the same shares with at most so much weight."""
    zero, one = pair
    total = zero + one
    if total <= trust:
        return [zero, one]
    return [max(1, zero * trust // total), max(1, one * trust // total)]


def adapt(coder: Coder, pair: Pair, value: int) -> int:
    """Code a decision by its pair, which then has seen it."""
    zero, one = pair
    chance = one * WHOLE // (zero + one)
    found = coder.bit(value, min(max(chance, 1), WHOLE - 1))
    pair[found] += SEEN
    return found


def choose(coder: Coder, book: Book, what: Hashable, value: int, count: int) -> int:
    """Code one of so many options; the first ones are the likelier, until the book knows better."""
    for k in range(count - 1):
        if not adapt(coder, book.pair((what, k), START, START + k), int(value > k)):
            return k
    return count - 1


def number(coder: Coder, book: Book, what: Hashable, value: int) -> int:
    """Code a whole number >= 0 of any size: the length of value + 1 adaptively, then its bits."""
    length = (value + 1).bit_length()
    found = 1
    while adapt(coder, book.pair((what, "length", found)), int(length > found)):
        found += 1
        if found > LONGEST:
            raise DamagedError("it holds a number beyond all bounds")
    result = 1
    for place in reversed(range(found - 1)):
        bit = ((value + 1) >> place) & 1
        # The first bit behind the leading one still has a shape; those that follow hardly.
        if place == found - 2:
            bit = adapt(coder, book.pair((what, "first", found), 2 * START, 2 * START), bit)
        else:
            bit = flag(coder, bit)
        result = 2 * result + bit
    return result - 1


# A hint: [mean, variance] of its weight.
Hint = list[float]
# exp(1/32), correctly rounded, as a literal: no machine's exp is trusted with it.
_ROOT = 1.0317434074991028
_PER_UNIT, _FARTHEST = 32, 14
SPREAD = 0.39269908169872414  # pi / 8


def _table() -> list[float]:
    """1 / (1 + exp(-x)) at x = 0, 1/32, ... by multiplication."""
    found, power = [], 1.0
    for _ in range(_PER_UNIT * _FARTHEST + 2):
        found.append(power / (1.0 + power))
        power *= _ROOT
    return found


_LOGISTIC = _table()


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)) within 2e-5, the same on every machine."""
    place = min(abs(x), float(_FARTHEST)) * _PER_UNIT
    k = int(place)
    low = _LOGISTIC[k]
    found = low + (_LOGISTIC[k + 1] - low) * (place - k)
    return found if x >= 0 else 1.0 - found


def decide(coder: Coder, said: list[tuple[Hint, float]], value: int) -> int:
    """Code a decision in the light of hints, each of a size, which then learn from it."""
    mean = spread = 0.0
    for hint, size in said:
        mean += hint[0] * size
        spread += hint[1] * size * size
    one = int(logistic(mean / math.sqrt(1.0 + SPREAD * spread)) * WHOLE)
    found = coder.bit(value, min(max(one, 1), WHOLE - 1))
    sure = logistic(mean)
    steep = sure * (1.0 - sure)
    gain = 1.0 / (1.0 + steep * spread)
    wrong = (found - sure) * gain
    for hint, size in said:
        by = hint[1] * size
        hint[0] += by * wrong
        hint[1] -= by * by * steep * gain
    return found

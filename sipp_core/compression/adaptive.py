"""Context models: probabilities learnt from what was coded so far; nothing of them is sent.

A pair counts how often a decision was 0 and 1 in its context, in units of 1/`SEEN`; hints are the
weights of a logistic regression, Gaussian and updated after each decision. Whole numbers and plain
arithmetic only, so that the reader, on any machine, learns what the writer learnt.
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
# A count of decisions that were 0 and of those that were 1.
Pair = list[int]
# The weight of a hint: its mean and its variance.
Hint = list[float]
# exp(1/32), correctly rounded, as a literal: no machine's exp is trusted with it.
ROOT = 1.0317434074991028
PER_UNIT, FARTHEST = 32, 14
SPREAD = 0.39269908169872414  # pi / 8


class Book:
    """What was learnt: pairs by the context of their decision, hints by their name."""

    def __init__(self) -> None:
        self.pairs: dict[Hashable, Pair] = {}
        self.hints: dict[Hashable, Hint] = {}

    def pair(self, context: Hashable, zero: int = START, one: int = START) -> Pair:
        """The pair of a context; a new one starts from the given counts."""
        if context not in self.pairs:
            self.pairs[context] = [zero, one]
        return self.pairs[context]

    def hint(self, name: Hashable, variance: float, mean: float = 0.0) -> Hint:
        """The hint of a name; a new one has a weight of the given mean and variance."""
        if name not in self.hints:
            self.hints[name] = [mean, variance]
        return self.hints[name]

    def copy(self) -> Book:
        """A copy that learns on its own."""
        book = Book()
        book.pairs = {context: list(pair) for context, pair in self.pairs.items()}
        book.hints = {name: list(hint) for name, hint in self.hints.items()}
        return book

    def aged(self) -> Book:
        """A copy that trusts what it learnt no more than so far."""
        book = self.copy()
        book.pairs = {context: _shrunk(pair) for context, pair in self.pairs.items()}
        for hint in book.hints.values():
            hint[1] += DOUBT
        return book

    def learn(self, other: Book) -> None:
        """Take over what another book knows."""
        self.pairs.update(other.pairs)
        self.hints.update(other.hints)


def _shrunk(pair: Pair) -> Pair:
    """A pair of the same shares with no more weight than is trusted."""
    total = sum(pair)
    return list(pair) if total <= TRUST else [max(1, count * TRUST // total) for count in pair]


def adapt(coder: Coder, pair: Pair, value: int) -> int:
    """Code a decision by its pair, which then has seen it."""
    zero, one = pair
    chance = one * WHOLE // (zero + one)
    decision = coder.bit(value, min(max(chance, 1), WHOLE - 1))
    pair[decision] += SEEN
    return decision


def choose(coder: Coder, book: Book, what: Hashable, value: int, count: int) -> int:
    """Code one of so many options; the first ones are the likelier, until the book knows better."""
    for k in range(count - 1):
        if not adapt(coder, book.pair((what, k), START, START + k), int(value > k)):
            return k
    return count - 1


def number(coder: Coder, book: Book, what: Hashable, value: int) -> int:
    """Code a whole number >= 0 of any size: the length of value + 1 adaptively, then its bits."""
    true_length, length = (value + 1).bit_length(), 1
    while adapt(coder, book.pair((what, "length", length)), int(true_length > length)):
        length += 1
        if length > LONGEST:
            raise DamagedError("it holds a number beyond all bounds")
    result = 1
    for place in reversed(range(length - 1)):
        bit = ((value + 1) >> place) & 1
        # The first bit behind the leading one still has a shape; those that follow hardly.
        if place == length - 2:
            bit = adapt(coder, book.pair((what, "first", length), 2 * START, 2 * START), bit)
        else:
            bit = flag(coder, bit)
        result = 2 * result + bit
    return result - 1


def _table() -> list[float]:
    """1 / (1 + exp(-x)) at x = 0, 1/32, ... by multiplication."""
    values, power = [], 1.0
    for _ in range(PER_UNIT * FARTHEST + 2):
        values.append(power / (1.0 + power))
        power *= ROOT
    return values


LOGISTIC = _table()


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)) within 2e-5, the same on every machine."""
    place = min(abs(x), float(FARTHEST)) * PER_UNIT
    k = int(place)
    low = LOGISTIC[k]
    value = low + (LOGISTIC[k + 1] - low) * (place - k)
    return value if x >= 0 else 1.0 - value


def decide(coder: Coder, context: list[tuple[Hint, float]], value: int) -> int:
    """Code a decision by logistic regression on hints, each of a size, which then learn from it."""
    mean = spread = 0.0
    for hint, size in context:
        mean += hint[0] * size
        spread += hint[1] * size * size
    one = int(logistic(mean / math.sqrt(1.0 + SPREAD * spread)) * WHOLE)
    decision = coder.bit(value, min(max(one, 1), WHOLE - 1))
    sure = logistic(mean)
    steep = sure * (1.0 - sure)
    gain = 1.0 / (1.0 + steep * spread)
    wrong = (decision - sure) * gain
    for hint, size in context:
        by = hint[1] * size
        hint[0] += by * wrong
        hint[1] -= by * by * steep * gain
    return decision

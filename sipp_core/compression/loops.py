"""The loops of the compressed file that run once a weight or a decision, compiled, in one module.

In one module because a compiled loop holds what it calls: the one on disk is renewed only when its
own file changes. `code` takes a decision down for a recorder, and for a reader answers from the
stream and looks at no value that it is given; everything above it is written once. The range coder
is constriction's (words of 32 bits, a state of 64, probabilities of 24). Whole numbers, + - * / and
square roots of float64 only, so that every machine decodes the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sipp_theory.numeric.compiling import compiled, compiled_leaf

WHOLE = 1 << 20
WORD_BITS = 16
# The range coder's probabilities are 2**-24-ths; a decision's leave one of them to either side.
PRECISION = np.uint64(24)
UNITS = 1 << 24
U32 = np.uint64(32)
ONE_WORD = np.uint64(1 << 32)
# What a state holds: how much was taken down or read, whether that is reading, what went wrong; of
# a reader the width of the interval and how far in it the stream's number lies; of a recorder what
# the decisions take at least and may take at most, in COST-ths of a bit.
PLACE, READING, FAULT, RANGE, AHEAD, SPENT, LIMIT = range(7)
BROKEN, BEYOND = 1, 2
COST = 1 << 16
FINE = 4096
# No more than what a decision costs, by the leading bits of its probability.
LEAST = np.floor(-np.log2((np.arange(FINE) + 1) / FINE) * COST).astype(np.uint64)

# Pairs and hints, in `adaptive`.
SEEN = 32
# What a new pair starts from: 0.4 of each, a little below Krichevsky and Trofimov's half.
START = 13
LONGEST = 48
# exp(1/32), correctly rounded, as a literal: no machine's exp is trusted with it.
ROOT = 1.0317434074991028
PER_UNIT, FARTHEST = 32, 14
SPREAD = 0.39269908169872414  # pi / 8

# Steps of a magnitude that have decisions of their own; what is larger is coded as a number.
STEPS = 18
STEP = 10.0  # variance of the hint of a step, in squared units of log odds
# How much smaller than the mean a zero counts as a neighbour, and the most that one counts above.
ZERO, MOST = -0.33, 2.0
# No tensor has magnitudes beyond.
HUGE = 1 << 30
LARGEST = 3.0  # the most that a magnitude counts for its sign
SIGN_ROW = 0.005  # variance of the hint of a row

Integers = np.ndarray[Any, np.dtype[np.int64]]
# Decisions taken down, one + value * WHOLE, and raw words as -1 - word; of a reader what it reads.
Words = np.ndarray[Any, np.dtype[np.int32]]
State = np.ndarray[Any, np.dtype[np.uint64]]  # (7,), as above
Mask = np.ndarray[Any, np.dtype[np.uint8]]
# (n, 2) int64, counts of decisions that were 0 and that were 1; -1 where there were none as yet.
Pairs = np.ndarray[Any, np.dtype[np.int64]]
# (n, 2) float64, the mean and the variance of each weight; variance -1 where it has none as yet.
Hints = np.ndarray[Any, np.dtype[np.float64]]


def _table() -> list[float]:
    """1 / (1 + exp(-x)) at x = 0, 1/32, ... by multiplication."""
    values, power = [], 1.0
    for _ in range(PER_UNIT * FARTHEST + 2):
        values.append(power / (1.0 + power))
        power *= ROOT
    return values


LOGISTIC = np.array(_table())


@compiled_leaf
def next_word(state: State, tape: Words) -> None:
    """Read on where the interval has become narrow."""
    if state[RANGE] >= ONE_WORD:
        return
    state[RANGE] <<= U32
    state[AHEAD] <<= U32
    if state[PLACE] < np.uint64(len(tape)):
        state[AHEAD] |= np.uint64(np.uint32(tape[state[PLACE]]))
    state[PLACE] += np.uint64(1)


@compiled_leaf
def read_bit(state: State, tape: Words, one: int) -> int:
    """Read a decision that is 1 with probability one/WHOLE."""
    # The chance of a 0, in UNITS-ths.
    below = np.uint64((((WHOLE - one) * (UNITS - 2)) >> 20) + 1)
    scale = state[RANGE] >> PRECISION
    here = state[AHEAD] // scale
    if state[FAULT] != 0 or here >= np.uint64(UNITS):
        state[FAULT] = max(state[FAULT], np.uint64(BROKEN))
        return 0
    if here < below:
        decision = 0
        state[RANGE] = scale * below
    else:
        decision = 1
        state[AHEAD] -= scale * below
        state[RANGE] = scale * (np.uint64(UNITS) - below)
    next_word(state, tape)
    return decision


@compiled_leaf
def read_word(state: State, tape: Words) -> Any:
    """A number below 2**WORD_BITS, all equally likely."""
    scale = state[RANGE] >> PRECISION
    here = state[AHEAD] // scale
    if state[FAULT] != 0 or here >= np.uint64(UNITS):
        state[FAULT] = max(state[FAULT], np.uint64(BROKEN))
        return 0
    word = here >> np.uint64(24 - WORD_BITS)
    state[AHEAD] -= scale * (word << np.uint64(24 - WORD_BITS))
    state[RANGE] = scale << np.uint64(24 - WORD_BITS)
    next_word(state, tape)
    return np.int64(word)


@compiled_leaf
def read_words(state: State, tape: Words, values: Words) -> None:
    """Fill an array with numbers below 2**WORD_BITS."""
    for k in range(len(values)):
        values[k] = read_word(state, tape)


@compiled_leaf
def code(state: State, tape: Words, value: Any, one: int) -> int:
    """Code a decision that is 1 with probability one/WHOLE, 0 < one < WHOLE; its value."""
    if state[READING]:
        return read_bit(state, tape, one)
    tape[state[PLACE]] = one + value * WHOLE
    state[PLACE] += np.uint64(1)
    state[SPENT] += LEAST[(one if value else WHOLE - one) * FINE // WHOLE]
    return value


@compiled_leaf
def stopped(state: State) -> bool:
    """Whether there is no use in going on."""
    return state[SPENT] > state[LIMIT] or state[FAULT] != 0


@compiled_leaf
def agrees(state: State, tape: Words, taken: Words, start: int, until: int) -> int:
    """How many items a stream says as they were taken down, up to a word that it reads."""
    for k in range(start, len(taken)):
        if state[PLACE] >= np.uint64(until):
            return k
        item = taken[k]
        if item < 0:
            right = read_word(state, tape) == -1 - item
        else:
            right = code(state, tape, 0, item & (WHOLE - 1)) == item >> 20
        if not right or state[FAULT] != 0:
            return k
    return len(taken)


@compiled_leaf
def adapt(state: State, tape: Words, pair: Pairs, value: Any, zero: int, one: int) -> int:
    """Code a decision by its pair, (2,), which then has seen it; a new one starts from counts."""
    if pair[0] < 0:
        pair[0], pair[1] = zero, one
    chance = pair[1] * WHOLE // (pair[0] + pair[1])
    decision = code(state, tape, value, min(max(chance, 1), WHOLE - 1))
    pair[decision] += SEEN
    return decision


@compiled_leaf
def code_choice(state: State, tape: Words, pairs: Pairs, value: int) -> int:
    """Code one of so many options; the first ones are the likelier, until the pairs know better."""
    count = len(pairs)
    for k in range(count):
        if adapt(state, tape, pairs[k], int(value > k), START, START + k) == 0:
            return k
    return count


@compiled_leaf
def code_number(state: State, tape: Words, pairs: Pairs, value: int) -> int:
    """Code a whole number >= 0 of any size: the length of value + 1 adaptively, then its bits."""
    true_length = 0
    while (value + 1) >> true_length:
        true_length += 1
    length = 1
    while adapt(state, tape, pairs[length], int(true_length > length), START, START):
        length += 1
        if length > LONGEST:
            state[FAULT] = BEYOND
            return 0
    result = 1
    for place in range(length - 2, -1, -1):
        bit = ((value + 1) >> place) & 1
        # The first bit behind the leading one still has a shape; those that follow hardly.
        if place == length - 2:
            bit = adapt(state, tape, pairs[LONGEST + length], bit, 2 * START, 2 * START)
        else:
            bit = code(state, tape, bit, WHOLE // 2)
        result = 2 * result + bit
    return result - 1


@compiled_leaf
def halves(
    state: State, tape: Words, chances: Integers, numbers: Any, stack: Integers, bits: int
) -> None:
    """Code rising numbers of so many bits: of each part that agrees so far, how many have a 1 next.

    Shapes: chances (more than count, likewise) in WHOLE-ths, by how many there are and by how many
    1s are known; numbers (count,) uint64; stack (bits + 1, 3).
    """
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, len(numbers), bits
    size = 1
    while size > 0 and not stopped(state):
        size -= 1
        start, count, left = stack[size]
        if count == 0 or left == 0:
            continue
        half, ones = np.uint64(1) << np.uint64(left - 1), 0
        for k in range(start, start + count):
            ones += int(numbers[k] & half != 0)
        coded = 0
        while coded < count and code(state, tape, int(ones > coded), chances[count, coded]):
            coded += 1
        middle = start + count - coded
        for k in range(middle, start + count):
            numbers[k] |= half
        # The lower half is the next.
        stack[size, 0], stack[size, 1], stack[size, 2] = middle, coded, left - 1
        stack[size + 1, 0], stack[size + 1, 1] = start, count - coded
        stack[size + 1, 2] = left - 1
        size += 2


@compiled_leaf
def logistic(x: float) -> float:
    """1 / (1 + exp(-x)) within 2e-5, the same on every machine."""
    place = min(abs(x), float(FARTHEST)) * PER_UNIT
    k = int(place)
    low = LOGISTIC[k]
    value = low + (LOGISTIC[k + 1] - low) * (place - k)
    return value if x >= 0 else 1.0 - value


@compiled_leaf
def decide(
    state: State, tape: Words, hints: Hints, index: Any, sizes: Any, count: int, value: Any
) -> int:
    """Code a decision by logistic regression on some hints, each of a size, which then learn.

    `index` names the hints, (count,) at least, none twice, and `sizes` says how large they are.
    """
    mean = spread = 0.0
    for k in range(count):
        mean += hints[index[k], 0] * sizes[k]
        spread += hints[index[k], 1] * sizes[k] * sizes[k]
    one = int(logistic(mean / math.sqrt(1.0 + SPREAD * spread)) * WHOLE)
    decision = code(state, tape, value, min(max(one, 1), WHOLE - 1))
    sure = logistic(mean)
    steep = sure * (1.0 - sure)
    gain = 1.0 / (1.0 + steep * spread)
    wrong = (decision - sure) * gain
    for k in range(count):
        by = hints[index[k], 1] * sizes[k]
        hints[index[k], 0] += by * wrong
        hints[index[k], 1] -= by * by * steep * gain
    return decision


@compiled_leaf
def dense(state: State, tape: Words, pair: Pairs, mask: Mask) -> None:
    """Which weights are not zero, with the share of nonzeros learnt on the way."""
    for k in range(len(mask)):
        if stopped(state):
            return
        mask[k] = adapt(state, tape, pair, np.int64(mask[k]), START, START)


@compiled
def enumerative(state: State, tape: Words, mask: Mask, left: int) -> None:
    """Which weights are not zero, with the share of those left."""
    size = len(mask)
    for k in range(size):
        rest = size - k
        if stopped(state):
            return
        if left == 0 or left == rest:
            mask[k:] = left > 0
            return
        chance = min(max(left * WHOLE // rest, 1), WHOLE - 1)
        bit = code(state, tape, np.int64(mask[k]), chance)
        left -= bit
        mask[k] = bit


@compiled_leaf
def gaps(state: State, tape: Words, pairs: Pairs, ends: Any, mask: Mask) -> bool:
    """Which weights are not zero, by the zeros before each; False if a gap is too long."""
    size, start, k = len(mask), 0, 0
    while start < size and not stopped(state):
        end = ends[k] if k < len(ends) else size
        gap = code_number(state, tape, pairs, end - start)
        if gap > size - start:
            return False
        if gap < size - start:
            mask[start + gap] = 1
        start += gap + 1
        k += 1
    return True


@compiled
def hinted_positions(
    state: State, tape: Words, hints: Hints, mask: Mask, reaching: Any, variance: float
) -> None:
    """Which weights are not zero, by hints: the share, the row, neighbours, the columns."""
    columns, neighbours = reaching.shape
    index, sizes = np.zeros(3 + neighbours, np.int64), np.ones(3 + neighbours)
    index[1] = 1
    for here in range(len(mask)):
        if stopped(state):
            return
        column = here % columns
        if column == 0:
            hints[1] = 0.0, variance
        index[2] = 2 + neighbours + column
        count = 3
        for k in range(neighbours):
            back = reaching[column, k]
            if 0 < back <= here and mask[here - back]:
                index[count] = 2 + k
                count += 1
        mask[here] = decide(state, tape, hints, index, sizes, count, np.int64(mask[here]))


@compiled_leaf
def code_large(state: State, tape: Words, pairs: Pairs, size: int) -> int:
    """Code a size as a number."""
    size = code_number(state, tape, pairs, size)
    if size > HUGE:
        state[FAULT] = BEYOND
        return 0
    return size


@compiled_leaf
def stepwise(
    state: State, tape: Words, pairs: Pairs, beyond: Pairs, sizes: Integers, mask: Mask
) -> None:
    """Magnitudes, each step as likely as it was so far."""
    for here in range(len(mask)):
        if stopped(state):
            return
        if not mask[here]:
            sizes[here] = 0
            continue
        size = 0
        while size < STEPS and adapt(
            state, tape, pairs[size], int(sizes[here] > size), START, START
        ):
            size += 1
        if size == STEPS:
            size += code_large(state, tape, beyond, max(sizes[here] - STEPS, 0))
        sizes[here] = size


@compiled_leaf
def lengthwise(state: State, tape: Words, pairs: Pairs, sizes: Integers, mask: Mask) -> None:
    """Magnitudes as numbers of any size."""
    for here in range(len(mask)):
        if stopped(state):
            return
        sizes[here] = code_large(state, tape, pairs, sizes[here]) if mask[here] else 0


@compiled
def hinted_sizes(
    state: State,
    tape: Words,
    hints: Hints,
    beyond: Pairs,
    sizes: Integers,
    mask: Mask,
    reaching: Any,
    variance: float,
) -> None:
    """Magnitudes, by hints: the row, the steps, neighbours, the columns."""
    columns, neighbours = reaching.shape
    index, large = np.zeros(3 + neighbours, np.int64), np.ones(3 + neighbours)
    relative = np.empty(len(mask))
    total = seen = 0
    for here in range(len(mask)):
        if stopped(state):
            return
        column = here % columns
        if column == 0:
            hints[0] = 0.0, variance
        if not mask[here]:
            relative[here] = ZERO
            sizes[here] = 0
            continue
        index[1], index[2] = 0, 1 + STEPS + neighbours + column
        count = 3
        for k in range(neighbours):
            back = reaching[column, k]
            if 0 < back <= here:
                index[count], large[count] = 1 + STEPS + k, relative[here - back]
                count += 1
        size = 0
        while size < STEPS:
            index[0] = 1 + size
            if hints[1 + size, 1] < 0:
                hints[1 + size] = 0.0, STEP
            if not decide(state, tape, hints, index, large, count, int(sizes[here] > size)):
                break
            size += 1
        if size == STEPS:
            size += code_large(state, tape, beyond, max(sizes[here] - STEPS, 0))
        total, seen = total + size + 1, seen + 1
        relative[here] = min((size + 1) * seen / total - 1.0, MOST)
        sizes[here] = size


@compiled_leaf
def fair(state: State, tape: Words, signs: Mask, mask: Mask) -> None:
    """Signs, one bit each."""
    for here in range(len(mask)):
        if stopped(state):
            return
        signs[here] = code(state, tape, np.int64(signs[here]), WHOLE // 2) if mask[here] else 0


@compiled_leaf
def learnt(state: State, tape: Words, pair: Pairs, signs: Mask, mask: Mask) -> None:
    """Signs, with the share of negative ones learnt on the way."""
    for here in range(len(mask)):
        if stopped(state):
            return
        if mask[here]:
            signs[here] = adapt(state, tape, pair, np.int64(signs[here]), START, START)
        else:
            signs[here] = 0


@compiled
def alike(
    state: State,
    tape: Words,
    hints: Hints,
    signs: Mask,
    sizes: Integers,
    mask: Mask,
    reaching: Any,
    mean: float,
) -> None:
    """Signs, by hints: the bias, the row, neighbours, the columns."""
    columns, neighbours = reaching.shape
    index, large = np.zeros(3 + neighbours, np.int64), np.ones(3 + neighbours)
    signed = np.empty(len(mask))
    index[1] = 1
    for here in range(len(mask)):
        if stopped(state):
            return
        column = here % columns
        if column == 0:
            hints[1] = 0.0, SIGN_ROW
        if not mask[here]:
            signed[here] = 0.0
            signs[here] = 0
            continue
        own = min((sizes[here] + 1) / mean, LARGEST)
        index[2] = 2 + neighbours + column
        large[:3] = own
        count = 3
        for k in range(neighbours):
            back = reaching[column, k]
            if 0 < back <= here and signed[here - back] != 0.0:
                index[count], large[count] = 2 + k, own * signed[here - back]
                count += 1
        sign = decide(state, tape, hints, index, large, count, np.int64(signs[here]))
        signed[here] = own if sign else -own
        signs[here] = sign

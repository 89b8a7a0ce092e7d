"""How large the weights are that are not zero, and then which of them are negative.

A magnitude is a whole number >= 1 and coded less 1, step by step: each step is a decision whether
it is larger still. Each way is a function (coder, book, sizes, mask, layout) -> sizes, and for
signs (coder, book, signs, sizes, mask, layout) -> signs; a reader is given zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial

from sipp_core.compression.adaptive import Book, Hint, adapt, decide, number
from sipp_core.compression.layout import Layout
from sipp_core.compression.range_coder import Coder, flag

Numbers = list[int]

# Steps of a magnitude that have decisions of their own; what is larger is coded as a number.
STEPS = 18

# Variances of what the hints weigh, in squared units of log odds; those of neighbours as in
# `Layout.back`.
STEP, ROW, COLUMN = 10.0, 0.3, 0.3
BESIDE = (0.1, 0.033, 0.1, 0.01, 0.01, 0.01, 0.01)
# How much smaller than the mean a zero counts as a neighbour, and the most that one counts above.
ZERO, MOST = -0.33, 2.0

SIGN, SIGN_ROW, SIGN_COLUMN = 0.1, 0.005, 0.004
SIGN_BESIDE = (0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1)
LARGEST = 3.0


def _beyond(coder: Coder, book: Book, size: int) -> int:
    return STEPS + number(coder, book, "beyond", max(size - STEPS, 0))


def stepwise(coder: Coder, book: Book, sizes: Numbers, mask: Numbers, layout: Layout) -> Numbers:
    """Each step as likely as it was so far."""

    def one(size: int) -> int:
        for k in range(STEPS):
            if not adapt(coder, book.pair(("step", k)), int(size > k)):
                return k
        return _beyond(coder, book, size)

    return [one(size) if there else 0 for size, there in zip(sizes, mask, strict=True)]


def lengthwise(coder: Coder, book: Book, sizes: Numbers, mask: Numbers, layout: Layout) -> Numbers:
    """As numbers of any size, for grids with many steps."""
    return [
        number(coder, book, "magnitude", size) if there else 0
        for size, there in zip(sizes, mask, strict=True)
    ]


def hinted(
    coder: Coder, book: Book, sizes: Numbers, mask: Numbers, layout: Layout, trust: float
) -> Numbers:
    """Each step with the magnitudes in its row and column and beside it as context."""
    beside = [book.hint(("size", k, trust), v * trust) for k, v in enumerate(BESIDE)]
    columns: list[Hint] = [[0.0, COLUMN * trust] for _ in range(layout.columns)]
    reaching = layout.reaching()
    relative: list[float] = []
    found: Numbers = []
    row: Hint = [0.0, 0.0]
    total = count = 0
    for here, there in enumerate(mask):
        place = here % layout.columns
        if place == 0:
            row = [0.0, ROW * trust]
        if not there:
            relative.append(ZERO)
            found.append(0)
            continue
        context = [(row, 1.0), (columns[place], 1.0)]
        context += [(beside[k], relative[here - b]) for k, b in reaching[place] if here >= b]
        size = _steps(coder, book, context, sizes[here], ("step by hints", trust))
        total, count = total + size + 1, count + 1
        relative.append(min((size + 1) * count / total - 1.0, MOST))
        found.append(size)
    return found


def _steps(
    coder: Coder, book: Book, context: list[tuple[Hint, float]], size: int, what: Hashable
) -> int:
    for k in range(STEPS):
        if not decide(coder, [(book.hint((what, k), STEP), 1.0), *context], int(size > k)):
            return k
    return _beyond(coder, book, size)


def fair(
    coder: Coder, book: Book, signs: Numbers, sizes: Numbers, mask: Numbers, layout: Layout
) -> Numbers:
    """One bit a sign."""
    return [flag(coder, sign) if there else 0 for sign, there in zip(signs, mask, strict=True)]


def learnt(
    coder: Coder, book: Book, signs: Numbers, sizes: Numbers, mask: Numbers, layout: Layout
) -> Numbers:
    """With the share of negative ones learnt on the way."""
    pair = book.pair("sign")
    return [
        adapt(coder, pair, sign) if there else 0 for sign, there in zip(signs, mask, strict=True)
    ]


def alike(
    coder: Coder, book: Book, signs: Numbers, sizes: Numbers, mask: Numbers, layout: Layout
) -> Numbers:
    """With the weights beside it as context, which counts the more the larger both are.

    For normal weights that correlate, the log odds of a sign are the weight's magnitude times a
    linear function of its neighbours.
    """
    count = sum(mask)
    mean = (sum(sizes) + count) / max(count, 1)
    bias = book.hint("sign", SIGN)
    beside = [book.hint(("sign", k), v) for k, v in enumerate(SIGN_BESIDE)]
    columns: list[Hint] = [[0.0, SIGN_COLUMN] for _ in range(layout.columns)]
    reaching = layout.reaching()
    signed: list[float] = []
    found: Numbers = []
    row: Hint = [0.0, 0.0]
    for here, there in enumerate(mask):
        place = here % layout.columns
        if place == 0:
            row = [0.0, SIGN_ROW]
        if not there:
            signed.append(0.0)
            found.append(0)
            continue
        own = min((sizes[here] + 1) / mean, LARGEST)
        context = [(bias, own), (row, own), (columns[place], own)]
        context += [
            (beside[k], own * signed[here - b])
            for k, b in reaching[place]
            if here >= b and signed[here - b]
        ]
        sign = decide(coder, context, signs[here])
        signed.append(own if sign else -own)
        found.append(sign)
    return found


# Row, column and neighbours are trusted fully, or expected to say little.
MAGNITUDES: tuple[Callable[..., Numbers], ...] = (
    stepwise, partial(hinted, trust=1.0), partial(hinted, trust=0.1), lengthwise,
)  # fmt: skip
"""Every way to say magnitudes, in the order of their numbers."""

SIGNS: tuple[Callable[..., Numbers], ...] = (
    fair, alike, learnt,
)  # fmt: skip
"""Every way to say signs, in the order of their numbers."""

"""Whole numbers of a quantised tensor: where they are not zero, their signs, their magnitudes.

Each of the three is said in the shortest of several ways, and each way either begins anew or goes
on with what the tensors before it taught; the choice is coded before it. A function codes a list
and returns it; a reader is given zeros of the right length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sipp_core import positions
from sipp_core.adaptive import Book, adapt, adapt_under, choose, number
from sipp_core.coding import Coder, Recorder, flag
from sipp_core.positions import Layout

Numbers = list[int]
# code(coder, book, numbers) -> numbers
Way = Callable[[Coder, Book, Numbers], Numbers]

# Steps of a magnitude that have decisions of their own; what is larger is coded as a number.
STEPS = 18
# Tensors so large learn anew at no cost worth looking at.
LARGE = 50_000


@dataclass
class Memory:
    """What the tensors so far taught.

    Attributes:
        book: counts by context, of the ways that were taken.
        choices: which ways were taken.

    Claim: none (plumbing).
    """

    book: Book = field(default_factory=Book)
    choices: Book = field(default_factory=Book)


def _fair(coder: Coder, book: Book, signs: Numbers, mask: Numbers, layout: Layout) -> Numbers:
    return [flag(coder, sign) if there else 0 for sign, there in zip(signs, mask, strict=True)]


def _learnt(coder: Coder, book: Book, signs: Numbers, mask: Numbers, layout: Layout) -> Numbers:
    pair = book.pair("sign")
    return [
        adapt(coder, pair, sign) if there else 0 for sign, there in zip(signs, mask, strict=True)
    ]


def _beside(coder: Coder, book: Book, signs: Numbers, mask: Numbers, layout: Layout) -> Numbers:
    """In the light of the signs beside it: left, above in the kernel, same place one row up."""
    width, above = layout.columns, layout.above or 2
    parent = book.pair("sign beside")
    turned: Numbers = []
    found: Numbers = []
    for here, there in enumerate(mask):
        if not there:
            found.append(0)
            turned.append(0)
            continue
        column = here % width
        left = turned[here - 1] if column else 0
        over = turned[here - above] if column >= above else 0
        up = turned[here - width] if here >= width else 0
        pair = book.under(("sign", left, over, up), parent)
        bit = adapt_under(coder, pair, parent, signs[here])
        found.append(bit)
        turned.append(1 - 2 * bit)
    return found


SIGNS = (_fair, _learnt, _beside)


def _steps(coder: Coder, book: Book, size: int, what: str, context: object) -> int:
    """A magnitude less 1 >= 0, step by step, each step as likely as it was so far."""
    for k in range(STEPS):
        parent = book.pair((what, k))
        if context is None:
            more = adapt(coder, parent, int(size > k))
        else:
            pair = book.under((what, k, context), parent)
            more = adapt_under(coder, pair, parent, int(size > k))
        if not more:
            return k
    return STEPS + number(coder, book, (what, "beyond"), max(size - STEPS, 0))


Magnitudes = Callable[[Coder, Book, Numbers, Numbers, Numbers, Layout], Numbers]


def _together(
    coder: Coder, book: Book, sizes: Numbers, mask: Numbers, signs: Numbers, layout: Layout
) -> Numbers:
    return [
        _steps(coder, book, size, "step", None) if there else 0
        for size, there in zip(sizes, mask, strict=True)
    ]


def _by_sign(
    coder: Coder, book: Book, sizes: Numbers, mask: Numbers, signs: Numbers, layout: Layout
) -> Numbers:
    return [
        _steps(coder, book, size, "signed step", sign) if there else 0
        for size, there, sign in zip(sizes, mask, signs, strict=True)
    ]


def _lengths(
    coder: Coder, book: Book, sizes: Numbers, mask: Numbers, signs: Numbers, layout: Layout
) -> Numbers:
    return [
        number(coder, book, "magnitude", size) if there else 0
        for size, there in zip(sizes, mask, strict=True)
    ]


def _by_lines(
    coder: Coder, book: Book, sizes: Numbers, mask: Numbers, signs: Numbers, layout: Layout
) -> Numbers:
    """In the light of how large the weights of its row and column are so far."""
    width = layout.columns
    sums, counts = [0] * width, [0] * width
    total = visited = 0
    row_sum = row_count = 0
    found: Numbers = []
    for here, there in enumerate(mask):
        column = here % width
        if column == 0:
            row_sum = row_count = 0
        if not there:
            found.append(0)
            continue
        row = _compared(row_sum, row_count, total, visited)
        context = (row, _compared(sums[column], counts[column], total, visited))
        size = _steps(coder, book, sizes[here], "step by lines", context)
        found.append(size)
        total, visited = total + size, visited + 1
        row_sum, row_count = row_sum + size, row_count + 1
        sums[column] += size
        counts[column] += 1
    return found


def _compared(own: int, seen: int, total: int, visited: int) -> int:
    """How a sum of `seen` magnitudes compares with the mean: 0 below, 1 about equal, 2 above."""
    left, right = (2 * own + 1) * (visited + 1), seen * (2 * total + 1) + visited + 1
    if 4 * left < 3 * right:
        return 0
    return 1 if 3 * left < 4 * right else 2


MAGNITUDES: tuple[Magnitudes, ...] = (_together, _by_sign, _by_lines, _lengths)


def _shortest(
    coder: Coder, memory: Memory, what: str, ways: Sequence[Way], numbers: Numbers, old: bool
) -> Numbers:
    """Code numbers in the shortest of several ways, and before them which way that is.

    `old` says whether a way may go on with what was learnt before.
    """
    if not isinstance(coder, Recorder):
        way = choose(coder, memory.choices, what, 0, len(ways))
        again = adapt(coder, memory.choices.pair((what, way, "again")), 0) if old else 0
        book = memory.book.aged() if again else Book()
        found = ways[way](coder, book, numbers)
        memory.book.learn(book)
        return found
    best, least = None, math.inf
    for way, code in enumerate(ways):
        for again in range(1 + old):
            trial, book, choices = Recorder(), memory.book.aged() if again else Book(), Book()
            choices.pairs = {k: list(v) for k, v in memory.choices.pairs.items()}
            choose(trial, choices, what, way, len(ways))
            if old:
                adapt(trial, choices.pair((what, way, "again")), again)
            code(trial, book, numbers)
            if (cost := trial.cost()) < least:
                best, least = (trial, book, choices), cost
    assert best is not None
    trial, book, choices = best
    coder.extend(trial)
    memory.book.learn(book)
    memory.choices = choices
    return numbers


def code_levels(
    coder: Coder,
    memory: Memory,
    levels: Numbers,
    shape: tuple[int, ...],
    part: Callable[[str], None],
) -> Numbers:
    """Code the whole numbers of a tensor.

    Args:
        coder: takes them down or reads them.
        memory: what earlier tensors taught; goes on.
        levels: the numbers, row by row; for a reader, zeros.
        shape: of the tensor.
        part: told "positions" and "values" as they begin.

    Returns:
        The numbers.
    """
    layout, old = Layout.of(shape), len(levels) <= LARGE
    mask = [int(level != 0) for level in levels]
    signs = [int(level < 0) for level in levels]
    sizes = [max(abs(level) - 1, 0) for level in levels]

    def place(way: Callable[..., Numbers]) -> Way:
        return lambda coder, book, numbers: way(coder, book, numbers, layout)

    def sign(way: Callable[..., Numbers]) -> Way:
        return lambda coder, book, numbers: way(coder, book, numbers, mask, layout)

    def size(way: Magnitudes) -> Way:
        return lambda coder, book, numbers: way(coder, book, numbers, mask, signs, layout)

    part("positions")
    kind = "vector" if layout.rows == 1 else "matrix"
    ways = [place(way) for way in positions.WAYS]
    mask = _shortest(coder, memory, f"{kind} positions", ways, mask, old)
    part("values")
    ways = [sign(way) for way in SIGNS]
    signs = _shortest(coder, memory, f"{kind} signs", ways, signs, old)
    ways = [size(way) for way in MAGNITUDES]
    sizes = _shortest(coder, memory, f"{kind} magnitudes", ways, sizes, old)
    return [
        (1 - 2 * sign) * (1 + size) if there else 0
        for there, sign, size in zip(mask, signs, sizes, strict=True)
    ]

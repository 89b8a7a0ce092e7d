"""Which weights of a tensor are not zero: five ways to say it, of which the shortest is taken.

Each way is a function (coder, book, mask, layout) -> mask; a reader is given a mask of zeros. A
layout is what the tensor looks like as a matrix, one row an output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sipp_core.adaptive import Book, adapt, adapt_under, number
from sipp_core.coding import WHOLE, Coder, DamagedError

Mask = list[int]


@dataclass(frozen=True)
class Layout:
    """A tensor as a matrix.

    Attributes:
        rows: outputs; 1 for a vector.
        columns: weights of an output.
        above: how far back in the row the weight above in the same kernel is; 0 if no kernel.

    Claim: none (plumbing).
    """

    rows: int
    columns: int
    above: int

    @staticmethod
    def of(shape: tuple[int, ...]) -> Layout:
        """The layout of a tensor of that shape."""
        size = 1
        for side in shape:
            size *= side
        rows = shape[0] if len(shape) > 1 else 1
        return Layout(rows, size // rows if rows else 0, shape[-1] if len(shape) > 2 else 0)


def dense(coder: Coder, book: Book, mask: Mask, layout: Layout) -> Mask:
    """One decision a weight, with the share of nonzeros learnt on the way."""
    pair = book.pair("dense")
    return [adapt(coder, pair, value) for value in mask]


def enumerative(coder: Coder, book: Book, mask: Mask, layout: Layout) -> Mask:
    """How many there are, then which of the equally likely sets: log2 of the binomial coefficient.

    Realised weight by weight: the chance of the next is the share of nonzeros that are left.
    """
    left, size = number(coder, book, "count", sum(mask)), len(mask)
    if left > size:
        raise DamagedError("it counts more weights than there are")
    found: Mask = []
    for k, value in enumerate(mask):
        rest = size - k
        if left in (0, rest):
            found += [int(left > 0)] * rest
            break
        bit = coder.bit(value, min(max(left * WHOLE // rest, 1), WHOLE - 1))
        left -= bit
        found.append(bit)
    return found


def gaps(coder: Coder, book: Book, mask: Mask, layout: Layout) -> Mask:
    """How many zeros come before each nonzero; the last gap reaches beyond the end."""
    found: Mask = []
    size = len(mask)
    nonzero = [k for k, value in enumerate(mask) if value]
    ends = iter([*nonzero, size])
    while len(found) < size:
        start = len(found)
        gap = number(coder, book, "gap", next(ends, size) - start)
        if gap > size - start:
            raise DamagedError("a gap is longer than what is left of its layer")
        found += [0] * gap
        if gap < size - start:
            found.append(1)
    return found


def _rank(count: int, seen: int, total: int, visited: int) -> int:
    """How a row or column compares with the mean: 0 far below, 2 about equal, 4 far above."""
    own, mean = (2 * count + 1) * visited, 2 * seen * total + visited
    if 3 * own < 2 * mean:
        return 0 if 4 * own < mean else 1
    if 2 * own < 3 * mean:
        return 2
    return 3 if own < 3 * mean else 4


def lines(coder: Coder, book: Book, mask: Mask, layout: Layout) -> Mask:
    """In the light of how full the weight's row and column are so far."""
    found: Mask = []
    full = [0] * layout.columns
    parent = book.pair("lines")
    total = visited = 0
    for row in range(layout.rows):
        here = 0
        for column in range(layout.columns):
            context = ("lines", 0, 0)
            if visited:
                context = (
                    "lines",
                    _rank(here, column, total, visited),
                    _rank(full[column], row, total, visited),
                )
            pair = book.under(context, parent)
            bit = adapt_under(coder, pair, parent, mask[visited])
            here, total, visited = here + bit, total + bit, visited + 1
            full[column] += bit
            found.append(bit)
    return found


def neighbours(coder: Coder, book: Book, mask: Mask, layout: Layout) -> Mask:
    """In the light of the weights beside it: left, above in the kernel, same place one row up."""
    found: Mask = []
    parent = book.pair("neighbours")
    width, above = layout.columns, layout.above or 2
    for row in range(layout.rows):
        for column in range(width):
            here = row * width + column
            left = found[here - 1] if column else 0
            over = found[here - above] if column >= above else 0
            up = found[here - width] if row else 0
            pair = book.under(("neighbours", left, over, up), parent)
            found.append(adapt_under(coder, pair, parent, mask[here]))
    return found


WAYS: tuple[Callable[[Coder, Book, Mask, Layout], Mask], ...] = (
    dense,
    gaps,
    lines,
    neighbours,
    enumerative,
)
"""Every way, in the order of their numbers in a file. Claim: none (plumbing)."""

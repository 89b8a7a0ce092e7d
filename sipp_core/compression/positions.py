"""Which weights of a tensor are not zero: five ways to say it, of which the shortest is taken.

Each way is a function (coder, book, mask, layout) -> mask; a reader is given a mask of zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sipp_core.compression.adaptive import Book, Hint, adapt, decide, number
from sipp_core.compression.layout import Layout
from sipp_core.compression.range_coder import WHOLE, Coder, DamagedError

Mask = list[int]

# Variances of what the hints weigh, in squared units of log odds; those of neighbours as in
# `Layout.back`.
SHARE, ROW, COLUMN = 3.0, 0.3, 0.3
BESIDE = (0.1, 0.1, 0.05, 0.03, 0.03, 0.03, 0.03)
RAREST = 7


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
    """How many zeros come before each nonzero; the last gap reaches the end."""
    found: Mask = []
    size = len(mask)
    ends = iter([k for k, value in enumerate(mask) if value])
    while len(found) < size:
        start = len(found)
        gap = number(coder, book, "gap", next(ends, size) - start)
        if gap > size - start:
            raise DamagedError("a gap is longer than what is left of its layer")
        found += [0] * gap
        if gap < size - start:
            found.append(1)
    return found


def hinted(coder: Coder, book: Book, mask: Mask, layout: Layout, trust: float) -> Mask:
    """Context model: how full its row and column are so far, and the weights beside it."""
    filled = sum(mask)
    rarity = next((k for k in range(RAREST) if filled << (k + 1) > len(mask)), RAREST)
    rarity = number(coder, book, "rarity", rarity)
    # Log odds of a share of 2**-k are about -0.7 k.
    share = book.hint(("share", trust), SHARE, -0.7 * min(rarity, RAREST))
    beside = [book.hint(("full", k, trust), v * trust) for k, v in enumerate(BESIDE)]
    columns: list[Hint] = [[0.0, COLUMN * trust] for _ in range(layout.columns)]
    reaching = layout.reaching()
    found: Mask = []
    for _ in range(layout.rows):
        row: Hint = [0.0, ROW * trust]
        for column, near in zip(columns, reaching, strict=True):
            here = len(found)
            context = [(share, 1.0), (row, 1.0), (column, 1.0)]
            context += [(beside[k], 1.0) for k, back in near if here >= back and found[here - back]]
            found.append(decide(coder, context, mask[here]))
    return found


# Row, column and neighbours are trusted fully, or expected to say little.
WAYS: tuple[Callable[..., Mask], ...] = (
    dense, partial(hinted, trust=1.0), partial(hinted, trust=0.1), gaps, enumerative,
)  # fmt: skip
"""Every way, in the order of their numbers in a file."""

"""Whole numbers of a quantised tensor: where they are not zero, their magnitudes, their signs.

Each of the three is said in the shortest of several ways, and each way either begins anew or goes
on with what the tensors before it taught; the choice is coded before it. A function codes a list
and returns it; a reader is given zeros of the right length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise

from sipp_core.compression import positions
from sipp_core.compression.adaptive import Book, adapt, choose
from sipp_core.compression.layout import Layout, code_layout, fitted
from sipp_core.compression.magnitudes import MAGNITUDES, SIGNS
from sipp_core.compression.range_coder import Coder, Recorder

Numbers = list[int]
# code(coder, book, numbers) -> numbers
Way = Callable[[Coder, Book, Numbers], Numbers]

# Tensors so large learn anew at no cost worth looking at.
LARGE = 50_000


@dataclass
class Memory:
    """What the tensors so far taught."""

    books: dict[str, Book] = field(default_factory=dict)  # by the kind of tensor
    choices: Book = field(default_factory=Book)  # which ways were taken

    def copy(self) -> Memory:
        """A copy that learns on its own."""
        return Memory({kind: book.copy() for kind, book in self.books.items()}, self.choices.copy())


def _shortest(
    coder: Coder, memory: Memory, kind: str, what: str, ways: Sequence[Way], numbers: Numbers
) -> Numbers:
    """Code numbers in the shortest of several ways, and before them which way that is."""
    if not isinstance(coder, Recorder):
        return _coded(coder, memory, kind, what, ways, numbers, (0, 0))
    best, least = None, math.inf
    for way in range(len(ways)):
        for again in range(1 + _goes_on(memory, kind, numbers)):
            trial, then = Recorder(), memory.copy()
            _coded(trial, then, kind, what, ways, numbers, (way, again))
            if (cost := trial.cost()) < least:
                best, least = (trial, then), cost
    assert best is not None
    coder.extend(best[0])
    memory.books, memory.choices = best[1].books, best[1].choices
    return numbers


def _goes_on(memory: Memory, kind: str, numbers: Numbers) -> bool:
    return len(numbers) <= LARGE and kind in memory.books


def _coded(
    coder: Coder, memory: Memory, kind: str, what: str, ways: Sequence[Way], numbers: Numbers,
    choice: tuple[int, int],
) -> Numbers:  # fmt: skip
    way = choose(coder, memory.choices, (kind, what), choice[0], len(ways))
    known = memory.books.get(kind)
    again = False
    if known is not None and _goes_on(memory, kind, numbers):
        again = bool(adapt(coder, memory.choices.pair((kind, what, way, "again")), choice[1]))
    book = known.aged() if known is not None and again else Book()
    found = ways[way](coder, book, numbers)
    memory.books.setdefault(kind, Book()).learn(book)
    return found


def code_positions(
    coder: Coder, memory: Memory, mask: Numbers, layout: Layout, kind: str
) -> Numbers:
    """Code which numbers of a tensor are not zero."""
    ways = [partial(way, layout=layout) for way in positions.WAYS]
    return _shortest(coder, memory, kind, "positions", ways, mask)


def code_levels(
    coder: Coder,
    memory: Memory,
    levels: Numbers,
    shape: tuple[int, ...],
    part: Callable[[str], None],
) -> Numbers:
    """Code the whole numbers of a tensor."""
    layout = code_layout(coder, memory.choices, fitted(levels, shape), shape)
    if layout.rows > 1 or len(levels) < 2:
        kind = "vector" if layout.rows == 1 else "matrix"
        return _code_signed(coder, memory, levels, layout, kind, part)
    rises = adapt(coder, memory.choices.pair("rises"), int(levels == sorted(levels)))
    if not rises:
        return _code_signed(coder, memory, levels, layout, "vector", part)
    # Neurons can be put in any order; where it is that of their biases, it need not be said.
    apart = levels[:1] + [after - before for before, after in pairwise(levels)]
    return list(accumulate(_code_signed(coder, memory, apart, layout, "rising", part)))


def _code_signed(
    coder: Coder, memory: Memory, levels: Numbers, layout: Layout, kind: str,
    part: Callable[[str], None],
) -> Numbers:  # fmt: skip
    mask = [int(level != 0) for level in levels]
    signs = [int(level < 0) for level in levels]
    sizes = [max(abs(level) - 1, 0) for level in levels]
    part("positions")
    mask = code_positions(coder, memory, mask, layout, kind)
    part("magnitudes")
    ways = [partial(way, mask=mask, layout=layout) for way in MAGNITUDES]
    sizes = _shortest(coder, memory, kind, "magnitudes", ways, sizes)
    part("signs")
    ways = [partial(way, sizes=sizes, mask=mask, layout=layout) for way in SIGNS]
    signs = _shortest(coder, memory, kind, "signs", ways, signs)
    return [
        (1 - 2 * sign) * (1 + size) if there else 0
        for there, sign, size in zip(mask, signs, sizes, strict=True)
    ]

"""Whole numbers of a quantised tensor: where they are not zero, their magnitudes, their signs.

Each of the three is said in the shortest of several ways, and each way either begins anew or goes
on with what the tensors before it taught; the choice is coded before it. A function codes a list
and returns it; a reader is given zeros of the right length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sipp_core import positions
from sipp_core.adaptive import Book, adapt, choose
from sipp_core.coding import Coder, Recorder
from sipp_core.layouts import Layout, code_layout, fitted
from sipp_core.magnitudes import MAGNITUDES, SIGNS

Numbers = list[int]
# code(coder, book, numbers) -> numbers
Way = Callable[[Coder, Book, Numbers], Numbers]

# Tensors so large learn anew at no cost worth looking at.
LARGE = 50_000


@dataclass
class Memory:
    """What the tensors so far taught.

    Attributes:
        book: of the ways that were taken.
        choices: which ways were taken.
        begun: whether there is anything to go on with.

    Claim: none (plumbing).
    """

    book: Book = field(default_factory=Book)
    choices: Book = field(default_factory=Book)
    begun: bool = False

    def copy(self) -> Memory:
        """A copy that learns on its own."""
        return Memory(self.book.copy(), self.choices.copy(), self.begun)


def _shortest(
    coder: Coder, memory: Memory, what: str, ways: Sequence[Way], numbers: Numbers, old: bool
) -> Numbers:
    """Code numbers in the shortest of several ways, and before them which way that is.

    `old` says whether a way may go on with what was learnt before.
    """
    if not isinstance(coder, Recorder):
        return _coded(coder, memory, what, ways, numbers, old, (0, 0))
    best, least = None, math.inf
    for way in range(len(ways)):
        for again in range(1 + old):
            trial, then = Recorder(), memory.copy()
            _coded(trial, then, what, ways, numbers, old, (way, again))
            if (cost := trial.cost()) < least:
                best, least = (trial, then), cost
    assert best is not None
    coder.extend(best[0])
    memory.book, memory.choices = best[1].book, best[1].choices
    return numbers


def _coded(
    coder: Coder, memory: Memory, what: str, ways: Sequence[Way], numbers: Numbers, old: bool,
    choice: tuple[int, int],
) -> Numbers:  # fmt: skip
    way = choose(coder, memory.choices, what, choice[0], len(ways))
    again = old and adapt(coder, memory.choices.pair((what, way, "again")), choice[1])
    book = memory.book.aged() if again else Book()
    found = ways[way](coder, book, numbers)
    memory.book.learn(book)
    return found


def _kind(layout: Layout) -> str:
    return "vector" if layout.rows == 1 else "matrix"


def _goes_on(memory: Memory, numbers: Numbers) -> bool:
    return len(numbers) <= LARGE and memory.begun


def code_positions(coder: Coder, memory: Memory, mask: Numbers, layout: Layout) -> Numbers:
    """Code which numbers of a tensor are not zero.

    Args:
        coder: takes it down or reads it.
        memory: what earlier tensors taught; goes on.
        mask: 1 where a number is not zero, row by row; for a reader, zeros.
        layout: of the tensor.

    Returns:
        The mask.

    Raises:
        DamagedError: no recorder wrote this.
    """

    def place(way: Callable[..., Numbers]) -> Way:
        return lambda coder, book, numbers: way(coder, book, numbers, layout)

    ways = [place(way) for way in positions.WAYS]
    what, old = f"{_kind(layout)} positions", _goes_on(memory, mask)
    return _shortest(coder, memory, what, ways, mask, old)


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
        part: told "positions", "magnitudes" and "signs" as they begin.

    Returns:
        The numbers.

    Raises:
        DamagedError: no recorder wrote this.
    """
    layout = code_layout(coder, memory.choices, fitted(levels, shape), shape)
    part("positions")
    mask = code_positions(coder, memory, [int(level != 0) for level in levels], layout)
    kind, old = _kind(layout), _goes_on(memory, levels)
    memory.begun = True
    signs = [int(level < 0) for level in levels]
    sizes = [max(abs(level) - 1, 0) for level in levels]

    def size(way: Callable[..., Numbers]) -> Way:
        return lambda coder, book, numbers: way(coder, book, numbers, mask, layout)

    def sign(way: Callable[..., Numbers]) -> Way:
        return lambda coder, book, numbers: way(coder, book, numbers, sizes, mask, layout)

    part("magnitudes")
    ways = [size(way) for way in MAGNITUDES]
    sizes = _shortest(coder, memory, f"{kind} magnitudes", ways, sizes, old)
    part("signs")
    ways = [sign(way) for way in SIGNS]
    signs = _shortest(coder, memory, f"{kind} signs", ways, signs, old)
    return [
        (1 - 2 * sign) * (1 + size) if there else 0
        for there, sign, size in zip(mask, signs, sizes, strict=True)
    ]

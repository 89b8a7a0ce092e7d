"""Whole numbers of a quantised tensor: where they are not zero, their magnitudes, their signs.

Each of the three is coded in the shortest of several ways, and each either starts afresh or goes
on with what the tensors before it taught; the choice is coded before it. A function codes an array
and returns it; a reader is given zeros of the right length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from sipp_core.compression import positions
from sipp_core.compression.adaptive import ContextModels, chance, choose
from sipp_core.compression.layout import Layout, code_layout, fitted
from sipp_core.compression.magnitudes import MAGNITUDES, MAGNITUDES_FIRST, SIGNS, SIGNS_FIRST
from sipp_core.compression.range_coder import Coder, Integers, Recorder, TooLongError

Numbers = np.ndarray[Any, np.dtype[Any]]
# code(coder, contexts, numbers) -> numbers
Way = Callable[[Coder, ContextModels, Numbers], Numbers]

# Tensors so large can start afresh at a negligible cost.
LARGE = 50_000


@dataclass
class Memory:
    """What the tensors so far taught."""

    # By the kind of tensor; copies share them, so they are replaced and never changed.
    contexts: dict[str, ContextModels] = field(default_factory=dict)
    choices: ContextModels = field(default_factory=ContextModels)  # which ways were taken

    def copy(self) -> Memory:
        """A copy that learns on its own."""
        return Memory(dict(self.contexts), self.choices.copy())


def _shortest(
    coder: Coder, memory: Memory, kind: str, what: str, ways: Sequence[Way],
    first: Sequence[int], numbers: Numbers,
) -> Numbers:  # fmt: skip
    """Code numbers in the shortest of several ways, and before them which way that is."""
    if not isinstance(coder, Recorder):
        return _coded(coder, memory, kind, what, ways, numbers, (0, 0))
    best, least = None, (math.inf, 0, 0)
    for way in first:
        for again in range(1 + _goes_on(memory, kind, numbers)):
            trial, then = Recorder(min(least[0], coder.left)), memory.copy()
            try:
                _coded(trial, then, kind, what, ways, numbers, (way, again))
            except TooLongError:
                continue
            # Of two that are as short the first, in the order of their numbers.
            if (cost := (trial.cost(), way, again)) < least:
                best, least = (trial, then), cost
    if best is None:
        raise TooLongError
    coder.extend(best[0])
    coder.check()
    memory.contexts, memory.choices = best[1].contexts, best[1].choices
    return numbers


def _goes_on(memory: Memory, kind: str, numbers: Numbers) -> bool:
    return numbers.size <= LARGE and kind in memory.contexts


def _coded(
    coder: Coder, memory: Memory, kind: str, what: str, ways: Sequence[Way], numbers: Numbers,
    choice: tuple[int, int],
) -> Numbers:  # fmt: skip
    way = choose(coder, memory.choices, (kind, what), choice[0], len(ways))
    known = memory.contexts.get(kind)
    again = False
    if known is not None and _goes_on(memory, kind, numbers):
        again = bool(chance(coder, memory.choices, (kind, what, way, "again"), choice[1]))
    contexts = known.aged() if known is not None and again else ContextModels()
    coded = ways[way](coder, contexts, numbers)
    memory.contexts[kind] = (known or ContextModels()).learned(contexts)
    return coded


def code_positions(
    coder: Coder, memory: Memory, mask: Numbers, layout: Layout, kind: str
) -> Numbers:
    """Code which numbers of a tensor are not zero."""
    ways = [partial(way, layout=layout) for way in positions.WAYS]
    return _shortest(coder, memory, kind, "positions", ways, positions.FIRST, mask)


def code_levels(
    coder: Coder,
    memory: Memory,
    levels: Integers,
    shape: tuple[int, ...],
    part: Callable[[str], None],
) -> Integers:
    """Code the whole numbers of a tensor."""
    layout = code_layout(coder, memory.choices, fitted(levels, shape), shape)
    if layout.rows > 1 or levels.size < 2:
        kind = "vector" if layout.rows == 1 else "matrix"
        return _code_signed(coder, memory, levels, layout, kind, part)
    steps = np.diff(levels, prepend=0)
    rises = chance(coder, memory.choices, "rises", int(bool((steps[1:] >= 0).all())))
    if not rises:
        return _code_signed(coder, memory, levels, layout, "vector", part)
    # Neurons can be put in any order; where it is that of their biases, it need not be coded.
    return np.cumsum(_code_signed(coder, memory, steps, layout, "rising", part))


def _code_signed(
    coder: Coder, memory: Memory, levels: Integers, layout: Layout, kind: str,
    part: Callable[[str], None],
) -> Integers:  # fmt: skip
    mask = (levels != 0).astype(np.uint8)
    signs = (levels < 0).astype(np.uint8)
    sizes = np.maximum(np.abs(levels) - 1, 0)
    part("positions")
    mask = code_positions(coder, memory, mask, layout, kind)
    part("magnitudes")
    ways = [partial(way, mask=mask, layout=layout) for way in MAGNITUDES]
    sizes = _shortest(coder, memory, kind, "magnitudes", ways, MAGNITUDES_FIRST, sizes)
    part("signs")
    ways = [partial(way, sizes=sizes, mask=mask, layout=layout) for way in SIGNS]
    signs = _shortest(coder, memory, kind, "signs", ways, SIGNS_FIRST, signs)
    return np.where(mask, np.where(signs, -1 - sizes, 1 + sizes), 0)

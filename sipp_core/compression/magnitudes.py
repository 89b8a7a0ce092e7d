"""How large the weights are that are not zero, and then which of them are negative.

A magnitude is a whole number >= 1 and coded less 1, step by step: each step is a decision whether
it is larger still. Each way is a function (coder, contexts, sizes, mask, layout) -> sizes, and of
signs (coder, contexts, signs, sizes, mask, layout) -> signs; a reader gets zeros. Sizes are (n,)
int64, signs and mask (n,) uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from sipp_core.compression import loops
from sipp_core.compression.adaptive import LENGTHS, NUMBER, ContextModels
from sipp_core.compression.layout import Layout
from sipp_core.compression.loops import START, STEPS, Integers, Mask
from sipp_core.compression.range_coder import Coder
from sipp_theory.numeric.compiling import compiled_leaf

# Variances of what the hints weigh, in squared units of log odds; those of neighbours as in
# `Layout.back`.
ROW, COLUMN = 0.3, 0.3
BESIDE = np.array([0.1, 0.033, 0.1, 0.01, 0.01, 0.01, 0.01])

SIGN, SIGN_COLUMN = 0.1, 0.004
SIGN_BESIDE = np.array([0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])


@compiled_leaf
def lengths(sizes: Integers) -> int:
    """How many decisions numbers take, each at most twice its length."""
    total = 0
    for size in sizes:
        while size >= 0:
            total += 2
            size = (size >> 1) - (size == 0)
    return total


def _steps_room(sizes: Integers) -> int:
    return int(np.minimum(sizes, STEPS).sum()) + sizes.size + lengths(sizes - STEPS) + 2 * STEPS


def stepwise(
    coder: Coder, contexts: ContextModels, sizes: Integers, mask: Mask, layout: Layout
) -> Integers:
    """Each step as likely as it was so far."""
    pairs = contexts.pairs("step", STEPS)
    beyond = contexts.pairs(("beyond", "number"), LENGTHS)
    stream, sizes = coder.room(_steps_room(sizes)), sizes.copy()
    loops.stepwise(*stream, pairs, beyond, sizes, mask)
    coder.check()
    return sizes


def lengthwise(
    coder: Coder, contexts: ContextModels, sizes: Integers, mask: Mask, layout: Layout
) -> Integers:
    """As numbers of any size, for grids with many steps."""
    pairs = contexts.pairs(("magnitude", "number"), LENGTHS)
    stream, sizes = coder.room(lengths(sizes) + NUMBER), sizes.copy()
    loops.lengthwise(*stream, pairs, sizes, mask)
    coder.check()
    return sizes


def hinted(
    coder: Coder, contexts: ContextModels, sizes: Integers, mask: Mask, layout: Layout, trust: float
) -> Integers:
    """Each step with the magnitudes in its row and column and beside it as context."""
    beside = contexts.hints(("size", trust), 0.0, BESIDE * trust)
    steps = contexts.hints(("step by hints", trust), 0.0, np.full(STEPS, -1.0))
    beyond = contexts.pairs(("beyond", "number"), LENGTHS)
    # The row, the steps, the neighbours, the columns.
    hints = np.zeros((1 + STEPS + len(BESIDE) + layout.columns, 2))
    hints[1 : 1 + STEPS], hints[1 + STEPS : 1 + STEPS + len(BESIDE)] = steps, beside
    hints[1 + STEPS + len(BESIDE) :, 1] = COLUMN * trust
    stream, sizes = coder.room(_steps_room(sizes)), sizes.copy()
    loops.hinted_sizes(*stream, hints, beyond, sizes, mask, layout.reaching(), ROW * trust)
    coder.check()
    steps[:], beside[:] = hints[1 : 1 + STEPS], hints[1 + STEPS : 1 + STEPS + len(BESIDE)]
    return sizes


def fair(
    coder: Coder, contexts: ContextModels, signs: Mask, sizes: Integers, mask: Mask, layout: Layout
) -> Mask:
    """One bit a sign."""
    signs = signs.copy()
    loops.fair(*coder.room(signs.size), signs, mask)
    coder.check()
    return signs


def learnt(
    coder: Coder, contexts: ContextModels, signs: Mask, sizes: Integers, mask: Mask, layout: Layout
) -> Mask:
    """With the share of negative ones learnt on the way."""
    signs = signs.copy()
    loops.learnt(*coder.room(signs.size), contexts.pairs("sign", 1, START)[0], signs, mask)
    coder.check()
    return signs


def alike(
    coder: Coder, contexts: ContextModels, signs: Mask, sizes: Integers, mask: Mask, layout: Layout
) -> Mask:
    """With the weights beside it as context, which counts the more the larger both are.

    For normal weights that correlate, the log odds of a sign are the weight's magnitude times a
    linear function of its neighbours.
    """
    count = int(mask.sum(dtype=np.int64))
    mean = (int(sizes.sum()) + count) / max(count, 1)
    bias = contexts.hints("sign", 0.0, SIGN)
    beside = contexts.hints("signs beside", 0.0, SIGN_BESIDE)
    # The bias, the row, the neighbours, the columns.
    hints = np.zeros((2 + len(SIGN_BESIDE) + layout.columns, 2))
    hints[0], hints[2 : 2 + len(SIGN_BESIDE)] = bias[0], beside
    hints[2 + len(SIGN_BESIDE) :, 1] = SIGN_COLUMN
    signs = signs.copy()
    loops.alike(*coder.room(signs.size), hints, signs, sizes, mask, layout.reaching(), mean)
    coder.check()
    bias[0], beside[:] = hints[0], hints[2 : 2 + len(SIGN_BESIDE)]
    return signs


# Row, column and neighbours are trusted fully, or expected to say little.
MAGNITUDES: tuple[Callable[..., Integers], ...] = (
    stepwise, partial(hinted, trust=1.0), partial(hinted, trust=0.1), lengthwise,
)  # fmt: skip
"""Every way to say magnitudes, in the order of their numbers."""
MAGNITUDES_FIRST = (3, 0, 1, 2)
"""In which order to try them."""

SIGNS: tuple[Callable[..., Mask], ...] = (
    fair, alike, learnt,
)  # fmt: skip
"""Every way to say signs, in the order of their numbers."""
SIGNS_FIRST = (0, 2, 1)
"""In which order to try them."""

"""Which weights of a tensor are not zero: five ways to say it, of which the shortest is taken.

Each way is a function (coder, contexts, mask, layout) -> mask, (n,) uint8; a reader is given zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from sipp_core.compression import loops
from sipp_core.compression.adaptive import LENGTHS, NUMBER, ContextModels, number
from sipp_core.compression.layout import Layout
from sipp_core.compression.loops import START, Mask
from sipp_core.compression.range_coder import Coder, DamagedError

# Variances of what the hints weigh, in squared units of log odds; those of neighbours as in
# `Layout.back`.
SHARE, ROW, COLUMN = 3.0, 0.3, 0.3
BESIDE = np.array([0.1, 0.1, 0.05, 0.03, 0.03, 0.03, 0.03])
RAREST = 7


def dense(coder: Coder, contexts: ContextModels, mask: Mask, layout: Layout) -> Mask:
    """One decision a weight, with the share of nonzeros learnt on the way."""
    mask = mask.copy()
    loops.dense(*coder.room(mask.size), contexts.pairs("dense", 1, START)[0], mask)
    coder.check()
    return mask


def enumerative(coder: Coder, contexts: ContextModels, mask: Mask, layout: Layout) -> Mask:
    """How many there are, then which of the equally likely sets: log2 of the binomial coefficient.

    Realised weight by weight: the chance of the next is the share of nonzeros that are left.
    """
    left = number(coder, contexts, "count", int(mask.sum(dtype=np.int64)))
    if left > mask.size:
        raise DamagedError("it counts more weights than there are")
    mask = mask.copy()
    loops.enumerative(*coder.room(mask.size), mask, left)
    coder.check()
    return mask


def gaps(coder: Coder, contexts: ContextModels, mask: Mask, layout: Layout) -> Mask:
    """How many zeros come before each nonzero; the last gap reaches the end."""
    ends = np.append(np.flatnonzero(mask), mask.size)
    # A gap of g takes at most 2 g + 1 decisions.
    room = 2 * mask.size + 2 * ends.size + NUMBER
    mask = np.zeros_like(mask)
    if not loops.gaps(*coder.room(room), contexts.pairs(("gap", "number"), LENGTHS), ends, mask):
        coder.check()
        raise DamagedError("a gap is longer than what is left of its layer")
    coder.check()
    return mask


def hinted(coder: Coder, contexts: ContextModels, mask: Mask, layout: Layout, trust: float) -> Mask:
    """Context model: how full its row and column are so far, and the weights beside it."""
    filled = int(mask.sum(dtype=np.int64))
    rarity = next((k for k in range(RAREST) if filled << (k + 1) > mask.size), RAREST)
    rarity = number(coder, contexts, "rarity", rarity)
    # Log odds of a share of 2**-k are about -0.7 k.
    share = contexts.hints(("share", trust), -0.7 * min(rarity, RAREST), SHARE)
    beside = contexts.hints(("full", trust), 0.0, BESIDE * trust)
    # The share, the row, the neighbours, the columns.
    hints = np.zeros((2 + len(BESIDE) + layout.columns, 2))
    hints[0], hints[2 : 2 + len(BESIDE)] = share[0], beside
    hints[2 + len(BESIDE) :, 1] = COLUMN * trust
    mask = mask.copy()
    loops.hinted_positions(*coder.room(mask.size), hints, mask, layout.reaching(), ROW * trust)
    coder.check()
    share[0], beside[:] = hints[0], hints[2 : 2 + len(BESIDE)]
    return mask


# Row, column and neighbours are trusted fully, or expected to say little.
WAYS: tuple[Callable[..., Mask], ...] = (
    dense, partial(hinted, trust=1.0), partial(hinted, trust=0.1), gaps, enumerative,
)  # fmt: skip
"""Every way, in the order of their numbers in a file."""

FIRST = (4, 0, 3, 1, 2)
"""In which order to try them: those that are quick and seldom far off first."""

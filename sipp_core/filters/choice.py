"""Which channels of each group stay: as few as a promised error allows, or as a budget does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sipp_core.filters.groups import (
    GroupChoice,
    GroupTable,
    dead,
    draw_sequence,
    drawn,
    keep_all_but,
    removal_order,
)
from sipp_core.runtime.numbers import Bool

BOUNDS = ("bernstein", "printed")
# Numbers of draws that a budget may end at: this many between m and 2 m.
STEPS = 16
Count = Callable[[Sequence[Bool]], int]


def by_error(
    tables: Sequence[GroupTable], random: bool, eps: float, seed: int
) -> list[GroupChoice]:
    """Keep the fewest channels of each group with which the bound promises eps.

    Claim: PF-1, PF-2, SP-6. Source: [PF] arXiv 1911.07412, [OWN].
    """
    found = []
    for index, table in enumerate(tables):
        least = keep_all_but(table, dead(table))
        live = int((table.sensitivity > 0).sum())
        if not random:
            choice = keep_all_but(table, _most_dropped(table, eps))
        elif (size := table.draw_size(eps)) < live and live > 0:
            choice = drawn(table, draw_sequence(table, seed, index), int(size))
        else:
            choice = least
        found.append(choice)
    return found


def _most_dropped(table: GroupTable, eps: float) -> int:
    """The promise of every consumer grows with the number dropped: bisection."""
    low, high = dead(table), table.group.units
    while high - low > 1:
        middle = (low + high) // 2
        if max(keep_all_but(table, middle).eps.values()) <= eps:
            low = middle
        else:
            high = middle
    return low


def by_budget(
    tables: Sequence[GroupTable], random: bool, budget: int, count: Count, seed: int,
    alike: str = "errors",
) -> list[GroupChoice]:  # fmt: skip
    """Keep as many weights as a budget allows, promised errors or shares alike in all groups.

    Deterministic: channels go in the order of what has been let go of their group by then, the sum
    of sensitivities ("errors") or the fraction of its channels ("channels").
    Sampled: draws in proportion to S ln(2 N/delta), which makes PF-2's errors alike; the promise
    pays for the choice of their number.
    """
    if random:
        return _by_draws(tables, budget, count, seed)
    return _by_removals(tables, budget, count, alike)


def _by_removals(
    tables: Sequence[GroupTable], budget: int, count: Count, alike: str
) -> list[GroupChoice]:
    first = [dead(table) for table in tables]
    owner, lost = [], []
    for index, table in enumerate(tables):
        if alike == "channels":
            gone = np.arange(1, table.group.units) / table.group.units
        else:
            gone = table.sensitivity[removal_order(table)].cumsum()
        gone = gone[first[index] :]
        owner.append(np.full(gone.size, index))
        lost.append(gone)
    order = np.concatenate(owner)[np.argsort(np.concatenate(lost), kind="stable")]

    def choices(removals: int) -> list[GroupChoice]:
        extra = np.bincount(order[:removals], minlength=len(tables))
        return [keep_all_but(t, d + int(e)) for t, d, e in zip(tables, first, extra, strict=True)]

    low, high = 0, order.size
    while low < high:
        middle = (low + high) // 2
        if count([c.kept for c in choices(middle)]) <= budget:
            high = middle
        else:
            low = middle + 1
    return choices(low)


def _by_draws(
    tables: Sequence[GroupTable], budget: int, count: Count, seed: int
) -> list[GroupChoice]:
    sequences = [draw_sequence(table, seed, index) for index, table in enumerate(tables)]
    # What is left depends on the draws, so m does too: a promise must hold for every size on a
    # ladder that is settled beforehand.
    longest = max(sequence.size for sequence in sequences)
    powers = np.arange(-64 * STEPS, math.ceil(math.log2(longest + 1) * STEPS) + 1) / STEPS
    ladders = [
        np.maximum(1, np.floor(2.0**powers * t.total * math.log(2 * t.events / t.delta)))
        for t in tables
    ]
    sizes = [
        max(1, np.unique(ladder[ladder <= sequence.size]).size)
        for ladder, sequence in zip(ladders, sequences, strict=True)
    ]

    def choices(rung: int) -> list[GroupChoice]:
        return [
            drawn(table, sequence, int(ladder[rung]), each)
            if ladder[rung] <= sequence.size
            else keep_all_but(table, dead(table))
            for table, sequence, ladder, each in zip(tables, sequences, ladders, sizes, strict=True)
        ]

    # More draws keep every channel that fewer do, so the count rises with the rung.
    low, high = 0, powers.size
    while high - low > 1:
        middle = (low + high) // 2
        if count([c.kept for c in choices(middle)]) <= budget:
            low = middle
        else:
            high = middle
    return choices(low)

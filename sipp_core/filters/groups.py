"""Channels of a group: their sensitivities, which of them stay, and what that promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import sipp_theory
from sipp_core.filters.graph import ChannelGroup
from sipp_core.runtime.numbers import Bool, Float, generator

# A group that needs more draws than this for each of its channels is kept whole.
MOST_DRAWS = 64
# Numbers of draws that a budget may end at: this many between m and 2 m.
STEPS = 16
Count = Callable[[Sequence[Bool]], int]


@dataclass(frozen=True, eq=False)
class GroupTable:
    """What is known of a group before anything is chosen.

    Attributes:
        group: its channels and layers.
        shares: by consumer, (units,) float64: the largest share of each channel there.
        events: pre-activations (filters, signs, patches) of all consumers at one input.
        eta_star: most filters of a layer, for the printed size.
        delta: failure probability for the group at one input.
        coverage_factor: C with g_c <= C s_c.
        bound: "bernstein" (PF-2) or "printed" (PF-1).
        unit: largest share of a weight that the consumers' dtypes round away; 0 for float64.
    """

    group: ChannelGroup
    shares: dict[str, Float]
    events: int
    eta_star: int
    delta: float
    coverage_factor: float
    bound: str
    unit: float = 0.0

    @property
    def sensitivity(self) -> Float:
        """(units,) the largest share of each channel at any consumer."""
        return np.maximum.reduce(list(self.shares.values()))

    @property
    def total(self) -> float:
        """S_sum; float rounding below 1 is mended."""
        total = float(self.sensitivity.sum())
        return max(1.0, total) if total > 0 else 0.0

    def draw_error(self, draws: float, sizes: int = 1) -> float:
        """Error that so many draws promise every consumer, one of so many sizes looked at."""
        if self.bound == "printed":
            eps = sipp_theory.channel_error(
                self.total, draws, printed_delta(self, sizes), self.eta_star, self.coverage_factor
            )
        else:
            eps = sipp_theory.channel_bernstein_error(
                self.total, draws, self.delta, self.events * sizes, self.coverage_factor
            )
        return float(eps + self.unit * (1 + eps))

    def draw_size(self, eps: float) -> float:
        """Draws that promise every consumer this error; +inf where rounding alone passes it."""
        if eps <= self.unit:
            return math.inf
        eps = (eps - self.unit) / (1 + self.unit)
        if self.bound == "printed":
            size = sipp_theory.channel_size(
                self.total, eps, printed_delta(self), self.eta_star, self.coverage_factor
            )
        else:
            size = sipp_theory.channel_bernstein_size(
                self.total, eps, self.delta, self.events, self.coverage_factor
            )
        return float(size)


def printed_delta(table: GroupTable, sizes: int = 1) -> float:
    """Delta, or the largest for which PF-1 covers all events: N <= 32 eta*^3/delta^2.

    Claim: PF-1. Source: [OWN].
    """
    most = math.sqrt(32 * table.eta_star**3 / table.events) * (1 - 1e-15)
    return min(table.delta / sizes, most)


@dataclass(frozen=True, eq=False)
class GroupChoice:
    """What is left of a group.

    Attributes:
        multiplier: (units,) float64, factor of each channel in its consumers; 0 where it is gone.
        draws: made with replacement; 0 if none.
        eps: by consumer, the error promised relative to what the group brings (>= 1: nothing).
    """

    multiplier: Float
    draws: int
    eps: dict[str, float]

    @property
    def kept(self) -> Bool:
        """(units,) True for channels that are left."""
        return self.multiplier != 0


def removal_order(table: GroupTable) -> np.ndarray:
    """Channels in the order in which they are let go, the least sensitive first.

    Shapes: returns (units - 1,).
    """
    return np.argsort(-table.sensitivity, kind="stable")[::-1][:-1]


def keep_all_but(table: GroupTable, dropped: int) -> GroupChoice:
    """Drop the least sensitive channels and keep the others as they are.

    Claim: PF-2, SP-6. Source: [PF] arXiv 1911.07412, [OWN].
    """
    kept = np.ones(table.group.units, dtype=bool)
    kept[removal_order(table)[:dropped]] = False
    eps = {
        name: float(sipp_theory.dropped_share_bound(shares, kept, table.coverage_factor))
        for name, shares in table.shares.items()
    }
    return GroupChoice(kept.astype(np.float64), 0, eps)


def dead(table: GroupTable) -> int:
    """Count the channels that no calibration input ever sent anywhere; one channel always stays."""
    return min(int((table.sensitivity == 0).sum()), table.group.units - 1)


def drawn(table: GroupTable, sequence: np.ndarray, draws: int, sizes: int = 1) -> GroupChoice:
    """Keep what the first draws of a sequence picked, each channel times N_c/(m q_c).

    Claim: PF-2, SP-1. Source: [PF] arXiv 1911.07412.
    """
    counts = np.bincount(sequence[:draws], minlength=table.group.units)
    q = table.sensitivity / table.sensitivity.sum()
    multiplier = np.divide(counts, draws * q, out=np.zeros_like(q), where=counts > 0)
    promised = table.draw_error(draws, sizes)
    return GroupChoice(multiplier, draws, dict.fromkeys(table.shares, promised))


def draw_sequence(table: GroupTable, seed: int, index: int) -> np.ndarray:
    """Channels drawn one after another with probability s_c/S; the longest that is ever used.

    Claim: SP-1. Source: [PF] arXiv 1911.07412.
    """
    live = np.flatnonzero(table.sensitivity)
    if live.size == 0:
        return live
    edges = table.sensitivity[live].cumsum()
    uniform = generator(seed, index).random(MOST_DRAWS * table.group.units)
    return live[np.searchsorted(edges[:-1], uniform * edges[-1], side="right")]


def by_error(
    tables: Sequence[GroupTable], random: bool, eps: float, seed: int
) -> list[GroupChoice]:
    """Keep the fewest channels of each group with which the bound promises eps.

    Claim: PF-1, PF-2, SP-6. Source: [PF] arXiv 1911.07412, [OWN].
    """
    choices = []
    for index, table in enumerate(tables):
        least = keep_all_but(table, dead(table))
        live = int((table.sensitivity > 0).sum())
        if not random:
            choice = keep_all_but(table, _most_dropped(table, eps))
        elif (size := table.draw_size(eps)) < live and live > 0:
            choice = drawn(table, draw_sequence(table, seed, index), int(size))
        else:
            choice = least
        choices.append(choice)
    return choices


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

"""Channels while a network is walked through: which ones are one thing, and what binds them.

Every filter of a layer starts a unit. Units that are added up become one unit, units of one layer
belong to one group; a group may be fixed (no channel of it can go) or frozen (a channel can be set
to zero but keeps its place).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
NOBODY = -1


@dataclass(frozen=True)
class Flow:
    """What one tensor carries along its channel axis.

    Attributes:
        units: (channels,) int64, the unit of each channel, NOBODY where it is no filter's output.
        axis: which axis of the tensor counts the channels.
    """

    units: Labels
    axis: int


@dataclass
class Units:
    """The units met so far; two forests, one of equal units and one of groups.

    Attributes:
        same: parent of each unit among equal ones.
        group: parent of each unit among those of one group.
        fixed: reason why a unit's group stays whole, by unit.
        frozen: reason why a unit's group keeps its shape, by unit.
    """

    same: list[int] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    fixed: dict[int, str] = field(default_factory=dict)
    frozen: dict[int, str] = field(default_factory=dict)

    def new(self, count: int) -> Labels:
        """Start the units of one layer's filters, all in one group."""
        first = len(self.same)
        self.same.extend(range(first, first + count))
        self.group.extend([first] * count)
        return np.arange(first, first + count)

    def unify(self, left: Labels, right: Labels) -> Labels:
        """Merge the units at each position; a channel of no unit leaves the other as it is."""
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            if a != NOBODY and b != NOBODY:
                _union(self.same, a, b)
                _union(self.group, a, b)
        return np.where(left == NOBODY, right, left)

    def alike(self, labels: Labels, groups: int) -> Labels:
        """Make the channels at each place of equal groups one, so that the groups shrink alike."""
        blocks = np.split(labels, groups)
        for block in blocks[1:]:
            self.unify(blocks[0], block)
        return labels

    def fix(self, flow: Flow, reason: str) -> None:
        """Say that no channel of these groups can go."""
        _mark(self.fixed, flow, reason)

    def freeze(self, flow: Flow, reason: str) -> None:
        """Say that channels of these groups keep their place."""
        _mark(self.frozen, flow, reason)

    def reasons(self, notes: dict[int, str]) -> dict[int, list[str]]:
        """Reasons by the root of their group, each once, in the order they were met."""
        reasons: dict[int, list[str]] = {}
        for unit, reason in notes.items():
            known = reasons.setdefault(root(self.group, unit), [])
            if reason not in known:
                known.append(reason)
        return reasons

    def roots(self, labels: Labels) -> Labels:
        """The unit that stands for each of these."""
        roots = [NOBODY if u == NOBODY else root(self.same, u) for u in labels.tolist()]
        return np.array(roots, dtype=np.int64)


def _mark(notes: dict[int, str], flow: Flow, reason: str) -> None:
    for unit in flow.units.tolist():
        if unit != NOBODY:
            notes.setdefault(unit, reason)


def root(parents: list[int], unit: int) -> int:
    """Find who stands for a unit."""
    while parents[unit] != unit:
        parents[unit] = parents[parents[unit]]
        unit = parents[unit]
    return unit


def _union(parents: list[int], a: int, b: int) -> None:
    a, b = root(parents, a), root(parents, b)
    parents[max(a, b)] = min(a, b)

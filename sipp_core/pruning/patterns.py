"""Patterns that a runtime is fast at: n weights of every m in a row, or whole blocks.

A pattern picks a mask by the same scores as without one; what it costs is the larger error that is
promised of that mask (SP-6), or measured and certified of the network.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sipp_core.pruning import planning
from sipp_core.pruning.allocation import largest
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Bool, Float


class Pattern(ABC):
    """Which sets of weights of a matrix (out, fan_in) may stay."""

    @property
    def fraction(self) -> float | None:
        """The fraction that it keeps; None where any is possible."""
        return None

    @abstractmethod
    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why a matrix cannot have it; None where it can."""

    @abstractmethod
    def masks(self, scores: Sequence[Float], budget: float) -> list[Bool]:
        """Masks of the scope that fit the pattern, of at most `budget` weights; zeros never stay.

        Shapes: scores (out, fan_in) each.
        """


@dataclass(frozen=True)
class NofM(Pattern):
    """Of every m inputs that follow each other at most n stay, neuron by neuron.

    Attributes:
        n: weights that stay, in [1, m).
        m: inputs in a row.
    """

    n: int
    m: int

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"

    @property
    def fraction(self) -> float:
        """n/m."""
        return self.n / self.m

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Rows are cut into m without a rest."""
        return f"{shape[1]} inputs are no multiple of {self.m}" if shape[1] % self.m else None

    def masks(self, scores: Sequence[Float], budget: float) -> list[Bool]:
        """The n largest scores of each m; ties go to the earlier weight. The budget is n/m."""
        kept = []
        for each in scores:
            groups = each.reshape(-1, self.m)
            order = np.argsort(-groups, axis=1, kind="stable")[:, : self.n]
            mask = np.zeros(groups.shape, dtype=bool)
            np.put_along_axis(mask, order, True, axis=1)
            kept.append((mask & (groups > 0)).reshape(each.shape))
        return kept


@dataclass(frozen=True)
class Blocks(Pattern):
    """Blocks of so many neurons by so many inputs stay or go as a whole.

    Attributes:
        rows: neurons of a block.
        columns: inputs of a block.
    """

    rows: int
    columns: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Both sides are cut without a rest."""
        if shape[0] % self.rows or shape[1] % self.columns:
            return f"{shape[0]} x {shape[1]} is no whole number of blocks {self}"
        return None

    def masks(self, scores: Sequence[Float], budget: float) -> list[Bool]:
        """The blocks of largest sums, as many as the budget has room for."""
        sums = [
            each.reshape(each.shape[0] // self.rows, self.rows, -1, self.columns).sum(axis=(1, 3))
            for each in scores
        ]
        size = self.rows * self.columns
        chosen = largest(sums, max(1.0, budget // size))
        return [
            np.repeat(np.repeat(mask, self.rows, axis=0), self.columns, axis=1) & (each > 0)
            for mask, each in zip(chosen, scores, strict=True)
        ]


def pattern_of(text: str) -> Pattern:
    """Read a pattern.

    Example:
        >>> pattern_of("2:4"), pattern_of("16x1")
        (NofM(n=2, m=4), Blocks(rows=16, columns=1))
    """
    if isinstance(text, str) and (match := re.fullmatch(r"(\d{1,4})([:x])(\d{1,4})", text)):
        a, b = int(match[1]), int(match[3])
        if match[2] == ":" and 1 <= a < b:
            return NofM(a, b)
        if match[2] == "x" and a >= 1 and b >= 1 and a * b > 1:
            return Blocks(a, b)
    raise ValueError(
        "pattern must be 'n:m' with 1 <= n < m, such as '2:4', or 'RxC', such as '4x4' for blocks "
        f"of 4 neurons by 4 inputs; found {text!r}"
    )


def refuse_misfits(pattern: Pattern, tables: Sequence[Table]) -> None:
    """Refuse all layers that cannot have a pattern, at once."""
    misfits = {
        table.statistics.name: text
        for table in tables
        if (text := pattern.misfit(table.weight.shape)) is not None
    }
    if misfits:
        shown = "; ".join(f"layer {name!r}: {text}" for name, text in misfits.items())
        names = [f"!{name}" for name in misfits]
        raise ValueError(
            f"pattern {pattern} does not fit: {shown}; leave out with layers={names!r}"
        )


def cost(tables: Sequence[Table], masks: Sequence[Bool], scores: Sequence[Float]) -> list[str]:
    """Of each layer what its mask promises, beside as many weights chosen freely, in words.

    Nothing is said of a layer in which neither promises an error below 1 of most neurons.

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    parts = []
    for table, mask, score in zip(tables, masks, scores, strict=True):
        free = largest([score], float(mask.sum()))[0]
        errors = [_worst(table, kept, score) for kept in (mask, free)]
        worst, median = (tuple(float(f(e)) for e in errors) for f in (np.max, np.median))
        parts.append(
            f"{table.statistics.name} {worst[0]:.4g} against {worst[1]:.4g} (median neuron "
            f"{median[0]:.4g} against {median[1]:.4g})"
            if min(median) < 1
            else ""
        )
    return parts


def in_words(pattern: Pattern, costs: Sequence[str]) -> str:
    """Say what a pattern costs."""
    parts = [part for part in costs if part]
    if silent := len(costs) - len(parts):
        parts.append(f"in {silent} of {len(costs)} layers nothing of most neurons either way")
    return (
        f"pattern {pattern}: promised error of the worst neuron, against as many weights of the "
        f"same layer without the pattern: {'; '.join(parts)}"
    )


def _worst(table: Table, kept: Bool, scores: Float) -> Float:
    """Promised error of each neuron, (out,)."""
    return planning.mask_plan(table, kept, scores).eps.max(axis=0)

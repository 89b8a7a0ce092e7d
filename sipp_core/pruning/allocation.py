"""Which weights get the budget: the largest scores, and AL-3's division among pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import sipp_theory
from sipp_core.pruning.measured import multiplies
from sipp_core.pruning.stored import Stored, flags_by_rows, neurons, numbers, whole
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Bool, Float
from sipp_theory.allocation import layers

# Bits of a score that are settled at a time, and scores that are sorted at once.
DIGITS, FEW = 16, 1 << 18


def largest(
    scores: Sequence[Float], budget: float, device: torch.device | None = None
) -> list[Bool]:
    """Masks of the `budget` largest scores of a scope; ties go to the earlier weight.

    A device that has float64 looks for them if one is given; the masks are the same.

    Claim: AL-1 (its deterministic case). Source: [SP] arXiv 1910.05422.
    """
    return [whole(mask) for mask in largest_by_layer(scores, budget, device)]


def largest_by_layer(
    scores: Sequence[Stored], budget: float, device: torch.device | None = None
) -> Iterator[Stored]:
    """The masks of `largest`, one after another."""
    if device is not None and multiplies(device):
        flat = np.concatenate([numbers(s).ravel() for s in scores])
        shapes = [s.shape for s in scores]
        mask = _largest_there(torch.from_numpy(flat).to(device), budget)
        cuts = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        for part, shape in zip(np.split(mask, cuts), shapes, strict=True):
            yield part.reshape(shape)
        return
    least, ties = _least(scores, budget)

    def kept(rows: slice) -> Bool:
        nonlocal ties
        values = numbers(score, rows)
        above = values > least
        places = np.flatnonzero(values == least)[:ties]
        above.flat[places] = True
        ties -= len(places)
        return above

    for score in scores:
        out, fan_in = score.shape
        yield flags_by_rows((out, fan_in), kept)


def _least(scores: Sequence[Stored], budget: float) -> tuple[float, int]:
    """The least of the `budget` largest scores above 0, and how many that equal it are among them.

    Positive numbers stand in the order of their bits, of which DIGITS more are settled at a time,
    by counting, until few enough numbers share them to be sorted: no copy of all is made.
    """
    known, shift, above, count = 0, 64, 0, 0
    while shift:
        first, shift = shift == 64, shift - DIGITS
        counts, positive = np.zeros(1 << DIGITS, np.int64), 0
        for bits in _bits(scores):
            positive += int(np.count_nonzero(bits))
            same = bits if first else bits[bits >> (shift + DIGITS) == known]
            digits = (same >> shift) & ((1 << DIGITS) - 1)
            counts += np.bincount(digits, minlength=1 << DIGITS)
        if first and (count := min(int(budget), positive)) < 1:
            return np.inf, 0
        # From the largest down, the first digit with which the count is reached.
        reached = above + np.cumsum(counts[::-1])
        place = int(np.argmax(reached >= count))
        digit = len(counts) - 1 - place
        above = int(reached[place] - counts[digit])
        known = known << DIGITS | digit
        if counts[digit] <= FEW:
            break
    if not shift:
        return float(np.int64(known).view(np.float64)), count - above
    rest = np.concatenate([bits[bits >> shift == known] for bits in _bits(scores)])
    place = len(rest) - (count - above)
    least = np.partition(rest, place)[place]
    return float(least.view(np.float64)), count - above - int((rest > least).sum())


def _bits(scores: Sequence[Stored]) -> Iterator[NDArray[np.int64]]:
    """The bits of all scores, as whole numbers in the same order; those below 0 as of 0."""
    for each in scores:
        for rows in neurons(each.shape):
            some = np.maximum(numbers(each, rows).reshape(-1), 0.0)
            yield (some + 0.0).view(np.int64)  # of -0.0 the sum makes a 0


class Scores(Sequence[Stored]):
    """Scores of each table, computed anew at each access: one layer's in memory at a time."""

    def __init__(self, of: Callable[[Table], Stored], tables: Sequence[Table]) -> None:
        self._of, self._tables = of, tables

    def __len__(self) -> int:
        return len(self._tables)

    @overload
    def __getitem__(self, index: int) -> Stored: ...
    @overload
    def __getitem__(self, index: slice) -> Scores: ...
    def __getitem__(self, index: int | slice) -> Stored | Scores:
        if isinstance(index, slice):
            return Scores(self._of, self._tables[index])
        return self._of(self._tables[index])


def _largest_there(flat: Tensor, budget: float) -> Bool:
    """Mask of so many largest scores of a tensor on a device. Shapes: flat (n,); returns (n,)."""
    count = min(int(budget), int((flat > 0).sum()))
    if count < 1:
        return np.zeros(len(flat), dtype=bool)
    least = flat.kthvalue(len(flat) - count + 1).values
    mask = flat > least
    ties = (flat == least).nonzero().squeeze(1)  # in their order
    mask[ties[: count - int(mask.sum())]] = True
    return mask.cpu().numpy()


def largest_per_row(scores: Float, sizes: Float) -> Bool:
    """Mask of each row's largest scores, `sizes` of them; ties go to the earlier weight.

    Shapes: scores (out, fan_in), sizes (out,).

    Example:
        >>> largest_per_row(np.array([[0.1, 0.3], [0.2, 0.0]]), np.array([1.0, 2.0])).tolist()
        [[False, True], [True, False]]
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(order.shape[1])[None, :], axis=1)
    return (place < sizes[:, None]) & (scores > 0)


def top_per_pair(table: Table, scores: Stored, sizes: Float) -> Stored:
    """Mask of each pair's largest scores, `sizes` of them, among its weights of one sign.

    Shapes: scores (out, fan_in), sizes (2, out).

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    weight = table.raw_weight

    def kept(rows: slice) -> Bool:
        score, mask = numbers(scores, rows), np.zeros(weight[rows].shape, dtype=bool)
        for sign, mine in enumerate((weight[rows] > 0, weight[rows] < 0)):
            ranked = np.where(mine, score, -1.0)
            mask |= largest_per_row(ranked, sizes[sign, rows]) & mine
        return mask

    return flags_by_rows(table.shape, kept)


# Steps of a bisection: beyond them no pair's whole number changes.
BISECTIONS = 40


def shares_of_budget(tables: Sequence[Table], budget: float) -> list[Float]:
    """AL-3 over all pairs of the scope: whole numbers of weights, (2, out) a layer.

    Claim: AL-3. Source: [SP] arXiv 1910.05422, the authors' code.
    """
    sizes = [t.total.size for t in tables]

    def each(values: Sequence[float]) -> Float:
        return np.repeat(np.asarray(values, np.float64), sizes)

    capacity = np.concatenate([t.support.ravel() for t in tables])
    outputs = each([t.shape[0] for t in tables])
    patches = each([t.statistics.patches for t in tables])
    kernel = each([kernel_size(t) for t in tables])
    total = np.concatenate([t.total.ravel() for t in tables])

    def rounded_up(amount: float) -> Float:
        real = sipp_theory.allocate_by_layer(
            total, capacity, outputs, amount, patches=patches, kernel=kernel
        )
        return np.ceil(real.sizes)

    # The code rounds up, which gives small pairs more: the amount is sought that comes to B so.
    low, high = 0.0, float(budget)
    sizes_up = rounded_up(high)
    for _ in range(BISECTIONS if sizes_up.sum() > budget else 0):
        middle = (low + high) / 2
        tried = rounded_up(middle)
        low, high = (middle, high) if tried.sum() <= budget else (low, middle)
        sizes_up = tried if tried.sum() <= budget else sizes_up
    whole = sipp_theory.round_allocation(sizes_up, capacity, budget)
    cuts = np.cumsum(sizes)[:-1]
    return [
        part.reshape(t.total.shape) for part, t in zip(np.split(whole, cuts), tables, strict=True)
    ]


def kernel_size(table: Table) -> int:
    """Positions of a layer's kernel; 1 for a linear layer."""
    return math.prod(getattr(table.statistics.layer.module, "kernel_size", ()))


def estimated_error(table: Table, sizes: Float) -> Float:
    """The authors' estimate of the error of so many draws from each pair: AL-3's f, no bound.

    Shapes: sizes (2, out); returns (2, out) float64.

    Claim: AL-3. Source: [SP] arXiv 1910.05422, the authors' code.
    """
    return sipp_theory.heuristic_error(
        table.total, np.maximum(sizes, 1), layers.SIPP_DELTA, kernel_size(table),
        table.statistics.patches, layers.SIPP_COVERAGE,
    )  # fmt: skip

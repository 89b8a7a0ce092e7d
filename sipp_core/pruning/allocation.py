"""Which weights get the budget: the largest scores, and AL-3's division among pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

import sipp_theory
from sipp_core.pruning.measured import multiplies
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Bool, Float
from sipp_theory.allocation import layers


def largest(
    scores: Sequence[Float], budget: float, device: torch.device | None = None
) -> list[Bool]:
    """Masks of the `budget` largest scores of a scope; ties go to the earlier weight.

    A device that has float64 looks for them if one is given; the masks are the same.

    Claim: AL-1 (its deterministic case). Source: [SP] arXiv 1910.05422.
    """
    flat = np.concatenate([s.ravel() for s in scores])
    count = min(int(budget), int((flat > 0).sum()))
    mask = np.zeros(flat.size, dtype=bool)
    if count and device is not None and multiplies(device):
        mask = _largest_there(torch.from_numpy(flat).to(device), count)
    elif count:
        least = np.partition(flat, flat.size - count)[flat.size - count]
        np.greater(flat, least, out=mask)
        mask[np.flatnonzero(flat == least)[: count - int(mask.sum())]] = True
    cuts = np.cumsum([s.size for s in scores])[:-1]
    return [m.reshape(s.shape) for m, s in zip(np.split(mask, cuts), scores, strict=True)]


def _largest_there(flat: Tensor, count: int) -> Bool:
    """Mask of so many largest numbers of a tensor on a device. Shapes: flat (n,); returns (n,)."""
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


def top_per_pair(table: Table, scores: Float, sizes: Float) -> Bool:
    """Mask of each pair's largest scores, `sizes` of them, among its weights of one sign.

    Shapes: scores (out, fan_in), sizes (2, out).

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """
    kept = np.zeros(scores.shape, dtype=bool)
    for sign in (0, 1):
        ranked = np.where(table.sign(sign), scores, -1.0)
        kept |= largest_per_row(ranked, sizes[sign]) & table.sign(sign)
    return kept


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
    neurons = each([t.weight.shape[0] for t in tables])
    patches = each([t.statistics.patches for t in tables])
    kernel = each([kernel_size(t) for t in tables])
    total = np.concatenate([t.total.ravel() for t in tables])

    def rounded_up(amount: float) -> Float:
        real = sipp_theory.allocate_by_layer(
            total, capacity, neurons, amount, patches=patches, kernel=kernel
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

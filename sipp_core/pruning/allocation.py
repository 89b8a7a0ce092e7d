"""Which weights get the budget: the largest scores, and AL-1's division among pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import sipp_theory
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Bool, Float


def largest(scores: Sequence[Float], budget: float) -> list[Bool]:
    """Masks of the `budget` largest scores of a scope; ties go to the earlier weight.

    Claim: AL-1 (its deterministic case). Source: [SP] arXiv 1910.05422.
    """
    flat = np.concatenate([s.ravel() for s in scores])
    count = min(int(budget), int((flat > 0).sum()))
    mask = np.zeros(flat.size, dtype=bool)
    mask[np.argsort(-flat, kind="stable")[:count]] = True
    cuts = np.cumsum([s.size for s in scores])[:-1]
    return [m.reshape(s.shape) for m, s in zip(np.split(mask, cuts), scores, strict=True)]


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


def shares_of_budget(tables: Sequence[Table], budget: float) -> list[Float]:
    """AL-1 over the Bernstein errors of all pairs of the scope: whole numbers of weights."""
    totals = np.concatenate([t.total.ravel() for t in tables])
    deltas = np.concatenate([t.delta.ravel() for t in tables])
    capacity = np.concatenate([t.support.ravel() for t in tables])
    linear, variance = sipp_theory.bernstein_coefficients(totals, deltas)
    live = (totals > 0).astype(np.float64)
    real = sipp_theory.allocate(linear, variance, capacity, budget, importance=live).sizes
    whole = sipp_theory.round_allocation(real, capacity, budget)
    cuts = np.cumsum([t.total.size for t in tables])[:-1]
    return [
        part.reshape(t.total.shape) for part, t in zip(np.split(whole, cuts), tables, strict=True)
    ]

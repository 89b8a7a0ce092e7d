"""Margins of a classifier, the share of them below a level, and their quantiles (GN-1, GN-2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float


def margins(scores: ArrayLike, targets: ArrayLike) -> Float:
    """Margin of each point: the score of the right class less the best of the others.

    f(x)[y] - max over j != y of f(x)[j]. Above 0 where the point is classified rightly; a tie
    counts as an error.

    Args:
        scores: (n, k) real, k >= 2 classes, any unit (logits).
        targets: (n,) whole numbers, the right classes, from 0 to k-1.

    Returns:
        (n,) float64 array in the unit of the scores, rounded to nearest.

    Raises:
        ValueError: wrong shapes, scores that are not finite, targets that are no class.

    Claim: GN-1. Source: [AR] arXiv 1802.05296.

    Example:
        >>> margins([[2.0, 0.5, 1.0], [0.0, 1.0, 1.0]], [0, 2]).tolist()
        [1.0, 0.0]
    """
    table = numeric.finite("scores", scores)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"scores must be (n, k) with k >= 2 classes; found shape {table.shape}")
    right = numeric.integer_at_least("targets", targets, 0)
    if right.shape != table.shape[:1]:
        raise ValueError(
            f"targets must have one entry for each of the {len(table)} rows; found {right.shape}"
        )
    if (right >= table.shape[1]).any():
        row = int(np.argmax(right >= table.shape[1]))
        raise ValueError(
            f"targets must be below the {table.shape[1]} classes; found {right[row]:g} at index "
            f"{row}"
        )
    rows, column = np.arange(len(table)), right.astype(np.intp)
    others = table.copy()
    others[rows, column] = -np.inf
    return table[rows, column] - others.max(axis=1)


def margin_loss(margins: ArrayLike, gamma: ArrayLike) -> Float:
    """Share of the points whose margin is gamma or less.

    L^_gamma = #{x : f(x)[y] <= gamma + max over j != y of f(x)[j]}/n; at gamma = 0 the error rate,
    ties counted as errors.

    Args:
        margins: (n,) real, n >= 1, as `margins` gives them.
        gamma: margin, >= 0, in their unit; any shape.

    Returns:
        float64 array of the shape of gamma, in [0, 1].

    Raises:
        ValueError: no points, NaN or infinity, gamma below 0.

    Claim: GN-1. Source: [AR] arXiv 1802.05296.

    Example:
        >>> margin_loss([-0.5, 0.0, 0.3, 2.0], [0.0, 0.3, 5.0]).tolist()
        [0.5, 0.75, 1.0]
    """
    ranked = _ranked(margins)
    level = numeric.at_least("gamma", gamma, 0.0)
    return (np.searchsorted(ranked, level, side="right") / ranked.size)[()]


def margin_quantiles(margins: ArrayLike, shares: ArrayLike) -> Float:
    """Quantiles of the distribution of margins.

    The least margin v with #{margins <= v}/n >= share: the median at 0.5, the largest at 1. Any
    gamma below it has a margin loss below the share.

    Args:
        margins: (n,) real, n >= 1, as `margins` gives them.
        shares: in (0, 1]; any shape.

    Returns:
        float64 array of the shape of shares, in the margins' unit.

    Raises:
        ValueError: no points, NaN or infinity, a share outside (0, 1].

    Claim: GN-1. Source: [AR] arXiv 1802.05296 (its plots of margins).

    Example:
        >>> margin_quantiles([3.0, 1.0, 2.0, 4.0], [0.25, 0.5, 0.51, 1.0]).tolist()
        [1.0, 2.0, 3.0, 4.0]
    """
    ranked = _ranked(margins)
    levels = numeric.finite("shares", shares)
    if ((levels <= 0) | (levels > 1)).any():
        bad = levels[(levels <= 0) | (levels > 1)].flat[0]
        raise ValueError(f"shares must lie in (0, 1]; found {float(bad)!r}")
    # Compared with i/n as it rounds, which is how a caller has it.
    reached = np.arange(1, ranked.size + 1) / ranked.size
    return ranked[np.searchsorted(reached, levels, side="left")][()]


def _ranked(margins: ArrayLike) -> Float:
    array = numeric.finite("margins", margins)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"margins must be (n,) with n >= 1; found shape {array.shape}")
    return np.sort(array)

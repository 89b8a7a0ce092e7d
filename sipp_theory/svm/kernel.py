"""SV-12: certificates of kernel machines, through a feature map or the kernel itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import UNIT, Float
from sipp_theory.svm.problem import PAIRWISE, balanced, instance


def kernel_dual(
    alpha: ArrayLike, K: ArrayLike, y: ArrayLike, C: float, sample_weight: ArrayLike | None = None
) -> float:
    """A certain lower bound of a kernel machine's least objective.

    D_K(a) = sum a - (a y)^T K (a y)/2 <= F*_K for feasible a: alpha clipped to [0, C u], balanced,
    and scaled to its best multiple. For a fixed feature map phi all other claims hold as they are
    for the linear machine in phi. Nystroem's K^ <= K gives F*_K <= F*_K^ from above; random Fourier
    features alone give no bound on F*_K.

    Args:
        alpha: (n,) finite multipliers.
        K: (n, n) symmetric kernel matrix, positive semidefinite; rows with alpha = 0 are not read.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given.

    Returns:
        D_K(a), rounded down, at least 0.

    Raises:
        ValueError: an argument is out of range, K is not symmetric, or there is one class.

    Claim: SV-12. Source: [OWN].

    Example:
        >>> round(kernel_dual([0.5, 0.5], [[1.0, -1.0], [-1.0, 1.0]], [1, -1], 2.0), 9)
        0.5
    """
    matrix = nm.finite("K", K)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"K must be square; found shape {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9 * float(np.abs(matrix).max())):
        raise ValueError("K must be symmetric; found entries that differ from their mirror image")
    given = instance(np.ones((len(matrix), 1)), y, C, sample_weight)
    a = nm.finite("alpha", alpha)
    if a.shape != given.y.shape:
        raise ValueError(f"alpha must have {len(matrix)} entries; found shape {a.shape}")
    a = balanced(np.clip(a, 0, given.c), given.y)
    live = np.flatnonzero(a)
    signed, kept = (a * given.y)[live], matrix[np.ix_(live, live)]
    size = float(np.abs(signed) @ np.abs(kept) @ np.abs(signed))
    return _lower(float(a.sum()), float(signed @ kept @ signed), size, len(live))


def kernel_dual_of_blocks(
    alpha: Float, X: Float, kernel: Callable[[Float, Float], Float], y: Float, c: Float,
    entries: int, progress: Callable[[int, int, str], None] | None = None,
) -> float:  # fmt: skip
    """`kernel_dual` of points X (n, d), from at most `entries` kernel values at a time."""
    a = balanced(np.clip(alpha, 0, c), y)
    live = np.flatnonzero(a)
    signed, rows = (a * y)[live], X[live]
    square = size = 0.0
    step = max(1, entries // max(len(live), 1))
    for start in range(0, len(live), step):
        block, part = kernel(rows[start : start + step], rows), signed[start : start + step]
        square += float(part @ (block @ signed))
        size += float(np.abs(part) @ (np.abs(block) @ np.abs(signed)))
        if progress is not None:
            progress(min(start + step, len(live)), len(live), "rows of the kernel")
    return _lower(float(a.sum()), square, size, len(live))


def _lower(total: float, square: float, size: float, count: int) -> float:
    """The best multiple's dual value, rounded down; size is the square's with all signs equal."""
    scale = min(1.0, total / square) if square > 0 else 1.0
    off = 4 * (2 * count + PAIRWISE) * UNIT
    bound = scale * total * (1 - off) - scale * scale * (square + 2 * off * size) / 2
    return max(0.0, float(bound))

"""MS-4 and MS-5: what no matrix of few parameters can beat, of low rank or of few entries."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.matrices.sparsification import SPECTRAL_SLACK
from sipp_theory.numeric import checks as nm


def _entries(matrix: ArrayLike) -> nm.Float:
    entries = nm.finite("matrix", matrix)
    if entries.ndim != 2 or entries.size == 0:
        raise ValueError(f"matrix must have rows and columns; found shape {entries.shape}")
    return entries


def rank_floor(matrix: ArrayLike, rank: int) -> float:
    """Least spectral error of any matrix of a given rank: the next singular value.

    The truncated singular value decomposition reaches it. Of (m + n) r parameters it is no floor
    for sparse matrices: the identity has n entries and full rank (MS-5 is one).

    Args:
        matrix: (m, n) finite entries.
        rank: r >= 0.

    Returns:
        sigma_{r+1}, in the unit of the entries, rounded down; 0 from min(m, n) on.

    Raises:
        ValueError: a matrix that is empty or not finite, a rank that is no whole number >= 0.

    Claim: MS-4. Source: Eckart and Young 1936; Mirsky 1960.

    Example:
        >>> round(rank_floor([[3.0, 0.0], [0.0, 2.0]], 1), 9)
        2.0
    """
    entries, cut = _entries(matrix), int(nm.integer_at_least("rank", rank, 0.0))
    peak = float(np.abs(entries).max())
    if cut >= min(entries.shape) or peak == 0:
        return 0.0
    values = np.linalg.svd(entries / peak, compute_uv=False)
    return float(max(values[cut] - SPECTRAL_SLACK * values[0], 0.0)) * peak


def sparse_floor(matrix: ArrayLike, kept: int) -> float:
    """Spectral error that every matrix of so many nonzero entries has, whatever their values.

    At least mn - k entries are 0 where A has its own: the spectral norm of the difference is no
    less than any one of them, nor than their Euclidean norm over the root of the shorter side.

    Args:
        matrix: (m, n) finite entries.
        kept: k >= 0, nonzero entries of the approximation.

    Returns:
        A floor for ||B - A||_2, in the unit of the entries, rounded down; 0 if k covers A.

    Raises:
        ValueError: a matrix that is empty or not finite, or k that is no whole number >= 0.

    Claim: MS-5. Source: [OWN].

    Example:
        >>> round(sparse_floor([[3.0, 0.0], [0.0, 2.0]], 1), 9)
        2.0
    """
    entries, count = _entries(matrix), int(nm.integer_at_least("kept", kept, 0.0))
    ranked = -np.sort(-np.abs(entries), axis=None)[count:]
    if ranked.size == 0 or ranked[0] == 0:
        return 0.0
    peak = float(ranked[0])
    spread = float(np.sqrt(((ranked / peak) ** 2).sum() / min(entries.shape)))
    return max(1.0, spread * (1 - SPECTRAL_SLACK)) * peak

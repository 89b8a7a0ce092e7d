"""MS-2 and MS-3: entrywise sampling of a whole matrix, its laws and the moments of one draw.

A draw picks entry (i, j) of A with probability p_ij and contributes X = (a_ij/p_ij) e_i e_j^T, so
E X = A; A^ is the mean of s draws. Everything here is relative to ||A||_2, the error of answering
with no weight at all, so that an error of 1 or more says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

ENTRY_KINDS = ("uniform", "l1", "l2", "mixture")
# Backward errors of singular values and eigenvalues, relative to the largest, with room to spare.
SPECTRAL_SLACK = 1e-12
# The eigenvalues of larger sides take too long; a bound on them is used instead.
EXACT_SIDE = 1500


@dataclass(frozen=True)
class DrawMoments:
    """What matrix Bernstein needs to know of one draw.

    Attributes:
        variance: max(||E Z Z^T||, ||E Z^T Z||)/||A||^2 for Z = X - A, rounded up.
        span: a bound on ||Z||/||A|| that is never off by more than 2: max |a_ij|/p_ij/||A|| + 1.
        norm: ||A||_2, in the unit of the entries.
        dimension: rows plus columns.

    Claim: MS-2. Source: [OWN].
    """

    variance: float
    span: float
    norm: float
    dimension: int


def _matrix(matrix: ArrayLike) -> Float:
    entries = nm.finite("matrix", matrix)
    if entries.ndim != 2 or entries.size == 0:
        raise ValueError(f"matrix must have rows and columns; found shape {entries.shape}")
    return entries


def _share(weight: float) -> float:
    share = float(nm.finite("alpha", weight))
    if not 0 < share < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1; found {share!r}")
    return share


def entry_probabilities(matrix: ArrayLike, kind: str, alpha: float = 0.5) -> Float:
    """Probabilities by which entries are drawn; all over the matrix they add up to 1.

    uniform: the same for every nonzero entry; l1: in proportion to |a_ij|; l2: to a_ij^2; mixture:
    alpha times l1 plus 1 - alpha times l2. Drineas and Zouzias first drop entries that are small
    beside the error they aim at, as nothing else bounds |a|/p under l2; here no entry is dropped
    and the bound is computed from the entries there are.

    Args:
        matrix: (m, n) finite entries.
        kind: one of ENTRY_KINDS.
        alpha: share of l1 in the mixture, in (0, 1).

    Returns:
        (m, n) float64 probabilities; all 0 for a matrix of zeros.

    Raises:
        ValueError: an unknown kind, a matrix that is empty or not finite, alpha out of range.

    Claim: MS-3. Source: Drineas and Zouzias 2011, arXiv 1006.0407 (l2); Kundu and Drineas 2014,
        arXiv 1404.0320 (the mixture); Achlioptas, Karnin and Liberty 2013 (l1 among others).

    Example:
        >>> entry_probabilities([[3.0, -1.0]], "l1").tolist()
        [[0.75, 0.25]]
    """
    if kind not in ENTRY_KINDS:
        raise ValueError(f"kind must be one of {', '.join(ENTRY_KINDS)}; found {kind!r}")
    share = _share(alpha)
    size = np.abs(_matrix(matrix))
    peak = size.max()
    if peak == 0:
        return np.zeros_like(size)
    size = size / peak
    if kind == "uniform":
        return (size > 0) / (size > 0).sum()
    first, second = size / size.sum(), size**2 / (size**2).sum()
    if kind == "mixture":
        return share * first + (1 - share) * second
    return first if kind == "l1" else second


def _norm(matrix: Float) -> float:
    return float(np.linalg.norm(matrix, 2))


def _side(second: Float, gram: Float) -> float:
    """Largest eigenvalue of diag(second) - gram, rounded up, relative to ||A|| = 1."""
    top = float(second.max())
    if len(second) <= EXACT_SIDE:
        top = min(top, float(np.linalg.eigvalsh(np.diag(second) - gram)[-1]))
    return max(top + SPECTRAL_SLACK * (float(second.max()) + 1), 0.0)


def draw_moments(matrix: ArrayLike, probabilities: ArrayLike) -> DrawMoments:
    """Variance and range of one draw, computed from the matrix and the probabilities.

    With d_i = sum_j a_ij^2/p_ij, E Z Z^T = diag(d) - A A^T; the columns give E Z^T Z alike. Both
    norms are exact up to sides of 1500; beyond that max d bounds them, which leaves A A^T out.

    Args:
        matrix: (m, n) finite entries.
        probabilities: (m, n) >= 0 that add up to 1, positive wherever the entry is not 0.

    Returns:
        The moments, relative to ||A||_2; zeros for a matrix of zeros.

    Raises:
        ValueError: shapes that differ, probabilities that do not add up to 1, or an entry that can
            never be drawn.

    Claim: MS-2. Source: [OWN].

    Example:
        >>> moments = draw_moments([[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.0], [0.0, 0.5]])
        >>> round(moments.variance, 9), round(moments.span, 9), moments.dimension
        (1.0, 3.0, 4)
    """
    entries, chance = _matrix(matrix), nm.at_least("probabilities", probabilities, 0.0)
    if chance.shape != entries.shape:
        raise ValueError(
            f"probabilities must have the matrix's shape {entries.shape}; found {chance.shape}"
        )
    dimension = sum(entries.shape)
    peak = float(np.abs(entries).max())
    if peak == 0:
        return DrawMoments(0.0, 0.0, 0.0, dimension)
    if abs(chance.sum() - 1) > 1e-9:
        raise ValueError(f"probabilities must add up to 1; found {float(chance.sum())!r}")
    never = (chance == 0) & (entries != 0)
    if never.any():
        index = tuple(int(i) for i in np.argwhere(never)[0])
        raise ValueError(f"probabilities must be positive where entries are; found 0 at {index}")
    scaled = entries / peak
    norm = _norm(scaled)
    unit = scaled / norm
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(entries != 0, np.abs(unit) / chance, 0.0)
    second = ratio * np.abs(unit)
    variance = max(
        _side(second.sum(axis=1), unit @ unit.T), _side(second.sum(axis=0), unit.T @ unit)
    )
    # Dividing by a norm that rounding made too large would make both too small.
    span = (float(ratio.max()) + 1) * (1 + SPECTRAL_SLACK)
    return DrawMoments(variance * (1 + 2 * SPECTRAL_SLACK), span, norm * peak, dimension)


def closed_moments(matrix: ArrayLike, kind: str, alpha: float = 0.5) -> DrawMoments:
    """Bounds on the moments of one draw in closed form, from sums over entries, rows and columns.

    With N nonzero entries, n_i of them in row i (columns alike): max_i d_i is at most, and the
    largest |a|/p is, N max|a| and N ||A_i||_2^2 (uniform), ||A||_1 and ||A||_1 ||A_i||_1 (l1),
    ||A||_F^2/min|a| and n_i ||A||_F^2 (l2); for the mixture the smaller of l1's over alpha and l2's
    over 1 - alpha. No p has a smaller largest |a|/p than l1, nor a smaller E||A^ - A||_F^2.

    Args:
        matrix: (m, n) finite entries.
        kind: one of ENTRY_KINDS.
        alpha: share of l1 in the mixture, in (0, 1).

    Returns:
        The moments, none smaller than those of `draw_moments`.

    Raises:
        ValueError: as `entry_probabilities`.

    Claim: MS-3. Source: Kundu and Drineas 2014, arXiv 1404.0320; the rest [OWN].

    Example:
        >>> round(closed_moments([[1.0, 0.0], [0.0, 1.0]], "l1").variance, 9)
        2.0
    """
    entry_probabilities([[1.0]], kind, alpha)
    entries = _matrix(matrix)
    peak, share = float(np.abs(entries).max()), _share(alpha)
    if peak == 0:
        return DrawMoments(0.0, 0.0, 0.0, sum(entries.shape))
    size = np.abs(entries) / peak
    norm = _norm(size * np.sign(entries))
    size /= norm
    present = size > 0
    most = {"uniform": present.sum() * float(size.max())}
    most |= {"l1": float(size.sum()), "l2": float((size**2).sum() / size[present].min())}
    sums = {"uniform": present.sum() * size**2, "l1": size.sum() * size}
    sums |= {"l2": (size**2).sum() * present}
    d = {name: max(float(part.sum(axis=k).max()) for k in (0, 1)) for name, part in sums.items()}
    for table in (most, d):
        table["mixture"] = min(table["l1"] / share, table["l2"] / (1 - share))
    guard = 1 + 4 * SPECTRAL_SLACK
    return DrawMoments(d[kind] * guard, (most[kind] + 1) * guard, norm * peak, sum(entries.shape))

"""SV-12: certificates of kernel machines, through a feature map or the kernel itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

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


Parts = Callable[[], Iterable[tuple[Float, Float, Float]]]


def kernel_dual_of_parts(
    parts: Parts, kernel: Callable[[Float, Float], Float], entries: int,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[float, int]:  # fmt: skip
    """`kernel_dual` of points that need not fit into memory, and how many have a multiplier.

    parts() gives the same pieces each time: points X (m, d), labels (m,) and multipliers (m,)
    within [0, c]. At most `entries` numbers of points and of kernel values are held at a time.
    """
    sums, count = np.zeros(2), 0
    for _, y, a in parts():
        sums += a[y > 0].sum(), a[y < 0].sum()
        count += int((a > 0).sum())
    if not (sums > 0).all():
        return 0.0, 0
    # The heavier class is scaled down until sum a y = 0.
    factors = sums.min() / sums
    square = size = 0.0
    done = 0
    for rows, signed in _held(parts, factors, entries):
        for others, theirs in _live(parts, factors):
            step = max(1, entries // len(theirs))
            for start in range(0, len(signed), step):
                block, part = (
                    kernel(rows[start : start + step], others),
                    signed[start : start + step],
                )
                square += float(part @ (block @ theirs))
                size += float(np.abs(part) @ (np.abs(block) @ np.abs(theirs)))
        done += len(signed)
        if progress is not None:
            progress(done, count, "rows of the kernel")
    return _lower(2 * float(sums.min()), square, size, count), count


def _live(parts: Parts, factors: Float) -> Iterator[tuple[Float, Float]]:
    """Points with a multiplier, and a y."""
    for X, y, a in parts():
        live = np.flatnonzero(a)
        if len(live):
            yield X[live], (a * np.where(y > 0, *factors) * y)[live]


def _held(parts: Parts, factors: Float, entries: int) -> Iterator[tuple[Float, Float]]:
    """The same, joined to as many as may be held."""
    rows: list[Float] = []
    signed: list[Float] = []
    for X, s in _live(parts, factors):
        if rows and (sum(map(len, signed)) + len(s)) * X.shape[1] > entries:
            yield np.concatenate(rows), np.concatenate(signed)
            rows, signed = [], []
        rows.append(X)
        signed.append(s)
    if rows:
        yield np.concatenate(rows), np.concatenate(signed)


def _lower(total: float, square: float, size: float, count: int) -> float:
    """The best multiple's dual value, rounded down; size is the square's with all signs equal."""
    scale = min(1.0, total / square) if square > 0 else 1.0
    off = 4 * (2 * count + PAIRWISE) * UNIT
    bound = scale * total * (1 - off) - scale * scale * (square + 2 * off * size) / 2
    return max(0.0, float(bound))

"""One sign of one neuron as the trials see it: shares at the live inputs, scores to draw by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sipp_core.runtime import Float

Scheme = Literal["draws", "inclusion", "coupled", "dropping"]

ROW_SUM_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Pair:
    """One sign of one neuron: shares at the live inputs, and what its weights are drawn by.

    Attributes:
        shares: (n, k) float64, rows add up to 1.
        scores: (k,) float64 >= 0.
        rows: (n,) index of each live row in what the caller gave.
    """

    shares: Float
    scores: Float
    rows: np.ndarray

    def probabilities(self, scheme: str, size: float) -> Float:
        """Draw probabilities, inclusion probabilities, or 0 and 1 for dropped and kept."""
        if scheme == "draws":
            return self.scores / self.scores.sum()
        if scheme in ("inclusion", "coupled"):
            return np.minimum(1.0, size * self.scores)
        kept = np.zeros(self.scores.size)
        kept[np.argsort(-self.scores, kind="stable")[: int(size)]] = 1.0
        return kept

    def mean_square(self, scheme: str, size: float) -> Float:
        """E (z^/z - 1)^2 at each row, exactly; for coupled inclusion as if it were independent."""
        p = self.probabilities(scheme, size)
        reached = self.shares[:, p > 0]
        kept = reached.sum(axis=1)
        bias = (1 - kept) ** 2
        if scheme == "dropping":
            return bias
        second = reached**2 @ (1 / p[p > 0])
        if scheme in ("inclusion", "coupled"):
            return bias + second - (reached**2).sum(axis=1)
        return bias + (second - kept**2) / size if size > 0 else np.ones(len(kept))


def make_pair(shares: ArrayLike, scores: ArrayLike) -> Pair:
    """Check shares and scores; leave out rows that never reach this sign.

    Shapes: shares (n, k), scores (k,).
    """
    table = np.atleast_2d(np.asarray(shares, np.float64))
    s = np.asarray(scores, np.float64)
    if table.ndim != 2 or s.shape != table.shape[1:]:
        raise ValueError(
            f"shares must be (n, k) and scores (k,); found {table.shape} and {s.shape}"
        )
    for name, value in (("shares", table), ("scores", s)):
        bad = ~(np.isfinite(value) & (value >= 0))
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"{name} must be finite and >= 0; found {value[index]} at {index}")
    sums = table.sum(axis=1)
    off = (sums > 0) & (np.abs(sums - 1) > ROW_SUM_TOLERANCE)
    if off.any():
        row = int(np.argmax(off))
        raise ValueError(f"shares row {row} must add up to 1 or be all 0; found sum {sums[row]}")
    live = np.flatnonzero(sums > 0)
    if live.size == 0 or not s.any():
        raise ValueError("shares and scores must not be all 0: this sign never fires")
    return Pair(table[live] / sums[live, None], s, live)

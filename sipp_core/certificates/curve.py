"""The whole curve eps(delta) of a certificate (CT-5)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

import sipp_theory
from sipp_core.runtime.numbers import Float

# Ranks kept near the largest error, and by how much the count above may grow from one to the next.
EVERY, GROWTH = 100, 1.01


@dataclass(frozen=True)
class Curve:
    """Every error with a bound on the share of fresh inputs that exceed it, all at once.

    Attributes:
        eps: errors, strictly rising.
        delta: for each, Pr(e > eps) is at most this; strictly falling.
        n: held-out inputs.

    Claim: CT-5. Source: Berk and Jones 1979.

    Example:
        >>> curve = make_curve(np.arange(1000.0), 0.99)
        >>> curve.eps_at(0.05), round(curve.delta_at(973.0), 4)
        (973.0, 0.0489)
    """

    eps: tuple[float, ...] = field(repr=False)
    delta: tuple[float, ...] = field(repr=False)
    n: int

    def eps_at(self, delta: float) -> float:
        """Least eps that at most a share delta of fresh inputs exceeds; +inf if there is none."""
        if not 0 < delta < 1:
            raise ValueError(f"delta must be strictly between 0 and 1; found {delta!r}")
        met = np.flatnonzero(np.asarray(self.delta) <= delta)
        return self.eps[met[0]] if met.size else math.inf

    def delta_at(self, eps: float) -> float:
        """Bound on the share of fresh inputs whose error exceeds eps; 1 where nothing is known."""
        if math.isnan(eps):
            raise ValueError(f"eps must be a number; found {eps!r}")
        place = int(np.searchsorted(np.asarray(self.eps), eps, side="right"))
        return self.delta[place - 1] if place else 1.0


def make_curve(errors: Float, confidence: float) -> Curve:
    """The curve that (n,) held-out errors give.

    Of many errors not all are kept: the counts above them grow by at most 1% from one to the next.
    """
    n = len(errors)
    band = sipp_theory.simultaneous_band(n, confidence)
    above = [*range(min(EVERY, n))]
    while above[-1] < n - 1:
        above.append(min(n - 1, max(above[-1] + 1, int(above[-1] * GROWTH))))
    ordered = np.sort(errors)
    points: dict[float, float] = {}
    for rank in n - np.array(above[::-1]):
        eps, share = float(ordered[rank - 1]), band.share(int(rank))
        if math.isfinite(eps) and share < 1:
            points[eps] = share  # of equal errors the last has the least share
    return Curve(tuple(points), tuple(points.values()), n)

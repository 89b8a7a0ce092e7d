"""NC-6: the largest value of a weighted sum of ReLUs over a box or a ball, from above.

e(x) = sum_j a_j relu(z_j) + a_0, z_j = p_j.x + b_j, with a_j = u_j - w_j for a layer that lost
neurons. With relu = (z + |z|)/2 every |z_j| is replaced by a line or a parabola on the right side
of it, and the largest value of the quadratic that results is bounded by one eigenvalue. The bound
holds for whatever parameters, so the search for good ones need not be trusted: `Relaxation.bound`
evaluates them with outward rounding and a Cholesky factorisation that proves the eigenvalue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.neurons.regions import preactivation_range, rounding
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import UNIT, Float

TIGHT = 1 - 8 * UNIT
LOOSE = 1 + 8 * UNIT


@dataclass(frozen=True)
class WorstCase:
    """Bounds on the largest value of a sum of ReLUs over a region.

    Attributes:
        interval: every neuron at its own worst.
        linear: with the triangle relaxation of each ReLU, the LP bound.
        quadratic: with parabolas; +inf where it was not computed.

    Claim: NC-6. Source: [OWN].
    """

    interval: float
    linear: float
    quadratic: float

    @property
    def bound(self) -> float:
        """The least of the three."""
        return min(self.interval, self.linear, self.quadratic)


@dataclass(frozen=True)
class Parameters:
    """What the bound may choose; it holds for every choice.

    Attributes:
        kappa: (n,) in [0, 1], share of the parabola above |z| where a > 0, of the one below where
            a < 0; 0 everywhere is the LP bound.
        touch: (n,) > 0, where the parabola above touches |z|.
        tau: (n,) in [-1, 1], slope of the line below |z|.
        scale: (d + 1,) > 0 on a box, (2,) on a ball: D^(-1/2).

    Claim: NC-6. Source: [OWN].
    """

    kappa: Float
    touch: Float
    tau: Float
    scale: Float


@dataclass(frozen=True)
class _Quadratic:
    """constant + sum_j slope_j z_j + curve_j z_j^2 above e on the region, with what it rounds."""

    constant: float
    slope: Float
    curve: Float
    slack: float


class Relaxation:
    """A sum of ReLUs over a region, ready to be bounded with any parameters.

    Claim: NC-6. Source: [OWN].
    """

    def __init__(
        self, a: ArrayLike, incoming: ArrayLike, bias: ArrayLike, constant: float,
        centre: ArrayLike, radius: ArrayLike,
    ) -> None:  # fmt: skip
        weights = nm.finite("a", a)
        p = np.atleast_2d(nm.finite("incoming", incoming))
        if weights.shape != p.shape[:1]:
            raise ValueError(f"a has shape {weights.shape}, incoming {p.shape}: one a a neuron")
        b = np.broadcast_to(nm.finite("bias", bias), weights.shape)
        matters = weights != 0
        self.a, p, b = weights[matters], p[matters], b[matters]
        self.constant = float(nm.finite("constant", constant))
        o, r = nm.finite("centre", centre), nm.at_least("radius", radius, 0.0)
        self.box = bool(r.ndim)
        self.low, self.high = preactivation_range(p, b, o, r)
        self.rows, self.middle = p * r, p @ o + b
        self.width = p.shape[1]
        # |z| at most, and what the middle and the rows themselves have rounded.
        self.peak = np.maximum(-self.low, self.high)
        self.blur = rounding(self.width) * (np.abs(p) @ np.abs(o) + np.abs(b) + self.peak)
        self.on, self.off = self.low >= 0, self.high <= 0
        self.open = ~self.on & ~self.off
        self.up = self.open & (self.a > 0)
        self.down = self.open & (self.a < 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.chord = np.where(
                self.open, (self.high + self.low) / (self.high - self.low), 0.0
            ).clip(-1, 1)
        at_ends = np.maximum(-self.low - self.chord * self.low, self.high - self.chord * self.high)
        self.lift = np.where(self.open, nm.up(at_ends) * LOOSE, 0.0)

    def start(self) -> Parameters:
        """The LP's own parameters before any search."""
        n = len(self.a)
        scale = np.ones(self.width + 1 if self.box else 2)
        return Parameters(np.zeros(n), np.maximum(self.peak / 2, 1e-9), self.chord.copy(), scale)

    def interval(self) -> float:
        """Every neuron at its own worst."""
        gain = np.maximum(self.a * np.maximum(self.low, 0), self.a * np.maximum(self.high, 0))
        size = np.abs(gain).sum() + abs(self.constant)
        return float(nm.up(gain.sum() + self.constant + rounding(len(gain) + 2) * size))

    def quadratic(self, given: Parameters) -> _Quadratic:
        """Replace every |z| by what lies on the right side of it."""
        half, kappa = self.a / 2, given.kappa.clip(0, 1)
        touch = np.maximum(given.touch, 1e-150)
        # a > 0: part of a/2 by a parabola, the rest by the chord; both together at least a/2.
        part = np.where(self.up, half * kappa, 0.0)
        rest = np.where(self.up, np.maximum(half - part, 0.0) * LOOSE, 0.0)
        above = np.where(self.up, part / (2 * touch), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            # 4 (curve)(constant) >= part^2, whatever the curve was rounded to.
            raised = np.where(above > 0, part * part / (4 * above) * LOOSE, 0.0)
            raised = np.where((part > 0) & (above <= 0), np.inf, raised)
            below = np.where(self.down, half * kappa / self.peak * TIGHT, 0.0)
        line = np.where(self.down, half * (1 - kappa) * given.tau.clip(-1, 1) * TIGHT, 0.0)
        slope = np.where(self.on, self.a, np.where(self.off, 0.0, half)) + rest * self.chord + line
        curve = above + below
        terms = np.concatenate([[self.constant], raised, rest * self.lift])
        constant = float(terms.sum())
        slack = rounding(len(terms) + 16) * (
            np.abs(terms).sum() + (np.abs(self.a) * self.peak * 3).sum()
            + (np.abs(curve) * self.peak**2).sum()
        )  # fmt: skip
        slack += ((np.abs(slope) + 2 * np.abs(curve) * self.peak) * self.blur).sum() * 1.01
        return _Quadratic(constant, slope, curve, float(nm.up(slack)))

    def linear(self, given: Parameters) -> float:
        """Bound with lines alone: kappa is taken as 0."""
        q = self.quadratic(replace(given, kappa=np.zeros(len(self.a))))
        g = q.slope @ self.rows
        reach = float(np.abs(g).sum() if self.box else np.sqrt((g * g).sum()))
        size = np.abs(q.slope) @ (np.abs(self.rows).sum(axis=1) + np.abs(self.middle))
        total = q.constant + float(q.slope @ self.middle) + reach + q.slack
        guard = rounding(len(self.a) + self.width + 4) * (size + abs(q.constant) + reach)
        return float(nm.up(total + guard))

    def bound(self, given: Parameters) -> float:
        """Bound with these parameters; +inf where floating point cannot prove it."""
        q = self.quadratic(given)
        scale = np.maximum(given.scale, 1e-100)
        inner = scale[1:] if self.box else np.full(self.width, scale[1])
        f = self.rows * inner
        eta = q.slope + 2 * q.curve * self.middle
        n, d = f.shape
        matrix = np.zeros((d + 1, d + 1))
        matrix[1:, 1:] = f.T @ (q.curve[:, None] * f)
        matrix[0, 1:] = matrix[1:, 0] = (eta @ f) * (scale[0] / 2)
        norms = np.sqrt((f * f).sum(axis=1))
        error = rounding(n + 16) * (
            (np.abs(q.curve) * norms**2).sum() + scale[0] * (np.abs(eta) * norms).sum()
            + scale[0] * (np.abs(q.slope) * norms).sum()
        )  # fmt: skip
        peak = proven_peak(matrix, float(error))
        mass = 1 / scale**2
        total = float(mass.sum() * (1 + rounding(d + 4))) * max(peak, 0.0)
        terms = np.concatenate([
            [q.constant], q.slope * self.middle, q.curve * self.middle**2,
        ])  # fmt: skip
        guard = rounding(len(terms) + 16) * (np.abs(terms).sum() + total)
        value = float(nm.up(terms.sum() + total + guard + q.slack))
        return value if np.isfinite(value) else np.inf


def proven_peak(matrix: ArrayLike, error: float = 0.0) -> float:
    """A number that no eigenvalue of a symmetric matrix exceeds, proved in floating point.

    lambda I - M is factorised by Cholesky after its diagonal has been lowered by what the
    factorisation may round, (d + 2) u trace/(1 - (d + 2) u) twice over, and by the given error of
    the matrix; that it runs to its end is the proof.

    Args:
        matrix: (d, d) symmetric.
        error: bound >= 0 on the spectral norm of what the entries have rounded.

    Returns:
        lambda >= the largest eigenvalue of every symmetric matrix within the error; +inf where no
        factorisation succeeds.

    Raises:
        ValueError: a matrix that is not square or not finite.

    Claim: NC-6. Source: Rump 2006, Verification of positive definiteness, BIT 46.

    Example:
        >>> 3.0 <= proven_peak([[3.0, 0.0], [0.0, 1.0]]) < 3.0001
        True
    """
    from scipy import linalg  # here: it is long to import

    m = nm.finite("matrix", matrix)
    spare = float(nm.at_least("error", error, 0.0))
    if m.ndim != 2 or m.shape[0] != m.shape[1]:
        raise ValueError(f"matrix must be square; found shape {m.shape}")
    d = len(m)
    guess = float(linalg.eigh(m, eigvals_only=True, subset_by_index=[d - 1, d - 1])[0])
    size = float(np.abs(m).sum(axis=1).max())
    lift = 8 * d * UNIT * size + 1e-280
    for _ in range(60):
        top = guess + lift + spare
        trace = float(np.abs(top - np.diag(m)).sum())
        margin = 2 * rounding(d) * trace + spare + 4 * UNIT * (size + abs(top))
        shifted = -m
        shifted[np.diag_indices(d)] = (top - np.diag(m)) - margin
        try:
            np.linalg.cholesky((shifted + shifted.T) / 2)
        except np.linalg.LinAlgError:
            lift *= 2
            continue
        return float(nm.up(top))
    return np.inf

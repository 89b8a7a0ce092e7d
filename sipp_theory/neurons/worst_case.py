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


def _searched_line(relaxation: Relaxation, steps: int) -> Parameters:
    """The slopes below |z| that make the LP bound small, by subgradients with Adam's step."""
    here = best = relaxation.start()
    value = relaxation.linear(here)
    down = relaxation.down
    if not down.any():
        return here
    half = relaxation.a[down] / 2
    rows, middle = relaxation.rows[down], relaxation.middle[down]
    adam = _Adam(here.tau[down].size)
    for step in range(steps):
        q = relaxation.quadratic(replace(here, kappa=np.zeros(len(here.kappa))))
        g = q.slope @ relaxation.rows
        lean = np.sign(g) if relaxation.box else g / max(float(np.linalg.norm(g)), 1e-300)
        tau = here.tau.copy()
        slope = half * (middle + rows @ lean)
        tau[down] = (tau[down] - adam.move(slope, 0.1 * (1 - step / steps))).clip(-1, 1)
        here = replace(here, tau=tau)
        now = relaxation.linear(here)
        if now < value:
            best, value = here, now
    return best


class _Adam:
    """Adam's step for one vector."""

    def __init__(self, size: int) -> None:
        self.first, self.second, self.time = np.zeros(size), np.zeros(size), 0

    def move(self, gradient: Float, rate: float) -> Float:
        self.time += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.99 * self.second + 0.01 * gradient**2
        mean = self.first / (1 - 0.9**self.time)
        return rate * mean / (np.sqrt(self.second / (1 - 0.99**self.time)) + 1e-12)


def _searched_parabolas(relaxation: Relaxation, line: Parameters, steps: int) -> Parameters:
    """Parameters that make the quadratic bound small; each step costs one leading eigenvector."""
    r, n = relaxation, len(relaxation.a)
    open_ = r.open.astype(np.float64)
    sizes = np.abs(line.tau @ r.rows) if r.box else None
    logit, log_touch = np.full(n, 0.0), np.log(np.maximum(line.touch, 1e-9))
    wide = np.arctanh(line.tau.clip(-0.999, 0.999))
    log_scale = np.zeros_like(line.scale)
    if sizes is not None:
        log_scale[1:] = -0.25 * np.log(np.abs(r.rows).sum(axis=0) ** 2 + 1e-12)
        log_scale[1:] -= log_scale[1:].mean()
        log_scale[0] = -0.5 * np.log(np.exp(-2 * log_scale[1:]).sum())
    adam = _Adam(3 * n + log_scale.size)
    best, value, vector = line, np.inf, None
    for step in range(steps):
        kappa, tau = 1 / (1 + np.exp(-logit)), np.tanh(wide)
        here = Parameters(kappa * open_, np.exp(log_touch), tau, np.exp(log_scale))
        q = r.quadratic(here)
        eta = q.slope + 2 * q.curve * r.middle
        peak, vector = _leading(r, q.curve, eta, here.scale, vector)
        mass = np.exp(-2 * log_scale)
        total = q.constant + q.slope @ r.middle + q.curve @ r.middle**2
        total += max(peak, 0.0) * mass.sum()
        if total < value:
            best, value = here, total
        # d bound/d slope_j and d bound/d curve_j, with the eigenvector held.
        w = vector * (
            here.scale if r.box else np.r_[here.scale[0], np.full(r.width, here.scale[1])]
        )
        along, sum_mass = r.rows @ w[1:], mass.sum() * (peak > 0)
        by_slope = r.middle + sum_mass * w[0] * along
        by_curve = r.middle**2 + sum_mass * (along**2 + 2 * r.middle * w[0] * along)
        half = r.a / 2
        touch = here.touch
        with np.errstate(divide="ignore", invalid="ignore"):
            share_up = half * (by_curve / (2 * touch) + touch / 2 - by_slope * r.chord - r.lift)
            share_down = half * (by_curve / r.peak - by_slope * tau)
            by_touch = half * kappa * (0.5 - by_curve / (2 * touch**2)) * touch
        by_kappa = np.where(r.up, share_up, np.where(r.down, share_down, 0.0))
        by_touch = np.where(r.up, by_touch, 0.0)
        by_tau = np.where(r.down, half * (1 - kappa) * by_slope, 0.0)
        squares = vector**2 if r.box else np.r_[vector[0] ** 2, (vector[1:] ** 2).sum()]
        by_scale = 2 * max(peak, 0.0) * (mass.sum() * squares - mass)
        gradient = np.concatenate([
            by_kappa * kappa * (1 - kappa), by_touch, by_tau * (1 - tau**2), by_scale,
        ])  # fmt: skip
        rate = 0.15 * (1 - step / steps) + 0.002
        move = adam.move(gradient, rate)
        logit = (logit - move[:n]).clip(-12, 12)
        log_touch = log_touch - move[n : 2 * n]
        wide = (wide - move[2 * n : 3 * n]).clip(-6, 6)
        log_scale = log_scale - move[3 * n :]
    return best


def _leading(
    r: Relaxation, curve: Float, eta: Float, scale: Float, guess: Float | None
) -> tuple[float, Float]:
    """Largest eigenvalue of D^(-1/2) M D^(-1/2) and its vector, by Lanczos or whole."""
    inner = scale[1:] if r.box else np.full(r.width, scale[1])
    first = (eta @ r.rows) * inner * (scale[0] / 2)

    def times(v: Float) -> Float:
        v = v.ravel()
        bent = inner * (r.rows.T @ (curve * (r.rows @ (inner * v[1:]))))
        return np.r_[first @ v[1:], first * v[0] + bent]

    size = r.width + 1
    if size < 40:
        f = r.rows * inner
        matrix = np.zeros((size, size))
        matrix[1:, 1:] = f.T @ (curve[:, None] * f)
        matrix[0, 1:] = matrix[1:, 0] = first
        values, vectors = np.linalg.eigh(matrix)
        return float(values[-1]), vectors[:, -1]
    from scipy.sparse.linalg import LinearOperator, eigsh

    operator = LinearOperator((size, size), matvec=times, dtype=np.float64)  # type: ignore[call-arg]
    start = np.full(size, size**-0.5) if guess is None else guess
    values, vectors = eigsh(
        operator, k=1, which="LA", v0=start, ncv=min(size - 1, 20),
        tol=1e-3,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    return float(values[0]), vectors[:, 0]


def worst_relu_sum(
    a: ArrayLike,
    incoming: ArrayLike,
    bias: ArrayLike,
    constant: float,
    centre: ArrayLike,
    radius: ArrayLike,
    steps: int = 200,
) -> WorstCase:
    """Bound the largest value of a weighted sum of ReLUs over a box or a ball.

    sup_x sum_j a_j relu(p_j.x + b_j) + a_0 from above, by intervals, by lines (the LP bound of the
    triangle relaxation) and by parabolas and one eigenvalue. Hand in -a and -a_0 for the least
    value. The search starts at the LP's point and the least bound counts, so that the quadratic one
    never makes it worse.

    Args:
        a: (n,) weights of any sign; u_j - w_j where neurons were dropped, -w_j for the dropped.
        incoming: (n, d) weights p_j.
        bias: (n,) biases b_j, or 0.
        constant: a_0.
        centre: (d,) centre of the region.
        radius: (d,) half widths of a box, or one number, the radius of a ball.
        steps: of the search for good parameters; 0 for intervals and the LP alone.

    Returns:
        The bounds, each valid by itself and rounded outward.

    Raises:
        ValueError: shapes that do not fit, a negative radius, or numbers that are not finite.

    Claim: NC-6. Source: [OWN].

    Example:
        >>> worst = worst_relu_sum([1.0, -1.0], [[1.0], [1.0]], 0.0, 0.0, [0.0], [1.0])
        >>> 0.0 <= worst.bound < 0.6 and worst.interval == 1.0
        False
        >>> 0.0 <= worst.bound <= worst.linear <= worst.interval
        True
    """
    relaxation = Relaxation(a, incoming, bias, constant, centre, radius)
    interval = relaxation.interval()
    line = relaxation.start()
    if not relaxation.open.any():
        return WorstCase(interval, relaxation.linear(line), np.inf)
    line = _searched_line(relaxation, min(100, 2 * int(steps)))
    if steps <= 0:
        return WorstCase(interval, relaxation.linear(line), np.inf)
    return WorstCase(
        interval,
        relaxation.linear(line),
        relaxation.bound(_searched_parabolas(relaxation, line, int(steps))),
    )

"""Where NC-6's bound is small: a search that need not be trusted, as the bound always holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sipp_theory.neurons.relaxation import Parameters, Relaxation
from sipp_theory.numeric.checks import Float


def searched_line(relaxation: Relaxation, steps: int) -> Parameters:
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


def searched_parabolas(relaxation: Relaxation, line: Parameters, steps: int) -> Parameters:
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

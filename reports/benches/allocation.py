"""Allocation: one multiplier against cvxpy, and draws for distinct weights against a loop."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

import sipp_theory
from reports.benches.findings import Check, Findings, Measured
from reports.benches.method import race, versus
from reports.benches.subjects import Setting

FAMILY = "allocation"
FASTER, EQUAL, NAMED_PAIRS = 50.0, 1e-6, 10_000
OURS, PEER = "sipp_theory", "cvxpy (Clarabel)"
VECTOR, LOOP = "all neurons at once", "a root search a neuron"
Float = NDArray[np.float64]


def run(setting: Setting) -> Findings:
    """Race both problems of allocation, and the number of draws."""
    rng = np.random.default_rng(setting.seed)
    size = setting.size(20, 10_000, 10_000)
    b, v = sipp_theory.bernstein_coefficients(
        1 + rng.gamma(1, 8, size), rng.uniform(0.001, 0.3, size)
    )
    cap, weight = rng.uniform(50, 400, size), rng.gamma(2, 0.5, size) + 0.1
    budget = 0.2 * float(cap.sum())
    total = 2 * float(weight @ _error(cap, b, v))
    measured: list[Measured] = []
    checks: list[Check] = []
    for name, limit in (("AL-1", budget), ("AL-2", total)):
        rows, check = _against_cvxpy(setting, name, (b, v, cap, weight), limit)
        measured += rows
        checks.append(check)
    rows, check = _draws(setting, rng)
    return Findings((*measured, *rows), (), (*checks, check))


def _error(m: Float, b: Float, v: Float) -> Float:
    return (b + np.sqrt(b * b + 2 * v * m)) / m


def _ours(name: str, rows: tuple[Float, ...], limit: float) -> float:
    b, v, cap, weight = rows
    if name == "AL-1":
        sizes = sipp_theory.allocate(b, v, cap, limit, weight).sizes
        return float(weight @ _error(sizes, b, v))
    return float(sipp_theory.allocate_for_total(b, v, weight, limit, cap).sizes.sum())


def _peer(name: str, rows: tuple[Float, ...], limit: float) -> float:
    """In y = 1/error the draws are a convex quadratic and the error 1/y is convex."""
    import cvxpy as cp

    b, v, cap, weight = rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y: Any = cp.Variable(b.size, pos=True)
        draws = cp.sum(cp.multiply(2 * v, cp.square(y)) + cp.multiply(2 * b, y))
        error = weight @ cp.inv_pos(y)
        most: Any = y <= 1 / _error(cap, b, v)
        least, bounded = (error, draws) if name == "AL-1" else (draws, error)
        met: Any = bounded <= limit
        problem = cp.Problem(cp.Minimize(least), [most, met])
        problem.solve(solver=cp.CLARABEL)
    return float(np.asarray(problem.value))


def _against_cvxpy(
    setting: Setting, name: str, rows: tuple[Float, ...], limit: float
) -> tuple[list[Measured], Check]:
    case = f"{name}, {rows[0].size:,} (neuron, sign) pairs"
    values: dict[str, float] = {}
    times = race(
        {
            OURS: lambda: values.update({OURS: _ours(name, rows, limit)}),
            PEER: lambda: values.update({PEER: _peer(name, rows, limit)}),
        },
        setting.size(1, 2, 5),
        warm_ups=0,
    )
    gap = abs(values[OURS] / values[PEER] - 1)
    return [
        *versus(FAMILY, case, times, OURS,
                target=FASTER if rows[0].size == NAMED_PAIRS else None),
        Measured(FAMILY, case, "difference of the objectives", gap, gap, gap, "relative",
                 target=EQUAL, sense="at most"),
    ], Check(
        FAMILY, f"{case}: the objective is that of {PEER}", gap <= EQUAL,
        f"{values[OURS]!r} and {values[PEER]!r}, {gap:.1e} apart",
    )  # fmt: skip


def _one_by_one(shares: Float, goals: Float) -> Float:
    """A root search for each neuron, as a loop would do it."""
    sizes = []
    for q, goal in zip(shares, goals, strict=True):
        log_missed = np.log1p(-q)

        def excess(m: float, log_missed: Float = log_missed, goal: float = goal) -> float:
            return float(-np.expm1(m * log_missed).sum() - goal)

        high = 2.0
        while excess(high) < 0:
            high *= 2
        root = float(np.asarray(optimize.brentq(excess, 0.0, high)))
        near = (max(1.0, np.floor(root)), np.ceil(root))
        sizes.append(min(near, key=lambda m, excess=excess: abs(excess(m))))
    return np.array(sizes)


def _draws(setting: Setting, rng: np.random.Generator) -> tuple[list[Measured], Check]:
    neurons, weights = setting.size((4, 16), (300, 784), (300, 784))
    shares = rng.dirichlet(np.full(weights, 0.3), neurons)
    goals = np.full(neurons, 0.2 * weights)
    case = f"draws for {0.2:.0%} distinct weights, {neurons} neurons of {weights}"
    times = race(
        {
            VECTOR: lambda: sipp_theory.draws_for_distinct(shares, goals),
            LOOP: lambda: _one_by_one(shares, goals),
        },
        setting.size(1, 3, 7),
    )
    ours, loop = (
        np.abs(sipp_theory.expected_distinct(shares, m) - goals)
        for m in (sipp_theory.draws_for_distinct(shares, goals), _one_by_one(shares, goals))
    )
    worse = float((ours - loop).max())
    return versus(FAMILY, case, times, VECTOR), Check(
        FAMILY, f"{case}: no farther from the target than the loop", worse <= 1e-6,
        f"farther by {max(0.0, worse):.1e} weights at most",
    )  # fmt: skip

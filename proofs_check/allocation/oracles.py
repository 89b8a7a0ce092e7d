"""AL-1 and AL-2 against cvxpy, 50 digits and brute force over whole numbers."""

from __future__ import annotations

import itertools
import warnings
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result, Unavailable
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.runtime import generator
from sipp_theory.allocation import pair

STREAM = 61
SOLVED = 1e-6
Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _instances(setting: Setting, plain: int) -> list[Rows]:
    """(b, V, capacity, importance): pairs as sensitivity sums give them, then adversarial ones."""
    instances: list[Rows] = []
    for number in range(plain * (4 if setting.full else 1)):
        rng = generator(setting.seed, STREAM, number)
        b, v = sipp_theory.bernstein_coefficients(
            1 + rng.gamma(1, 8, 8), rng.uniform(0.001, 0.3, 8)
        )
        instances.append((b, v, rng.uniform(5, 400, 8), rng.gamma(0.5, 1, 8) + 1e-3))
    one = np.ones(5)
    near = 1 + np.arange(5) * 2.0**-40
    return [
        *instances,
        (3 * one, 0 * one, 50 * one, np.array([1e-3, 1, 1, 1, 1e3])),  # one pair dominates
        (0 * one, 7 * one, np.array([1.0, 1, 200, 200, 200]), one),  # caps bind, no linear term
        (2 * near, 9 * near, 40 * one, near),  # near-ties
        (np.array([0.01, 100.0]), np.array([300.0, 0.0]), np.array([500.0, 500]), np.ones(2)),
    ]


def _error(m: Any, b: Any, v: Any) -> Any:
    return (b + (b * b + 2 * v * m) ** 0.5) / m


def _solved(rows: Rows, budget: float = 0.0, total: float = 0.0) -> float:
    """Optimum by cvxpy: in y = 1/eps the size is a convex quadratic and the error 1/y is convex."""
    b, v, cap, weight = rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import cvxpy as cp
        except ImportError as error:
            raise Unavailable(f"cvxpy: {error}") from error
        y: Any = cp.Variable(b.size, pos=True)
        size = cp.sum(cp.multiply(2 * v, cp.square(y)) + cp.multiply(2 * b, y))
        value = weight @ cp.inv_pos(y)
        caps: Any = y <= 1 / _error(cap, b, v)
        limit: Any = size <= budget if budget else value <= total
        problem = cp.Problem(cp.Minimize(value if budget else size), [caps, limit])
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    if problem.status not in ("optimal", "optimal_inaccurate"):
        raise Unavailable(f"cvxpy found no optimum: {problem.status}")
    return float(np.asarray(problem.value))


def _agree(computed: float, expected: float, what: str, rows: Rows, limit: float) -> float:
    gap = abs(computed / expected - 1)
    if not gap <= SOLVED:
        given = tuple(row.tolist() for row in rows)
        raise Refuted(f"{what} {computed!r}, cvxpy {expected!r}, at limit {limit!r}, rows {given}")
    return gap


@oracle("AL-1")
def budget_by_cvxpy(setting: Setting) -> Result:
    """The weighted sum of errors that one multiplier reaches is cvxpy's optimum."""
    gaps = []
    for rows in _instances(setting, 3):
        for share in (0.05, 0.6):
            budget = share * float(rows[2].sum())
            got = sipp_theory.allocate(*rows[:3], budget, rows[3])
            sizes = got.sizes
            if sizes.sum() > budget * (1 + 1e-12) or (sizes > rows[2]).any():
                raise Refuted(f"sizes {sizes.tolist()} break the budget {budget!r} or the caps")
            value = float(rows[3] @ _error(sizes, *rows[:2]))
            if not value <= got.objective <= value * (1 + 1e-12):
                raise Refuted(
                    f"objective {got.objective!r} is reported for sizes that reach {value!r}"
                )
            gaps.append(_agree(value, _solved(rows, budget), "objective", rows, budget))
    return Result(f"largest relative gap {max(gaps):.1e}", cases=len(gaps))


@oracle("AL-2")
def total_by_cvxpy(setting: Setting) -> Result:
    """The fewest draws for a weighted sum of errors are cvxpy's optimum, and meet the sum."""
    gaps = []
    for rows in _instances(setting, 2):
        b, v, cap, weight = rows
        least = float(weight @ _error(cap, b, v))
        for factor in (1.1, 3.0):
            got = sipp_theory.allocate_for_total(b, v, weight, factor * least, cap)
            if not float(weight @ _error(got.sizes, b, v)) <= factor * least:
                raise Refuted(f"total {factor * least!r} is not met by {got.sizes.tolist()}")
            expected = _solved(rows, total=factor * least)
            gaps.append(_agree(float(got.sizes.sum()), expected, "draws", rows, factor * least))
    return Result(f"largest relative gap {max(gaps):.1e}", cases=len(gaps))


@oracle("AL-1")
def conditions_at_50_digits(setting: Setting) -> Result:
    """At the sizes found, each pair's derivative is the multiplier, or larger at its cap."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for b, v, cap, weight in _instances(setting, 4):
            got = sipp_theory.allocate(b, v, cap, 0.3 * float(cap.sum()), weight)
            for i, m in enumerate(map(mpmath.mpf, got.sizes)):
                one, two = mpmath.mpf(b[i]), mpmath.mpf(v[i])
                root = mpmath.sqrt(one**2 + 2 * two * m)
                gain = mpmath.mpf(weight[i]) * ((one + root) / m**2 - two / (m * root))
                at = {"pair": i, "b": b.tolist(), "v": v.tolist(), "cap": cap.tolist()}
                if got.sizes[i] < cap[i]:
                    close(float(got.multiplier), gain, at, relative=1e-10)
                elif not gain >= got.multiplier * (1 - mpmath.mpf("1e-10")):
                    raise Refuted(f"a pair at its cap gains {gain} < {got.multiplier} at {at}")
                cases += 1
    return Result(cases=cases)


def _points(setting: Setting) -> list[tuple[float, float, float]]:
    """(b, V, positive number) over wide ranges, the edges b = 0 and V = 0 among them."""
    rng = generator(setting.seed, STREAM, 1000)
    wide = 10.0 ** rng.uniform(-8, 8, (200 if setting.full else 60, 3))
    edges = [(0.0, 3.0, 5.0), (3.0, 0.0, 5.0), (1e-30, 1.0, 1.0), (1.0, 1e-30, 1.0)]
    return [*edges, *map(tuple, wide.tolist())]


@oracle("AL-1", "AL-2")
def error_at_50_digits(setting: Setting) -> Result:
    """A pair's promised error, never below the exact one, and its size, the inverse."""
    points = _points(setting)
    with mpmath.workdps(DIGITS):
        for b, v, m in points:
            at = {"b": b, "v": v, "m": m}
            one, two, size = map(mpmath.mpf, (b, v, m))
            truth = one / size + mpmath.sqrt((one / size) ** 2 + 2 * two / size)
            given = map(np.asarray, (m, b, v))
            close(float(pair.pair_error(*given)), truth, at, safe="above")
            inverse = 2 * two * size**2 + 2 * one * size
            close(float(pair.pair_size(*map(np.asarray, (m, b, v)))), inverse, at)
    return Result(cases=2 * len(points))


@oracle("AL-1")
def cubic_at_50_digits(setting: Setting) -> Result:
    """The root of 4 V y^3 + 2 b y^2 = r against bisection at 50 digits."""
    points = _points(setting)
    with mpmath.workdps(DIGITS):
        for b, v, r in points:
            computed = float(pair.solve_cubic(*map(np.asarray, (r, b, v))))
            one, two, right = map(mpmath.mpf, (b, v, r))
            low, high = mpmath.mpf("1e-40"), mpmath.mpf("1e40")
            for _ in range(180):
                middle = mpmath.sqrt(low * high)
                short = 4 * two * middle**3 + 2 * one * middle**2 < right
                low, high = (middle, high) if short else (low, middle)
            close(computed, low, {"b": b, "v": v, "r": r})
    return Result(cases=len(points))


@oracle("AL-1")
def lone_pair(setting: Setting) -> Result:
    """One pair gets the whole budget, and its error is Bernstein's at 50 digits, rounded up."""
    points = _points(setting)
    with mpmath.workdps(DIGITS):
        for b, v, m in points:
            got = sipp_theory.allocate([b], [v], [2 * m], m)
            at = {"b": b, "v": v, "budget": m}
            close(float(got.sizes[0]), mpmath.mpf(m), at)
            one, two, size = map(mpmath.mpf, (b, v, got.sizes[0]))
            close(float(got.errors[0]), (one + mpmath.sqrt(one**2 + 2 * two * size)) / size, at,
                  safe="above")  # fmt: skip
    return Result(cases=len(points))


@oracle("AL-2")
def sizes_in_fractions(setting: Setting) -> Result:
    """Sizes for given errors are the least whole numbers, in exact arithmetic up to a tie."""
    rng = generator(setting.seed, STREAM, 2000)
    wide = 10.0 ** rng.uniform(-2, 3, (200, 2))
    points = [(b, v, float(e)) for (b, v), e in zip(wide, rng.uniform(0.01, 2, 200), strict=True)]
    ties = [(1.0, 0.0, 0.5), (1.0, 3.0, 1.0), (2.0, 2.0, 0.25), (0.0, 8.0, 0.5)]
    later = 0
    for b, v, e in [*ties, *points]:
        eps = Fraction(e)
        exact = (2 * Fraction(b * 1.0) * eps + 2 * Fraction(v * 1.0)) / eps**2
        least = max(-(-exact.numerator // exact.denominator), 1)
        computed = int(sipp_theory.allocate_for_errors(b, v, e))
        tied = abs(exact - least) <= Fraction(1, 10**12) * exact
        if computed != least and not (tied and computed == least + 1):
            raise Refuted(
                f"allocate_for_errors({b!r}, {v!r}, {e!r}) is {computed}, least is {least}"
            )
        later += computed - least
    return Result(f"{later} exact ties rounded up by one draw", cases=len(ties) + len(points))


@oracle("AL-1")
def whole_numbers_by_force(setting: Setting) -> Result:
    """No whole allocation beats the real optimum; its rounding against the best of all of them."""
    worst, cases = 1.0, 0
    for number in range(200 if setting.full else 40):
        rng = generator(setting.seed, STREAM, 3000, number)
        b, v = sipp_theory.bernstein_coefficients(1 + rng.gamma(1, 3, 4), 0.1)
        cap, weight = rng.integers(2, 9, 4).astype(float), rng.gamma(1, 1, 4) + 0.01
        budget = float(rng.integers(5, int(cap.sum())))
        grid = np.array(list(itertools.product(*(range(1, int(c) + 1) for c in cap))), float)
        grid = grid[grid.sum(axis=1) <= budget]
        best = float((_error(grid, b, v) @ weight).min())
        real = sipp_theory.allocate(b, v, cap, budget, weight)
        whole = sipp_theory.round_allocation(real.sizes, cap, budget)
        rounded = float(weight @ _error(whole, b, v))
        instance = (b.tolist(), v.tolist(), cap.tolist(), budget, weight.tolist())
        if float(weight @ _error(real.sizes, b, v)) > best * (1 + 1e-12):
            raise Refuted(
                f"a whole allocation reaches {best!r}, below the real optimum: {instance}"
            )
        if whole.sum() != min(budget, cap.sum()) or not rounded >= best * (1 - 1e-12):
            raise Refuted(f"rounding gives {whole.tolist()} at {instance}")
        worst, cases = max(worst, rounded / best), cases + len(grid)
    text = f"rounding costs at most {worst - 1:.2%} over the best whole allocation"
    return Result(text, cases=cases, promised=worst, needed=1.0)

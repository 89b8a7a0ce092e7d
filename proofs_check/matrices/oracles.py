"""MS-1 to MS-5 against 50 digits, enumerated laws, and a convex solver."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import mpmath
import numpy as np

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result, Unavailable
from proofs_check.ledger.registry import Setting, oracle
from proofs_check.matrices.coverage import identity_failure
from sipp_core.runtime import generator

STREAM = 77
NEAR = 1e-10
NAMES = ["variance", "span", "dimension", "m", "delta"]


def _instances(setting: Setting) -> list[tuple[np.ndarray, np.ndarray]]:
    """Small matrices with every law, and with one of no kind."""
    instances = []
    for number in range(12 if setting.full else 4):
        rng = generator(setting.seed, STREAM, number)
        shape = tuple(int(n) for n in rng.integers(1, 4, 2))
        matrix = rng.standard_t(3, shape) * 10.0 ** rng.integers(-3, 4)
        matrix[rng.random(shape) < 0.2] = 0
        matrix.flat[0] += 1
        laws = [sipp_theory.entry_probabilities(matrix, kind) for kind in sipp_theory.ENTRY_KINDS]
        other = np.where(matrix != 0, rng.gamma(1, 1, shape) + 0.01, 0)
        instances += [(matrix, p) for p in (*laws, other / other.sum())]
    return instances


def _top(matrix: Any) -> Any:
    return max(mpmath.eigsy(matrix, eigvals_only=True))


def _norm(matrix: Any) -> Any:
    return mpmath.sqrt(max(_top(matrix * matrix.T), 0))


@oracle("MS-2")
def moments_by_enumeration(setting: Setting) -> Result:
    """Variance and range of one draw from all its outcomes at 50 digits; the code errs above."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for matrix, p in _instances(setting):
            at = {"matrix": matrix.tolist(), "p": p.tolist()}
            exact = mpmath.matrix(matrix.tolist())
            m, n = matrix.shape
            rows, columns, largest = mpmath.zeros(m), mpmath.zeros(n), mpmath.mpf(0)
            # The chances that the code was given, which rounding keeps from adding up to 1.
            total = mpmath.fsum(map(mpmath.mpf, p.ravel().tolist()))
            for i, j in zip(*np.nonzero(p), strict=True):
                chance = mpmath.mpf(p[i, j]) / total
                z = -exact.copy()
                z[int(i), int(j)] += exact[int(i), int(j)] / chance
                rows, columns = rows + chance * z * z.T, columns + chance * z.T * z
                largest = max(largest, _norm(z))
            norm = _norm(exact)
            computed = sipp_theory.draw_moments(matrix, p)
            close(computed.norm, norm, at, relative=NEAR)
            variance = max(_top(rows), _top(columns), mpmath.mpf(0)) / norm**2
            # Where every draw is the whole matrix the variance is 0, and the guard is all there is.
            most = variance * (1 + mpmath.mpf(NEAR)) + mpmath.mpf("1e-10") * (computed.span + 1)
            if not variance <= computed.variance <= most:
                raise Refuted(f"variance {computed.variance!r}, truth {variance} at {at}")
            if not largest / norm <= computed.span <= largest / norm + 2 + mpmath.mpf(NEAR):
                raise Refuted(f"span {computed.span!r}, largest ||Z|| {largest / norm} at {at}")
            cases += 1
    return Result(cases=cases)


def _points(setting: Setting) -> list[tuple[float, float, float, float, float]]:
    """(variance, span, dimension, draws, delta) over wide ranges."""
    rng = generator(setting.seed, STREAM, 1000)
    return [
        (10 ** rng.uniform(-3, 5), 1 + 10 ** rng.uniform(-2, 6), float(rng.integers(2, 10**4)),
         float(rng.integers(1, 10**8)), 10 ** rng.uniform(-12, -0.01))
        for _ in range(200 if setting.full else 60)
    ]  # fmt: skip


@oracle("MS-1")
def bound_at_50_digits(setting: Setting) -> Result:
    """Error, failure probability and least size against the formula; each errs on the safe side."""
    points = _points(setting)
    with mpmath.workdps(DIGITS):
        for point in points:
            at: dict[str, float] = dict(zip(NAMES, point, strict=True))
            var, span, size, m, delta = map(mpmath.mpf, point)
            log = mpmath.log(size / delta)
            b = span * log / 3
            truth = (b + mpmath.sqrt(b**2 + 2 * var * log * m)) / m
            close(float(sipp_theory.spectral_error(*point)), truth, at, safe="above")
            for eps in (0.05, 0.5, 2.0):
                rate = m * mpmath.mpf(eps) ** 2 / (2 * var + 2 * span * mpmath.mpf(eps) / 3)
                chance = min(size * mpmath.exp(-rate), mpmath.mpf(1))
                if rate < 700:
                    computed = float(sipp_theory.spectral_failure(*point[:4], eps))
                    close(computed, chance, at | {"eps": eps}, safe="above", relative=NEAR)
            eps = mpmath.mpf(0.3)
            needed = (2 * var + 2 * span * eps / 3) * log / eps**2
            computed = float(sipp_theory.spectral_size(*point[:3], 0.3, point[4]))
            if not needed <= computed <= mpmath.ceil(needed * (1 + mpmath.mpf("1e-12"))):
                raise Refuted(f"size {computed!r}, needed {needed} at {at}")
    return Result(cases=5 * len(points))


def _errors(matrix: np.ndarray, p: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Spectral error and probability of every outcome of m draws."""
    live = np.argwhere(p > 0)
    law: dict[tuple[int, ...], float] = {}
    for sequence in itertools.product(range(len(live)), repeat=m):
        counts = tuple(np.bincount(sequence, minlength=len(live)))
        chance = math.prod(float(p[tuple(live[k])]) for k in sequence)
        law[counts] = law.get(counts, 0.0) + chance
    errors = []
    for counts in law:
        other = -matrix.copy()
        for (i, j), k in zip(live, counts, strict=True):
            other[i, j] += matrix[i, j] * k / (m * p[i, j])
        errors.append(np.linalg.norm(other, 2))
    return np.array(errors), np.array(list(law.values()))


@oracle("MS-1")
def enumerated_laws(setting: Setting) -> Result:
    """The bound is never below the exact chance, from all outcomes of a few draws."""
    cases, sharpest = 0, np.inf
    for matrix, p in _instances(setting):
        if np.count_nonzero(p) > 5:
            continue
        one = sipp_theory.draw_moments(matrix, p)
        errors, chances = _errors(matrix, p, 5)
        for error in np.unique(errors.round(12)):
            eps = float(error) / one.norm
            exact = float(chances[errors >= error * (1 - 1e-9)].sum())
            bound = float(
                sipp_theory.spectral_failure(one.variance, one.span, one.dimension, 5, eps)
            )
            if exact > bound * (1 + 1e-9):
                raise Refuted(
                    f"Pr(error >= {eps!r}) is {exact!r}, the bound {bound!r}, at 5 draws of "
                    f"{matrix.tolist()} by {p.tolist()}"
                )
            cases, sharpest = cases + 1, min(sharpest, bound / max(exact, 1e-300))
    return Result(f"bound over exact chance at least {sharpest:.3g}", cases=cases)


@oracle("MS-1")
def identity_by_its_exact_law(setting: Setting) -> Result:
    """On the identity the promised error is exceeded no more often than promised, exactly."""
    cases = 0
    for side, delta in itertools.product((2, 5, 16), (0.3, 0.05, 1e-3)):
        one = sipp_theory.draw_moments(np.eye(side), np.eye(side) / side)
        for m in (side, 10 * side, 60 * side):
            eps = float(sipp_theory.spectral_error(one.variance, one.span, one.dimension, m, delta))
            exact = identity_failure(side, m, eps)
            if exact > delta:
                raise Refuted(f"side {side}, {m} draws: Pr(error > {eps!r}) is {exact!r}")
            cases += 1
    return Result(cases=cases)


@oracle("MS-3")
def probabilities_in_fractions(setting: Setting) -> Result:
    """Each law against its definition at 50 digits."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for matrix, _ in _instances(setting)[::5]:
            size = [mpmath.mpf(abs(x)) for x in matrix.ravel().tolist()]
            weigh = {
                "uniform": [mpmath.mpf(x > 0) for x in size],
                "l1": size,
                "l2": [x**2 for x in size],
            }
            exact = {kind: [x / mpmath.fsum(row) for x in row] for kind, row in weigh.items()}
            exact["mixture"] = [
                (mpmath.mpf(3) * a + b) / 4 for a, b in zip(exact["l1"], exact["l2"], strict=True)
            ]
            for kind, row in exact.items():
                p = sipp_theory.entry_probabilities(matrix, kind, 0.75).ravel()
                for computed, truth in zip(p.tolist(), row, strict=True):
                    close(computed, truth, {"matrix": matrix.tolist(), "kind": kind})
                    cases += 1
    return Result(cases=cases)


@oracle("MS-4")
def singular_values_at_50_digits(setting: Setting) -> Result:
    """The floor of each rank is the next singular value, from below."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for matrix, _ in _instances(setting)[::5]:
            exact = mpmath.matrix(matrix.tolist())
            gram = exact * exact.T if len(matrix) <= matrix.shape[1] else exact.T * exact
            values = sorted((mpmath.sqrt(max(x, 0)) for x in mpmath.eigsy(gram, eigvals_only=True)),
                            reverse=True)  # fmt: skip
            for rank in range(4):
                truth = values[rank] if rank < len(values) else mpmath.mpf(0)
                computed = sipp_theory.rank_floor(matrix, rank)
                if not truth - mpmath.mpf(NEAR) * values[0] <= computed <= truth:
                    raise Refuted(f"rank {rank}: {computed!r}, truth {truth} at {matrix.tolist()}")
                cases += 1
    return Result(cases=cases)


@oracle("MS-5")
def best_sparse_by_cvxpy(setting: Setting) -> Result:
    """The nearest matrix of each support, by a convex program: none is nearer than the floor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import cvxpy as cp
        except ImportError as error:
            raise Unavailable(f"cvxpy: {error}") from error
        cases, worst = 0, np.inf
        for number in range(6 if setting.full else 2):
            matrix = generator(setting.seed, STREAM, 2000, number).normal(size=(2, 2))
            for kept in (1, 2, 3):
                best = np.inf
                for support in itertools.combinations(range(4), kept):
                    hole = np.ones((2, 2))
                    hole.flat[list(support)] = 0
                    rival = cp.Variable((2, 2))
                    limits: list[Any] = [cp.multiply(hole, rival) == 0]
                    program = cp.Problem(cp.Minimize(cp.sigma_max(matrix - rival)), limits)
                    program.solve(solver=cp.CLARABEL)
                    best = min(best, float(np.asarray(program.value)))
                floor = sipp_theory.sparse_floor(matrix, kept)
                if floor > best * (1 + 1e-6):
                    raise Refuted(f"{kept} entries: floor {floor!r}, cvxpy {best!r} at "
                                  f"{matrix.tolist()}")  # fmt: skip
                cases, worst = cases + math.comb(4, kept), min(worst, floor / best)
    return Result(f"floor at least {worst:.2f} of the best", cases=cases)

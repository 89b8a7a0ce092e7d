"""SV-0 to SV-12 against exact sensitivities, a convex solver, enumeration and 50 digits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

import cvxpy as cp
import mpmath
import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from proofs_check.svm.instances import Points, kinds
from sipp_core.runtime import generator
from sipp_core.svm import CoresetSVC, certify_kernel, certify_svm

STREAM = 102
NEAR = 1e-6
# Points of a problem, by profile.
FULL, QUICK = 60, 20


def _problems(setting: Setting) -> Iterator[tuple[Points, float, list[int]]]:
    """Every kind of data at several values of C n, with the points that are looked at."""
    size = FULL if setting.full else QUICK
    penalties = (1.0, 10.0, 100.0, 1e3, 1e4) if setting.full else (1.0, 1e3)
    for number, points in enumerate(kinds(setting.seed, size)):
        some = generator(setting.seed, STREAM, number).permutation(len(points.y))
        live = [int(i) for i in some if points.u[i] > 0]
        for scale in penalties:
            yield points, scale / len(points.y), live[: 8 if setting.full else 2]


@lru_cache(maxsize=4096)
def _exact(seed: int, size: int, kind: str, C: float, i: int) -> tuple[float, float]:
    """The bracket of one exact sensitivity, once for all bounds that are held against it."""
    points = next(one for one in kinds(seed, size) if one.kind == kind)
    return sipp_theory.exact_sensitivity(i, points.X, points.y, C, points.u)


def _above_exact(setting: Setting, name: str, bound: Any) -> Result:
    """No bound is below the exact sensitivity; how loose it is, in the median."""
    ratios = []
    for (kind, X, y, u), C, some in _problems(setting):
        scores = bound(X, y, C, u)
        for i in some:
            low, high = _exact(setting.seed, FULL if setting.full else QUICK, kind, C, i)
            if scores[i] < low * (1 - 1e-9):
                raise Refuted(
                    f"{name} says {scores[i]:.6g} of point {i} whose sensitivity is at least "
                    f"{low:.6g}: {kind}, C = {C:g}, seed {setting.seed}"
                )
            ratios.append(float(scores[i] / high))
    median = float(np.median(ratios))
    return Result(f"{median:.3g} times the exact one in the median", cases=len(ratios))


@oracle("SV-1")
def clusters_above_exact(setting: Setting) -> Result:
    """SV-1 with class means is at or above exact sensitivities on sixteen kinds of data."""
    return _above_exact(setting, "SV-1", sipp_theory.cluster_sensitivities)


@oracle("SV-1")
def clusters_with_a_floor_above_exact(setting: Setting) -> Result:
    """SV-1F, with the optimum as the floor, is at or above exact sensitivities."""

    def bound(X: np.ndarray, y: np.ndarray, C: float, u: np.ndarray) -> np.ndarray:
        floor = sipp_theory.solve_svm(X, y, C, u).dual
        cells = 2 * (X[:, 0] > np.median(X[:, 0])) + (y > 0)
        return np.minimum(
            sipp_theory.cluster_sensitivities(X, y, C, u, lower=floor),
            sipp_theory.cluster_sensitivities(X, y, C, u, cells, floor),
        )

    return _above_exact(setting, "SV-1F", bound)


@oracle("SV-2")
def printed_above_exact(setting: Setting) -> Result:
    """SV-2 with 2a and with 3a is at or above exact sensitivities where u_i min(1, .) allows."""

    def bound(X: np.ndarray, y: np.ndarray, C: float, u: np.ndarray) -> np.ndarray:
        best = sipp_theory.solve_svm(X, y, C, u).dual
        scores = [
            sipp_theory.baykal_sensitivities(X, y, C, best, u, constant=k) for k in (2.0, 3.0)
        ]
        return np.where(np.minimum(*scores) >= u, 1.0, np.minimum(*scores))

    return _above_exact(setting, "SV-2", bound)


@oracle("SV-6")
def duals_above_exact(setting: Setting) -> Result:
    """SV-6 with both families is at or above exact sensitivities."""

    def bound(X: np.ndarray, y: np.ndarray, C: float, u: np.ndarray) -> np.ndarray:
        alpha = sipp_theory.solve_svm(X, y, C, u).alpha
        return sipp_theory.dual_sensitivities(X, y, C, u, alpha=alpha)

    return _above_exact(setting, "SV-6", bound)


@oracle("SV-7")
def dimension_above_exact(setting: Setting) -> Result:
    """SV-7 is at or above exact sensitivities, from a logistic optimum and from any dual point."""

    def bound(X: np.ndarray, y: np.ndarray, C: float, u: np.ndarray) -> np.ndarray:
        some = C * u * generator(setting.seed, STREAM).uniform(0.1, 0.9, len(y))
        return np.minimum(
            sipp_theory.dimension_sensitivities(X, y, C, u),
            sipp_theory.dimension_sensitivities(X, y, C, u, alpha=some),
        )

    return _above_exact(setting, "SV-7", bound)


@oracle("SV-7")
def lewis_weights_solve_their_equation(setting: Setting) -> Result:
    """w^2 = z^T (sum z z^T/w)^-1 z, with the rank as their sum, at 50 digits."""
    rng = generator(setting.seed, STREAM, 1)
    cases = 0
    with mpmath.workdps(DIGITS):
        for n, d in ((6, 2), (9, 3)):
            rows = rng.standard_t(3, (n, d))
            w = sipp_theory.lewis_weights(rows)
            gram = mpmath.zeros(d)
            for row, weight in zip(rows.tolist(), w.tolist(), strict=True):
                z = mpmath.matrix(row)
                gram += z * z.T / mpmath.mpf(weight)
            for row, weight in zip(rows.tolist(), w.tolist(), strict=True):
                z = mpmath.matrix(row)
                truth = mpmath.sqrt((z.T * mpmath.lu_solve(gram, z))[0])
                close(weight, truth, {"n": n, "d": d}, relative=1e-7)
                cases += 1
            close(float(w.sum()), d, {"n": n, "d": d}, relative=1e-7)
    return Result(cases=cases)


def _least(points: Points, C: float) -> float:
    """The least objective, by a convex solver."""
    w, b = cp.Variable(points.X.shape[1]), cp.Variable()
    hinge = cp.pos(1 - cp.multiply(points.y, points.X @ w + b))
    problem = cp.Problem(cp.Minimize(cp.sum_squares(w) / 2 + C * points.u @ hinge))
    problem.solve(solver=cp.CLARABEL)
    return float(problem.value)  # type: ignore[arg-type]


@oracle("SV-0")
def optimum_by_cvxpy(setting: Setting) -> Result:
    """A convex solver's optimum lies between the solver's dual and its primal value."""
    cases = 0
    for points, C, _ in _problems(setting):
        if points.kind in ("outlier", "columns of mixed scale"):
            continue  # where the convex solver itself is off
        solution = sipp_theory.solve_svm(points.X, points.y, C, points.u)
        truth = _least(points, C)
        if not solution.dual * (1 - NEAR) <= truth <= solution.primal * (1 + NEAR):
            raise Refuted(f"{points.kind}, C = {C:g}: optimum {truth}, bracket {solution.dual} to "
                          f"{solution.primal}")  # fmt: skip
        cases += 1
    return Result(cases=cases)


@oracle("SV-0")
def values_in_fractions(setting: Setting) -> Result:
    """F is never below, D never above its exact rational value, and both are near it."""
    rng = generator(setting.seed, STREAM, 5)
    cases = 0
    for _ in range(20 if setting.full else 6):
        X, y = rng.normal(size=(6, 2)), np.array([1.0, -1, 1, -1, 1, -1])
        w, b, C = rng.normal(size=2), float(rng.normal()), float(rng.gamma(2))
        a = rng.integers(0, 2**20, 6) / 2**20 * C
        a = np.where(y > 0, np.roll(a, -1), a)  # pairs: sum a y = 0 exactly
        fx = [[Fraction(v) for v in row] for row in X.tolist()]
        fw, fy = [Fraction(v) for v in w.tolist()], [Fraction(v) for v in y.tolist()]
        dots = [sum(p * q for p, q in zip(row, fw, strict=True)) for row in fx]
        hinges = [
            max(Fraction(0), 1 - t * (m + Fraction(b))) for m, t in zip(dots, fy, strict=True)
        ]
        primal: Any = sum(v * v for v in fw) / 2 + Fraction(C) * sum(hinges)
        fa = [Fraction(v) for v in a.tolist()]
        v = [sum(fa[i] * fy[i] * fx[i][k] for i in range(6)) for k in range(2)]
        total, square = sum(fa), sum(s * s for s in v)
        scale = min(Fraction(1), total / square)
        dual: Any = max(Fraction(0), scale * total - scale * scale * square / 2)
        with mpmath.workdps(DIGITS):
            at = {"X": X.tolist(), "w": w.tolist(), "b": b, "C": C, "alpha": a.tolist()}
            computed = sipp_theory.svm_objective(w, b, X, y, C)
            close(computed, mpmath.mpf(primal.numerator) / primal.denominator, at, "above")
            computed = sipp_theory.svm_dual(a, X, y, C)
            close(computed, mpmath.mpf(dual.numerator) / dual.denominator, at, "below", 1e-10)
        cases += 2
    return Result(cases=cases)


@oracle("SV-5")
def exact_by_cvxpy(setting: Setting) -> Result:
    """At the exact lam, a convex solver finds the program's least value to be 0."""
    cases = 0
    for points, C, some in _problems(setting):
        if points.kind not in ("gaussian", "weights", "duplicates", "separable", "whole numbers"):
            continue
        i, c = some[0], C * points.u
        low, high = sipp_theory.exact_sensitivity(i, points.X, points.y, C, points.u, 1e-6)
        w, b = cp.Variable(points.X.shape[1]), cp.Variable()
        margin = cp.multiply(points.y, points.X @ w + b)
        rest = c.copy()
        rest[i] = 0
        lam = cp.Parameter(nonneg=True)
        objective = cp.sum_squares(w) / 2 + rest @ cp.pos(1 - margin) - lam * (1 - margin[i])
        problem = cp.Problem(cp.Minimize(objective))
        for share, sign in ((low, -1), (high, 1)):
            # Below the root the least value is positive, above it negative.
            lam.value = c[i] * (1 / share - 1) * (1 - sign * 1e-3)
            problem.solve(solver=cp.CLARABEL)
            value = float(problem.value)  # type: ignore[arg-type]
            if sign * value < -1e-6 * (1 + float(lam.value)):
                raise Refuted(f"{points.kind}, point {i}, C = {C:g}: value {value} at lam "
                              f"{lam.value} for the share {share}")  # fmt: skip
            cases += 1
    return Result(cases=cases)


@oracle("SV-10")
def certificates_above_the_truth(setting: Setting) -> Result:
    """Certified eps is never below the true one, and close to it with every point single."""
    cases, worst = 0, 0.0
    for points, C, _ in _problems(setting):
        X, y, u = points.X, points.y, points.u
        best = sipp_theory.solve_svm(X, y, C, u)
        rng = generator(setting.seed, STREAM, 2, cases)
        for size in (0.0, 0.01, 0.3):
            w = best.w * (1 + size * rng.normal(size=X.shape[1]))
            true = sipp_theory.svm_objective(w, best.b, X, y, C, u) / best.primal - 1
            for singles in (0, len(y) // 2, len(y)):
                at = sipp_theory.jensen_certificate(w, best.b, X, y, C, u, singles)
                if at.dual > best.primal or at.eps < true * (1 - 1e-9):
                    raise Refuted(f"{points.kind}, C = {C:g}, {singles} singles: certified "
                                  f"{at.eps}, true {true}")  # fmt: skip
                cases += 1
            worst = max(worst, at.eps - true - best.eps)
    if worst > 1e-4:
        raise Refuted(f"with every point single the certificate is {worst} above the truth")
    return Result(cases=cases)


@oracle("SV-10")
def random_instances_certified_above_the_truth(setting: Setting) -> Result:
    """certify_svm on random arrays and streams (1,000 in full), any band, any weights."""
    count, close_ones = 1000 if setting.full else 40, 0
    for number in range(count):
        rng = generator(setting.seed, STREAM, 6, number)
        n, d = int(rng.integers(4, 200)), int(rng.integers(1, 6))
        y = np.where(rng.random(n) < rng.uniform(0.1, 0.9), 1.0, -1.0)
        y[:2] = 1, -1
        X = rng.standard_t(float(rng.choice([2, 30])), (n, d)) * 10.0 ** rng.integers(-1, 2, d)
        X[:, 0] += y * rng.choice([0, 1, 5])
        u = rng.gamma(1, 1, n) * (rng.random(n) < 0.9)
        u[:2] = 1
        C = float(10.0 ** rng.uniform(-3, 3))
        best = sipp_theory.solve_svm(X, y, C, u)
        w = best.w * (1 + rng.choice([0.0, 0.01, 0.3]) * rng.normal(size=d))
        cut, band = int(rng.integers(1, n)), int(rng.integers(0, n + 1))
        chunks = [(X[:cut], y[:cut], u[:cut]), (X[cut:], y[cut:], u[cut:])]
        true = sipp_theory.svm_objective(w, best.b, X, y, C, u) / best.primal - 1
        for at in (
            certify_svm(w, best.b, X, y, C, u, band=band),
            certify_svm(w, best.b, iter(chunks), C=C, band=band),
        ):
            if at.dual > best.primal or at.eps < true * (1 - 1e-9):
                raise Refuted(f"instance {number}, C = {C:g}, band {band} of {n}: certified "
                              f"{at.eps}, true {true}")  # fmt: skip
            close_ones += at.eps <= 1.01 * true + 1e-6
    share = close_ones / (2 * count)
    return Result(f"{share:.0%} within 1% of the truth, with bands of any size", cases=2 * count)


@oracle("SV-4")
def variance_by_enumeration(setting: Setting) -> Result:
    """The variance of a thinned sum, from all its outcomes."""
    cases = 0
    for number in range(6):
        rng = generator(setting.seed, STREAM, 3, number)
        f, p = rng.normal(size=4), rng.uniform(0.05, 1, 4)
        mean, square = 0.0, 0.0
        for kept in itertools.product((0, 1), repeat=4):
            chance = math.prod(q if k else 1 - q for k, q in zip(kept, p, strict=True))
            value = float((np.array(kept) * f / p).sum())
            mean, square = mean + chance * value, square + chance * value**2
        close(mean, float(f.sum()), {"f": f.tolist()}, relative=1e-9)
        at = {"f": f.tolist(), "p": p.tolist()}
        close(sipp_theory.thinned_variance(f, p), square - mean**2, at, relative=1e-8)
        cases += 1
    with mpmath.workdps(DIGITS):
        for eps, levels in itertools.product((0.0, 1e-9, 0.1, 0.5), (0, 1, 7)):
            truth = (1 + mpmath.mpf(eps)) ** levels - 1
            at = {"eps": eps, "levels": levels}
            close(float(sipp_theory.merged_error(eps, levels)), truth, at, safe="above")
    return Result(cases=cases + 12)


@oracle("SV-3", "SV-8", "SV-9")
def sizes_and_errors_at_50_digits(setting: Setting) -> Result:
    """Sizes and errors at 50 digits, never on the unsafe side."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for total, m, delta in itertools.product((1.0, 37.5, 1e5), (1, 1000), (0.9, 0.05, 1e-9)):
            tail = mpmath.sqrt(mpmath.log(2 / mpmath.mpf(delta)) / 2)
            at = {"T": total, "m": m, "delta": delta}
            for function, leading in (
                (sipp_theory.uniform_error, 2 * mpmath.sqrt(2)),
                (sipp_theory.control_variate_error, mpmath.mpf(2)),
            ):
                truth = total * (leading + tail) / mpmath.sqrt(m)
                close(float(function(total, m, delta)), truth, at, safe="above", relative=1e-11)
            for eps in (0.5, 0.01):
                size = (total / mpmath.mpf(eps) ** 2) * (
                    4 * mpmath.log(total) + mpmath.log(1 / mpmath.mpf(delta))
                )
                got = float(sipp_theory.uniform_coreset_size(total, 4, eps, delta, 1.0))
                if not mpmath.ceil(size) <= got <= mpmath.ceil(size * (1 + mpmath.mpf(10) ** -11)):
                    raise Refuted(f"size {got}, exactly {mpmath.nstr(size, 20)} at {at}")
                excess = 2 * mpmath.mpf(eps) / (1 - mpmath.mpf(eps))
                close(float(sipp_theory.coreset_suboptimality(eps)), excess, {"eps": eps},
                      safe="above", relative=1e-11)  # fmt: skip
                cases += 4
    return Result(cases=cases)


@oracle("SV-11")
def the_estimator_keeps_its_word(setting: Setting) -> Result:
    """What CoresetSVC certifies holds by the exact solver, at the target, from few groups."""
    cases = 0
    for number, C in enumerate((1e-3, 0.3) if setting.full else (0.03,)):
        rng = generator(setting.seed, STREAM, 4, number)
        n = 8000
        y = np.where(rng.random(n) < 0.3, 1.0, -1.0)
        X = rng.standard_t(4, (n, 3))
        X[:, 0] += y
        model = CoresetSVC(C, target=1e-4, band=400, coreset_size=400, random_state=0).fit(X, y)
        (proof,) = model.certificates_
        best = sipp_theory.solve_svm(X, y, C)
        value = sipp_theory.svm_objective(model.coef_[0], float(model.intercept_[0]), X, y, C)
        if not (proof.dual <= best.primal and value <= (1 + proof.eps) * best.primal * (1 + 1e-12)):
            raise Refuted(f"certified {proof.eps}, true {value / best.primal - 1} at C = {C}")
        if proof.eps > 1e-4 or proof.groups > n / 2:
            raise Refuted(f"target 1e-4, certified {proof.eps} with {proof.groups} groups")
        cases += 1
    return Result(cases=cases)


@oracle("SV-12")
def kernel_optimum_by_cvxpy(setting: Setting) -> Result:
    """No dual value of a kernel machine is above its optimum, solved in feature space."""
    cases = 0
    for points, C, _ in _problems(setting):
        if points.kind not in ("gaussian", "weights", "imbalance"):
            continue
        apart = ((points.X[:, None] - points.X[None]) ** 2).sum(axis=2)
        K = np.exp(-apart / 2)
        root = np.linalg.cholesky(K + 1e-10 * np.eye(len(K)))
        best = sipp_theory.solve_svm(root, points.y, C, points.u)
        for alpha in (best.alpha, best.alpha * 0.7, np.full(len(K), C)):
            computed = sipp_theory.kernel_dual(alpha, K, points.y, C, points.u)
            if computed > best.primal * (1 + NEAR):
                raise Refuted(f"{points.kind}: dual {computed} above the optimum {best.primal}")
        tight = sipp_theory.kernel_dual(best.alpha, K, points.y, C, points.u)
        if tight < best.dual * (1 - 1e-4):
            raise Refuted(f"{points.kind}: dual {tight} of the optimal multipliers, {best.dual}")
        cases += 4
    return Result(cases=cases)


@oracle("SV-12")
def kernel_machines_certified_above_the_truth(setting: Setting) -> Result:
    """certify_kernel on arrays, lists of chunks and iterators: any band, the same bits, no lie."""
    count, close_ones = 60 if setting.full else 10, 0
    for number in range(count):
        rng = generator(setting.seed, STREAM, 7, number)
        n, d, whole = int(rng.integers(20, 120)), int(rng.integers(1, 4)), number % 2 == 0
        y = np.where(rng.random(n) < rng.uniform(0.2, 0.8), 1.0, -1.0)
        y[:2] = 1, -1
        X = rng.normal(size=(n, d)) * rng.uniform(0.5, 2)
        X[:, 0] += y * rng.choice([0, 1])
        u = rng.gamma(1, 1, n) * (rng.random(n) < 0.9)
        u[:2] = 1
        C, gamma = float(10.0 ** rng.uniform(-2, 1)), float(rng.uniform(0.2, 2))
        features: Any = Nystroem
        model = make_pipeline(
            features(gamma=gamma, n_components=n if whole else 5, random_state=number),
            CoresetSVC(C),
        ).fit(X, y, coresetsvc__sample_weight=u)
        band = n if whole else int(rng.integers(0, n + 1))
        cut = int(rng.integers(1, n))
        chunks = [(X[:cut], y[:cut], u[:cut]), (X[cut:], y[cut:], u[cut:])]
        proofs = [
            *certify_kernel(model, X, y, u, band=band), *certify_kernel(model, chunks, band=band),
            *certify_kernel(model, iter(chunks), band=band),
        ]  # fmt: skip
        at = f"instance {number}, C = {C:g}, gamma = {gamma:g}, band {band} of {n}"
        if len({(one.primal, one.dual, one.eps) for one in proofs}) != 1:
            raise Refuted(f"{at}: chunks are certified another way than the array")
        root = np.linalg.cholesky(rbf_kernel(X, gamma=gamma) + 1e-9 * np.eye(n))
        best = sipp_theory.solve_svm(root, y, C, u)
        step: Any = model[0]
        last: Any = model[-1]
        beta = step.normalization_.T @ last.coef_[0]
        scores = rbf_kernel(X, step.components_, gamma=gamma) @ beta + last.intercept_[0]
        value = beta @ rbf_kernel(step.components_, gamma=gamma) @ beta / 2
        value += C * float(u @ np.maximum(0, 1 - y * scores))
        true = float(value) / best.primal - 1
        if proofs[0].dual > best.primal * (1 + NEAR) or proofs[0].eps < true * (1 - 1e-3) - NEAR:
            raise Refuted(f"{at}: certified {proofs[0].eps}, true {true}")
        if whole and proofs[0].eps > true + 0.01:
            raise Refuted(f"{at}: certified {proofs[0].eps} with all components, true {true}")
        close_ones += proofs[0].eps <= 2 * true + 1e-3
    return Result(f"{close_ones} of {count} within twice the truth", cases=3 * count)

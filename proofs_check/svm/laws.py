"""SV-0 to SV-12 on drawn problems: no hyperplane exceeds a bound, no partition lies."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

SEEDS = st.integers(0, 2**32 - 1)
PENALTIES = st.sampled_from([1e-3, 0.1, 1.0, 30.0, 1e3])
FRACTIONS = st.floats(1e-6, 0.9)


def _problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Points of mixed scale and tails, labels of both classes, weights with zeros among them."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 14)), int(rng.integers(1, 5))
    y = np.where(rng.random(n) < rng.uniform(0.1, 0.9), 1.0, -1.0)
    y[:2] = 1, -1
    X = rng.standard_t(float(rng.choice([2, 30])), (n, d)) * 10.0 ** rng.integers(-1, 2, d)
    X[:, 0] += y * rng.choice([0, 1, 5])
    if rng.random() < 0.2:
        X = np.round(X)
    u = rng.gamma(1, 1, n) * (rng.random(n) < 0.9)
    u[:2] = 1
    return X, y, u, rng


def _shares(X: np.ndarray, y: np.ndarray, c: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest c_i h_i/F of each point over hyperplanes that look for it."""
    best = np.zeros(len(y))
    centre = X.mean(axis=0)
    for _ in range(60):
        i = int(rng.integers(len(y)))
        w = [rng.normal(size=X.shape[1]), -y[i] * (X[i] - centre), np.zeros(X.shape[1])][
            int(rng.integers(3))
        ]
        w = w * 10.0 ** rng.uniform(-4, 1)
        b = rng.choice([-y[i], y[i], rng.normal()]) - rng.choice([0, 1]) * float(centre @ w)
        h = np.maximum(0, 1 - y * (X @ w + b))
        total = w @ w / 2 + c @ h
        if total > 0:
            best = np.maximum(best, c * h / total)
    return best


@law("SV-1", "SV-2", "SV-6", "SV-7")
def no_hyperplane_exceeds_a_bound(setting: Setting) -> Result:
    """No drawn hyperplane gives a point a larger share than any bound says."""

    @given(SEEDS, PENALTIES)
    def law(seed: int, C: float) -> None:
        X, y, u, rng = _problem(seed)
        shares = _shares(X, y, C * u, rng) * (1 - 1e-9)
        at = sipp_theory.solve_svm(X, y, C, u)
        lower = at.dual
        bounds = {
            "SV-1": sipp_theory.cluster_sensitivities(X, y, C, u),
            "SV-1F": sipp_theory.cluster_sensitivities(X, y, C, u, lower=lower),
            "SV-6": sipp_theory.dual_sensitivities(X, y, C, u, alpha=at.alpha),
            "SV-7": sipp_theory.dimension_sensitivities(X, y, C, u),
        }
        for constant in (2.0, 3.0):
            scores = sipp_theory.baykal_sensitivities(X, y, C, lower, u, constant=constant)
            bounds[f"SV-2, {constant:g}a"] = np.minimum(scores, 1)
        # min(1, .) inside u_i min(1, .) speaks of shares below u_i only.
        for name, bound in bounds.items():
            slack = np.where(u < 1, 1.0, 0.0) if name.startswith("SV-2") else 0.0
            assert (shares <= bound + slack).all(), (name, shares, bound)

    return hold(setting, law, examples=25)


@law("SV-0")
def duals_below_primals(setting: Setting) -> Result:
    """Any multipliers' value is below any hyperplane's, and the solver's gap closes."""

    @given(SEEDS, PENALTIES)
    def law(seed: int, C: float) -> None:
        X, y, u, rng = _problem(seed)
        alpha = rng.normal(size=len(y)) * C * 2
        w, b = rng.normal(size=X.shape[1]), float(rng.normal())
        dual = sipp_theory.svm_dual(alpha, X, y, C, u)
        assert dual <= sipp_theory.svm_objective(w, b, X, y, C, u)
        best = sipp_theory.solve_svm(X, y, C, u)
        assert dual <= best.primal
        assert best.dual <= best.primal <= sipp_theory.svm_objective(w, b, X, y, C, u)
        assert best.primal <= (1 + best.eps) * best.dual * (1 + 1e-12)
        assert best.eps <= 1e-5
        # Two points against one in one place: what is not balanced gives 3 C, the least is 2 C.
        same, sides = np.zeros((3, 1)), np.array([1.0, 1.0, -1.0])
        most = sipp_theory.svm_objective(np.zeros(1), 1.0, same, sides, C)
        assert sipp_theory.svm_dual(np.full(3, C), same, sides, C) <= most

    return hold(setting, law, examples=25)


@law("SV-10")
def no_partition_lies(setting: Setting) -> Result:
    """Whatever the partition, F_G <= F everywhere and the certificate is no less than the truth."""

    @given(SEEDS, PENALTIES)
    def law(seed: int, C: float) -> None:
        X, y, u, rng = _problem(seed)
        w, b = rng.normal(size=X.shape[1]), float(rng.normal())
        names = rng.integers(0, 4, len(y)) * 2 + (y > 0)
        full = sipp_theory.svm_objective(w, b, X, y, C, u)
        means, labels, weights = sipp_theory.group_means(X, y, C, names, u)
        few = sipp_theory.svm_objective(w, b, means, labels, C, weights)
        assert few <= full * (1 + 1e-12)
        best = sipp_theory.solve_svm(X, y, C, u)
        for groups, singles in ((names, 0), (None, int(rng.integers(0, len(y))))):
            at = sipp_theory.jensen_certificate(w, b, X, y, C, u, singles, groups)
            assert at.dual <= best.primal
            assert at.primal >= full * (1 - 1e-12)

    return hold(setting, law, examples=25)


@law("SV-4")
def streams_and_merges(setting: Setting) -> Result:
    """Sums and spreads of groups bound F from above; merging groups keeps the lower bound."""

    @given(SEEDS, PENALTIES, st.floats(0, 1), st.integers(0, 40))
    def law(seed: int, C: float, eps: float, levels: int) -> None:
        X, y, u, rng = _problem(seed)
        w, b = rng.normal(size=X.shape[1]), float(rng.normal())
        full = sipp_theory.svm_objective(w, b, X, y, C, u)
        fine = rng.integers(0, 4, len(y)) * 2 + (y > 0)
        values = []
        for names in (fine, (y > 0).astype(int)):
            means, labels, weights = sipp_theory.group_means(X, y, C, names, u)
            live = np.unique(names[u > 0])
            spread = [
                C * float(u[names == k] @ np.linalg.norm(X[names == k] - mean, axis=1))
                for k, mean in zip(live, means, strict=True)
            ]
            upper = sipp_theory.stream_objective(w, b, means, labels, C, weights, spread)
            assert upper >= full * (1 - 1e-12)
            values.append(sipp_theory.svm_objective(w, b, means, labels, C, weights))
        assert values[1] <= values[0] * (1 + 1e-12) <= full * (1 + 1e-11)
        error = sipp_theory.merged_error(eps, levels)
        assert sipp_theory.merged_error(eps, levels + 1) >= error >= 0

    return hold(setting, law, examples=25)


@law("SV-9")
def control_variates_are_exact(setting: Setting) -> Result:
    """F = ||w||^2/2 + l + sum c rho, 0 <= rho <= (rho0 s - |r|)_+ in the neighbourhood."""

    @given(SEEDS, PENALTIES, st.floats(1e-3, 2))
    def law(seed: int, C: float, radius: float) -> None:
        X, y, u, rng = _problem(seed)
        w, b = rng.normal(size=X.shape[1]), float(rng.normal())
        parts = sipp_theory.control_variate(w, b, X, y, C, radius, u)
        step = rng.normal(size=X.shape[1] + 1)
        step *= radius * rng.random() / np.linalg.norm(step)
        there, at = w + step[:-1], b + float(step[-1])
        r = 1 - y * (X @ there + at)
        rho = np.maximum(r, 0) - parts.active * r
        size = np.sqrt(1 + (X**2).sum(axis=1))
        room = np.maximum(radius * size - np.abs(1 - y * (X @ w + b)), 0)
        assert (rho >= -1e-9 * size).all() and (rho <= room + 1e-9 * size * (1 + radius)).all()
        assert (rho[~parts.band] <= 1e-9 * size[~parts.band]).all()
        linear = parts.constant - parts.linear @ np.append(there, at)
        value = there @ there / 2 + linear + C * u @ rho
        np.testing.assert_allclose(
            value, sipp_theory.svm_objective(there, at, X, y, C, u), rtol=1e-9, atol=1e-9 * C
        )

    return hold(setting, law, examples=25)


@law("SV-3", "SV-8", "SV-9")
def sizes_and_errors_are_monotone(setting: Setting) -> Result:
    """Sizes fall with eps and delta and rise with S; errors fall with m and rise with T."""

    @given(st.floats(1, 1e6), st.floats(1, 3), FRACTIONS, FRACTIONS, st.integers(1, 10**6))
    def law(total: float, factor: float, eps: float, delta: float, m: int) -> None:
        for size in (
            sipp_theory.query_coreset_size,
            lambda s, e, p: sipp_theory.uniform_coreset_size(s, 3, e, p, 1.0),
        ):
            needed = size(total, eps, delta)
            assert size(total * factor, eps, delta) >= needed >= size(total, eps, delta * 1.1)
            assert size(total, eps * 1.1, delta) <= needed
        for error in (sipp_theory.uniform_error, sipp_theory.control_variate_error):
            promised = error(total, m, delta)
            assert error(total, 2 * m, delta) <= promised <= error(total * factor, m, delta)
            assert error(total, m, delta * 1.1) <= promised
        assert sipp_theory.coreset_suboptimality(eps) >= 2 * eps

    return hold(setting, law)


@law("SV-12")
def kernel_of_points(setting: Setting) -> Result:
    """With K = X X^T a kernel's dual value is the linear machine's, and no solution is below it."""

    @given(SEEDS, PENALTIES)
    def law(seed: int, C: float) -> None:
        X, y, u, rng = _problem(seed)
        alpha = rng.random(len(y)) * C * 2
        kernel = sipp_theory.kernel_dual(alpha, X @ X.T, y, C, u)
        plain = sipp_theory.svm_dual(alpha, X, y, C, u)
        assert abs(kernel - plain) <= 1e-8 * (1 + abs(plain)) * (1 + float((X**2).max()))
        assert kernel <= sipp_theory.solve_svm(X, y, C, u).primal

    return hold(setting, law, examples=25)

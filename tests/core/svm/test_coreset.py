"""SVMCoreset: unbiased weights, every method, what it refuses, and the peers' own code."""

from __future__ import annotations

import ast
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.svm import SVC

from sipp_core.svm import SVMCoreset, certify_svm
from sipp_core.svm.coreset import METHODS
from sipp_theory.svm import baykal_sensitivities, solve_svm, svm_objective

C = 0.1


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.where(rng.random(1500) < 0.4, 1, 0)
    X = rng.standard_t(3, (1500, 3))
    X[:, 0] += y
    return X, y


@pytest.mark.parametrize("method", METHODS)
def test_every_method_comes_near_the_optimum(
    data: tuple[np.ndarray, np.ndarray], method: str
) -> None:
    X, y = data
    made = SVMCoreset(400, C, method=method, random_state=0).fit(X, y)
    w, b = made.solve(X, y)
    assert certify_svm(w, b, X, y, C).eps < 0.05
    assert made.sensitivity_.shape == (1500,)
    assert made.total_sensitivity_ == pytest.approx(made.sensitivity_.sum())
    fresh: Any = clone(made)
    again = fresh.fit(X, y)
    assert again.sample_weight_.tobytes() == made.sample_weight_.tobytes()


@pytest.mark.parametrize("method", METHODS[:-1])
def test_weights_are_unbiased_and_zeros_are_never_drawn(
    data: tuple[np.ndarray, np.ndarray], method: str
) -> None:
    X, y = data
    u = np.where(np.arange(1500) % 3, 1.0, 0.0)
    signs = np.where(y > 0, 1.0, -1.0)
    w, b = np.array([0.5, 0.1, -0.2]), -0.3
    full = svm_objective(w, b, X, signs, C, u)
    found = []
    for seed in range(20):
        rows, labels, weight = SVMCoreset(300, C, method=method, random_state=seed).fit_resample(
            X, y, u
        )
        assert len(rows) == len(labels) == len(weight) <= 300
        found.append(svm_objective(w, b, rows, np.where(labels > 0, 1, -1), C, weight))
        made = SVMCoreset(300, C, method=method, random_state=seed).fit(X, y, u)
        assert (u[made.sample_indices_] > 0).all()
    off = abs(np.mean(found) / full - 1)
    assert off < 4 * np.std(found) / full / np.sqrt(20)


def test_points_and_weights_are_for_any_solver(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    rows, labels, weight = SVMCoreset(500, C, class_weight="balanced", random_state=0).fit_resample(
        X, y
    )
    model = SVC(kernel="linear", C=C).fit(rows, labels, weight)
    factor = 1500 / (2 * np.bincount(y))[y]
    assert certify_svm(model.coef_, model.intercept_, X, y, C, factor).eps < 0.05


def test_control_variates_win_at_the_same_size() -> None:
    rng = np.random.default_rng(1)
    y = np.where(rng.random(20_000) < 0.5, 1.0, -1.0)
    X = rng.normal(size=(20_000, 4))
    X[:, 0] += y
    penalty = 1e4 / 20_000
    best = solve_svm(X, y, penalty).primal

    def off(method: str) -> float:
        found = []
        for seed in range(5):
            made = SVMCoreset(3000, penalty, method=method, random_state=seed).fit(X, y)
            found.append(svm_objective(*made.solve(X, y), X, y, penalty) / best - 1)
        return float(np.median(found))

    assert off("control-variate") < off("uniform") / 3


def test_refusals(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    with pytest.raises(ValueError, match="a coreset is for two classes"):
        SVMCoreset().fit(X, np.arange(1500) % 3)
    with pytest.raises(ValueError, match="solve needs the 1500 points"):
        SVMCoreset(50, C, random_state=0).fit(X, y).solve(X[:9], y[:9])
    with pytest.raises(ValueError, match="exact linear part"):
        SVMCoreset(method="control-variate").fit_resample(X, y)
    with pytest.raises(ValueError, match="'method' parameter"):
        SVMCoreset(method="none").fit(X, y)
    with pytest.raises(ValueError, match="class_weight must be above 0"):
        SVMCoreset(class_weight={0: -1.0}).fit(X, y)


@pytest.mark.parametrize("method", METHODS)
def test_degenerate_points(method: str) -> None:
    rng = np.random.default_rng(2)
    wide, y = rng.normal(size=(8, 30)), np.arange(8) % 2
    for X in (wide, np.ones((8, 2)), wide[:, :2] * [1, 0]):
        made = SVMCoreset(20, C, method=method, random_state=0).fit(X, y)
        w, b = made.solve(X, y)
        assert np.isfinite(w).all() and np.isfinite(b)
    assert SVMCoreset(20, C, method=method, random_state=0).fit(wide[:2], [0, 1])


@pytest.fixture
def their_bound() -> Any:
    """getAnalyticalBoundCore of github.com/muradtuk/SVMCoreset, cut out of their module."""
    folder = os.environ.get("SIPP_PEERS_DIR")
    path = Path(folder or "", "SVMCoreset", "MLprobs.py")
    if not folder or not path.is_file():
        pytest.skip("no copy of the peers' code: SIPP_PEERS_DIR names no folder with SVMCoreset")
    wanted = {"getAnalyticalBoundCore", "advindexing_roll"}
    tree = ast.parse(path.read_text("utf-8"))
    (owner,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "MLProbs"]
    owner.body = [n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name in wanted]
    return compile(ast.Module([owner], []), str(path), "exec")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_baykal_is_what_the_peers_code_computes(
    data: tuple[np.ndarray, np.ndarray], their_bound: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = data
    signs = np.where(y > 0, 1.0, -1.0)
    u = np.random.default_rng(3).gamma(2, 1, 1500)
    cells = 2 * (X[:, 1] > 0) + (y > 0)
    opt = solve_svm(X, signs, 1.0, u).primal
    ours = baykal_sensitivities(X, signs, 1.0, opt, u, cells)
    for side in (-1.0, 1.0):
        mine = signs == side
        names = (cells[mine] // 2).astype(int)
        rows = X[mine] * side  # they turn the negative class round
        means = np.array(
            [np.average(rows[names == k], axis=0, weights=u[mine][names == k]) for k in (0, 1)]
        )
        # Their seeding, with our cells and means in its place.
        space: dict[str, Any] = {
            "np": np, "math": math, "time": time,
            "init_kmeans_fast": lambda *_, m=means, n=names, **__: (m, n.copy()),
        }  # fmt: skip
        exec(their_bound, space)
        model = space["MLProbs"].__new__(space["MLProbs"])
        model.FAST = True
        theirs, _ = model.getAnalyticalBoundCore(rows, opt, 2, u[mine], u.sum())
        np.testing.assert_allclose(ours[mine], u[mine] * theirs, rtol=1e-9)

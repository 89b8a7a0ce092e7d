"""certify_svm: arrays, CSR, memory maps and streams say the same; bad input is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import SGDClassifier
from sklearn.svm import LinearSVC

from sipp_core.svm import SVMCoreset, certify_svm
from sipp_theory.svm import solve_svm

N, D, C = 3000, 5, 0.01


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.where(rng.random(N) < 0.4, 1, -1)
    X = rng.normal(size=(N, D))
    X[:, 0] += y
    return X, y


def test_anybodys_solution(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    best = solve_svm(X, y, C)
    models: list[Any] = [
        LinearSVC(loss="hinge", C=C, max_iter=20_000, random_state=0),
        SGDClassifier(alpha=1 / (C * N), random_state=0),
    ]
    for model in models:
        model.fit(X, y)
        got = certify_svm(model.coef_, model.intercept_, X, y, C=C)
        assert got.dual <= best.primal
        assert got.eps == pytest.approx(got.primal / best.primal - 1, rel=1e-4, abs=1e-8)


def test_a_small_band_is_still_below_the_optimum(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    best = solve_svm(X, y, C)
    w, b = best.w + 0.01, best.b
    exact = certify_svm(w, b, X, y, C=C).eps
    for band in (0, 10, 300):
        got = certify_svm(w, b, X, y, C=C, band=band)
        assert got.dual <= best.primal and got.eps >= exact * (1 - 1e-6)
        assert got.groups <= band + 100


def test_however_it_comes(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    X, y = data
    weight = np.random.default_rng(1).integers(0, 3, N).astype(float)
    w, b = np.full(D, 0.2), 0.1
    want = certify_svm(w, b, X, y, C=C, sample_weight=weight, band=100)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    chunks = [(X[a : a + 700], y[a : a + 700], weight[a : a + 700]) for a in range(0, N, 700)]
    same = [
        certify_svm(w, b, mapped, y, C=C, sample_weight=weight, band=100),
        certify_svm(w, b, X, np.where(y > 0, "b", "a"), C=C, sample_weight=weight, band=100),
    ]
    for got in same:
        assert (got.primal, got.dual, got.eps) == (want.primal, want.dual, want.eps)
    # A stream shows nothing of what comes, so that its band lies around (w, b).
    stream = certify_svm(w, b, iter(chunks), C=C, band=100)
    again = certify_svm(w, b, iter([(X, y, weight)]), C=C, band=100)
    assert (stream.primal, stream.dual) == (again.primal, again.dual)
    assert stream.primal == want.primal and stream.dual < want.dual
    rare = certify_svm(w, b, sparse.csr_array(X), y, C=C, sample_weight=weight, band=100)
    assert rare.eps == pytest.approx(want.eps, rel=1e-6)
    repeated = np.repeat(np.arange(N), weight.astype(int))
    again = certify_svm(w, b, X[repeated], y[repeated], C=C, band=100)
    assert again.primal == pytest.approx(want.primal, rel=1e-12)
    single = certify_svm(w, b, X.astype(np.float32), y, C=C, sample_weight=weight, band=100)
    assert single.eps == pytest.approx(want.eps, rel=1e-3)


@pytest.mark.parametrize("method", ["uniform", "control-variate"])
def test_a_coreset_is_certified_within_a_hundredth_of_the_truth(method: str) -> None:
    rng = np.random.default_rng(5)
    n, penalty = 20_000, 0.05
    y = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    X = rng.normal(size=(n, D))
    X[:, 0] += y
    best = solve_svm(X, y, penalty)
    ratios = []
    for seed in range(5):
        made = SVMCoreset(1000, penalty, method=method, random_state=seed).fit(X, y)
        got = certify_svm(*made.solve(X, y), X, y, penalty, band=2000)
        assert got.dual <= best.primal
        ratios.append(got.eps / (got.primal / best.primal - 1))
    assert max(ratios) <= 1.01


def test_an_order_that_is_not_random_misleads_nobody() -> None:
    rng = np.random.default_rng(6)
    n, penalty = 5000, 0.05
    y = np.sort(np.where(rng.random(n) < 0.3, 1.0, -1.0))
    X = rng.normal(size=(n, 2)) + np.linspace(0, 1, n)[:, None] + y[:, None]
    best = solve_svm(X, y, penalty)
    got = certify_svm(best.w + 0.05, best.b, X, y, penalty, band=500)
    assert got.eps == pytest.approx(got.primal / best.primal - 1, rel=0.01)


def test_a_large_array_has_a_large_band() -> None:
    rng = np.random.default_rng(7)
    n, penalty = 400_000, 0.1
    y = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    X = rng.normal(size=(n, 2)) + y[:, None] / 2
    best = solve_svm(X, y, penalty)
    w = best.w * [1.1, 0.9]
    got = certify_svm(w, best.b, X, y, penalty)
    assert got.eps == pytest.approx(got.primal / best.primal - 1, rel=0.01)


def test_types_that_users_have(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    w, text = np.full(D, 0.2), np.where(y > 0, "yes", "no")
    want = certify_svm(w, 0.1, X, y, C=C, band=100)
    fixed = X.copy()
    fixed.setflags(write=False)
    for same in (X.astype(object), np.asfortranarray(X), np.ma.array(X), fixed):
        assert certify_svm(w, 0.1, same, text, C=C, band=100).eps == pytest.approx(want.eps)
    for rare in (sparse.csc_matrix(X), sparse.coo_array(X)):
        assert certify_svm(w, 0.1, rare, text, C=C, band=100).eps == pytest.approx(want.eps)
    whole = np.round(20 * X).clip(-127, 127)
    want = certify_svm(w / 20, 0.1, whole, y, C=C, band=100)
    for kind in (np.int8, np.float16, np.float32):
        found = certify_svm(w / 20, 0.1, whole.astype(kind), text, C=C, band=100)
        assert (found.primal, found.dual) == (want.primal, want.dual)
    # Chunks of several types, with an empty one first, are one stream.
    parts = [
        (whole[:0], text[:0]), (whole[:700], text[:700]),
        (whole[700:1500].astype(np.int8), text[700:1500]),
        (whole[1500:].astype(np.float32), text[1500:]),
    ]  # fmt: skip
    mixed = certify_svm(w / 20, 0.1, iter(parts), C=C, band=100)
    plain = certify_svm(w / 20, 0.1, iter([(whole, y)]), C=C, band=100)
    assert (mixed.primal, mixed.dual) == (plain.primal, plain.dual)


def with_nan(X: np.ndarray) -> np.ndarray:
    found = X.copy()
    found[7, 2] = np.nan
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (with_nan(X), y), "holds nan in row 7, column 2"),
        (lambda X, y: (X, np.ones(N)), "two classes with weight above 0"),
        (lambda X, y: (X, np.arange(N)), "y must have two classes; found 3000"),
        (lambda X, y: (X[:-1], y), "X has 2999 rows, y has 3000 labels"),
        (lambda X, y: ([(X, y), (X[:, :3], y)], None), "rows from 3000 on have 3 columns"),
        (lambda X, y: (iter([]), None), "the stream holds no rows"),
        (lambda X, y: ([X], None), r"chunk 0 must be \(X, y\)"),
        (lambda X, y: (X, None), "y must be given with an array X"),
        (lambda X, y: ([(X, y, -np.ones(N))], None), "sample_weight must be at least 0"),
        (lambda X, y: (X.astype(str), y), "X must be real numbers"),
        (lambda X, y: (X[:, :4], y), "w must have 4 entries"),
        (lambda X, y: (1e120 * X, y), r"X must be at most 1e\+100 in size"),
        (lambda X, y: (iter([(1e120 * X, y)]), None), r"X must be at most 1e\+100 in size"),
        (lambda X, y: (X, np.where(y > 0, 1.0, np.nan)), "y holds nan at index"),
        (lambda X, y: (X, np.array([None, "a"])[(y > 0).astype(int)]), "found NoneType, str"),
        (lambda X, y: ([(X, y), (X, 2 * y)], None), "y must be -1 or 1; found -?2 at index 300"),
    ],
)
def test_bad_input_is_refused_by_name(
    data: tuple[np.ndarray, np.ndarray], change: Callable[..., Any], message: str
) -> None:
    X, y = change(*data)
    with pytest.raises(ValueError, match=message):
        certify_svm(np.ones(D), 0.0, X, y, C=C)


def test_bad_arguments_are_refused(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    with pytest.raises(ValueError, match="C must be above 0; found -1"):
        certify_svm(np.ones(D), 0.0, X, y, C=-1)
    with pytest.raises(ValueError, match="band must be a whole number"):
        certify_svm(np.ones(D), 0.0, X, y, C=1, band=-1)
    with pytest.raises(ValueError, match=r"C times the sum of sample_weight must be between"):
        certify_svm(np.ones(D), 0.0, X, y, C=1e300)
    with pytest.raises(ValueError, match=r"w and b must be at most 1e\+100"):
        certify_svm(np.full(D, 1e200), 0.0, X, y, C=1)
    with pytest.raises(ValueError, match="one hyperplane"):
        certify_svm(np.ones((2, D)), [0.0, 1.0], X, y, C=1)
    several: Any = [1.0]
    with pytest.raises(ValueError, match=r"C must be one number; found shape \(1,\)"):
        certify_svm(np.ones(D), 0.0, X, y, C=several)
    with pytest.raises(TypeError, match="sample_weight must be real numbers; found dtype <U"):
        certify_svm(np.ones(D), 0.0, X, y, C=1, sample_weight=["1"] * N)


@pytest.mark.parametrize("where", ["w", "b", "X", "C", "sample_weight"])
def test_integers_beyond_float64_are_refused_by_name(
    data: tuple[np.ndarray, np.ndarray], where: str
) -> None:
    huge = 10**400
    given: dict[str, Any] = {"w": [1.0] * D, "b": 0.0, "X": data[0][:50].tolist(),
                             "y": data[1][:50], "C": 1.0, "sample_weight": [1.0] * 50}  # fmt: skip
    given |= {
        "w": {"w": [*given["w"][1:], huge]}, "b": {"b": huge}, "C": {"C": huge},
        "X": {"X": [[*row[1:], huge] for row in given["X"]]},
        "sample_weight": {"sample_weight": [1.0] * 49 + [huge]},
    }[where]  # fmt: skip
    with pytest.raises(ValueError, match=f"{where} must be at most .* beyond float64"):
        certify_svm(**given)
    # Those of more than 64 bits that float64 holds are numbers like any other.
    large = certify_svm(np.ones(D), 0.0, *data, C=10**30)
    assert large.primal == certify_svm(np.ones(D), 0.0, *data, C=1e30).primal

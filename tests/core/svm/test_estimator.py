"""CoresetSVC: scikit-learn's own checks, what is certified, streams, and refusals."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sipp_core.svm import CoresetSVC, certify_kernel, certify_svm, read_chunks, save_model
from sipp_core.svm import estimator as module
from sipp_core.svm.chunks import ArrayChunks
from sipp_theory.svm import solve_svm

N, D, C = 30_000, 5, 0.02


@parametrize_with_checks([CoresetSVC()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.where(rng.random(N) < 0.3, 1, -1)
    X = rng.normal(size=(N, D)) * [1, 1, 3, 0.2, 1] + [0, 0, 0, 0, 2]
    X[:, 0] += y
    return X, y


@pytest.fixture(scope="module")
def best(data: tuple[np.ndarray, np.ndarray]) -> float:
    return solve_svm(*data, C).primal


def small(**given: Any) -> CoresetSVC:
    return CoresetSVC(C, target=1e-4, band=1500, coreset_size=1500, random_state=0, **given)


def test_what_is_certified_is_true(data: tuple[np.ndarray, np.ndarray], best: float) -> None:
    model = small().fit(*data)
    (proof,) = model.certificates_
    assert model.certified_eps_ <= 1e-4
    assert proof.dual <= best <= proof.primal <= (1 + model.certified_eps_) * best
    assert proof.groups < 4000, "a coreset, not all points"
    (again,) = model.certify(*data)
    assert again.primal == pytest.approx(proof.primal, rel=1e-12)
    assert again.eps <= 2e-4


def test_the_same_bits_however_it_is_read(
    data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = data
    plain = small().fit(X, y)
    np.save(tmp_path / "X.npy", X)
    for other in (
        small().fit(np.load(tmp_path / "X.npy", mmap_mode="r"), y),
        small(n_jobs=2).fit(X, y),
        pickle.loads(pickle.dumps(plain)),
    ):
        assert other.coef_.tobytes() == plain.coef_.tobytes()
        assert other.certified_eps_ == plain.certified_eps_
    assert small().fit(sparse.csr_matrix(X), y).certified_eps_ <= 1e-4
    assert small().fit(X.astype(np.float32), y).certified_eps_ <= 1e-4


def test_weights_of_classes_and_points(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    u = np.random.default_rng(2).integers(0, 3, N).astype(float)
    model = small(class_weight="balanced").fit(X, y, u)
    factor = np.array([u.sum() / (2 * u[y == k].sum()) for k in (-1, 1)])
    at = certify_svm(model.coef_, model.intercept_, X, y, C, u * factor[(y > 0).astype(int)])
    assert at.eps <= 2e-4
    assert at.primal == pytest.approx(model.certificates_[0].primal, rel=1e-9)


def test_few_points_are_solved_by_newton() -> None:
    X, y = load_iris(return_X_y=True)
    model = CoresetSVC(C=1.0).fit(X, y)
    assert model.certified_eps_ < 1e-8 and model.coef_.shape == (3, 4)
    for k in range(3):
        theirs = SVC(kernel="linear", C=1.0, tol=1e-8).fit(X, y == k)
        np.testing.assert_allclose(model.coef_[k], theirs.coef_[0], atol=1e-3)
    twice = CoresetSVC().fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    weighted = CoresetSVC().fit(X, y, np.full(150, 2.0))
    assert twice.coef_.tobytes() == weighted.coef_.tobytes()


def test_pipelines_and_grids(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    grid = GridSearchCV(
        make_pipeline(StandardScaler(), small()), {"coresetsvc__C": [1e-3, C]}, cv=2
    )
    assert grid.fit(X, y).best_score_ > 0.8
    copy: Any = clone(small(class_weight={1: 2.0}))
    assert copy.get_params()["class_weight"] == {1: 2.0}


@pytest.mark.parametrize("features", [Nystroem, RBFSampler])
def test_a_kernel_by_its_feature_map(features: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 2))
    y = np.where((X**2).sum(axis=1) > 1.4, "out", "in")
    model = make_pipeline(
        features(gamma=0.5, n_components=20, random_state=0),
        CoresetSVC(C, target=1e-4, band=3000, random_state=0),
    ).fit(X, y)
    last: Any = model[-1]
    assert model.score(X, y) > 0.9
    # What is certified is the linear problem in the features.
    seen, signs = model[0].transform(X), np.where(y == "out", 1.0, -1.0)
    best, (proof,) = solve_svm(seen, signs, C), last.certificates_
    assert proof.dual <= best.primal and proof.eps <= 1e-4
    assert proof.primal / best.primal - 1 <= proof.eps


def test_a_certificate_to_the_kernels_own_optimum() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) * [1, 10]
    y = np.where((X**2 / [1, 100]).sum(axis=1) > 1.4, "out", "in")
    signs = np.where(y == "out", 1.0, -1.0)
    last, features = np.inf, cast("Callable[..., Any]", Nystroem)
    for components in (5, 20, 100):
        model = make_pipeline(
            StandardScaler(), features(gamma=0.5, n_components=components, random_state=0),
            CoresetSVC(1.0),
        ).fit(X, y)  # fmt: skip
        (proof,) = certify_kernel(model, X, y)
        K = rbf_kernel(model[0].transform(X), gamma=0.5)
        best = solve_svm(np.linalg.cholesky(K + 1e-10 * np.eye(300)), signs, 1.0)
        assert proof.dual <= best.primal * (1 + 1e-6)
        assert proof.primal >= best.dual * (1 - 1e-6)
        # What it says of the machine is F_K of the function that it decides by.
        scores = model.decision_function(X)
        assert proof.primal >= np.maximum(0, 1 - signs * scores).sum()
        true = proof.primal / best.primal - 1
        assert true * (1 - 1e-6) <= proof.eps < last
        last = proof.eps
    assert last < 0.01
    theirs: Any = cast("Callable[..., Any]", SVC)(C=1.0, gamma=0.5, tol=1e-8).fit(
        model[0].transform(X), y
    )
    a, held = theirs.dual_coef_[0], K[np.ix_(theirs.support_, theirs.support_)]
    least = np.maximum(0, 1 - signs * theirs.decision_function(model[0].transform(X))).sum()
    assert proof.dual <= a @ held @ a / 2 + least + 1e-9
    with pytest.raises(ValueError, match="must be Nystroem and CoresetSVC; found RBFSampler, Core"):
        certify_kernel(make_pipeline(RBFSampler(), CoresetSVC()), X, y)
    step: Any = model[-2]
    step.kernel = rbf_kernel
    with pytest.raises(ValueError, match="kernel must be a name"):
        certify_kernel(model, X, y)


def test_a_kernel_is_certified_from_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(900, 2))
    y = np.array(["a", "b", "c"])[np.digitize((X**2).sum(axis=1), [0.8, 2.5])]
    model: Any = make_pipeline(
        StandardScaler(), Nystroem(gamma=0.5, n_components=60, random_state=0),
        CoresetSVC(1.0, class_weight={"a": 2.0}),
    ).fit(X, y)  # fmt: skip
    u = rng.integers(0, 3, 900).astype(float)
    chunks = [(X[i : i + 170], y[i : i + 170], u[i : i + 170]) for i in range(0, 900, 170)]
    np.savez(tmp_path / "data.npz", X=X, y=y, sample_weight=u)
    # A few rows at a time: of blocks, of held points and of kernel values.
    for part, name, few in (("blocks", "ENTRIES", 6000), ("blocks", "LEAST_ROWS", 10),
                              ("kernels", "ENTRIES", 400)):  # fmt: skip
        monkeypatch.setattr(f"sipp_core.svm.{part}.{name}", few)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told: list[tuple[int, int, str]] = []
    first, *others = [
        certify_kernel(model, X, y, u, band=200),
        certify_kernel(model, chunks, band=200, progress=lambda *at: told.append(at)),
        certify_kernel(model, iter(chunks), band=200),
        certify_kernel(model, read_chunks(tmp_path / "data.npz"), band=200),
    ]
    assert len(first) == 3 and told[-1][0] == told[-1][1] > 0
    for other in others:
        assert [(a.primal, a.dual, a.w.tobytes()) for a in other] == [
            (a.primal, a.dual, a.w.tobytes()) for a in first
        ]
    assert not list(tmp_path.glob("sipp-svm-*")), "temporary files are gone"
    whole = certify_kernel(model, X, y, u)
    assert all(a.eps <= b.eps * (1 + 1e-6) < 0.5 for a, b in zip(whole, first, strict=True))
    for wrong, message in (
        (iter([]), "the stream holds no rows"),
        ([(X, y[:3])], "chunk 0 has 900 rows"),
        ([X], "chunk 0 must be"),
        (X, "y must be given with an array X"),
        ([(X, np.full(900, "d"))], "'d', which is not among"),
        ([(X[y == "a"], y[y == "a"])], "there must be two classes"),
    ):
        with pytest.raises(ValueError, match=message):
            certify_kernel(model, wrong)
    bare = model[1:]
    with pytest.raises(ValueError, match="X must have 2 columns before Nystroem; found 1"):
        certify_kernel(bare, X[:, :1], y)


def test_a_target_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4000, 2)), np.where(rng.random(4000) < 0.5, 1, -1)
    monkeypatch.setattr("sipp_core.svm.adaptive.ROUNDS", 1)
    with pytest.warns(ConvergenceWarning, match="above the target 1e-13"):
        model = CoresetSVC(target=1e-13, band=10, coreset_size=50, random_state=0).fit(X, y)
    assert model.certified_eps_ > 1e-13
    assert module.PER_DIMENSION * 2 < 4000


def test_a_stream_is_merged_and_reduced(data: tuple[np.ndarray, np.ndarray], best: float) -> None:
    X, y = data
    model = small()
    for start in range(0, N, 1000):
        model.partial_fit(X[start : start + 1000], y[start : start + 1000], classes=[-1, 1])
    (loose,) = model.certificates_
    (close,) = model.certify(X, y)
    assert loose.dual <= best and loose.primal >= close.primal
    assert close.eps < 0.05
    assert model._stream is not None
    held = model._stream.sample()
    assert len(held.weight) <= 1500 * 6, "logarithmic memory"
    assert held.weight.sum() == pytest.approx(N, rel=0.1)
    with pytest.raises(ValueError, match="y holds 3, which is not among the classes"):
        model.partial_fit(X[:2], [3, 1])


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda X, y: CoresetSVC().fit(X, np.ones(N)), "found one class, 1.0"),
        (lambda X, y: CoresetSVC(C=0).fit(X, y), "'C' parameter of CoresetSVC must be"),
        (lambda X, y: CoresetSVC().fit(X, y, -np.ones(N)), "[Nn]egative"),
        (
            lambda X, y: CoresetSVC().fit(X, y, np.zeros(N)),
            "sample_weight is 0 everywhere|non-zero",
        ),
        (lambda X, y: CoresetSVC().fit(X * [1, 1, np.nan, 1, 1], y), "contains NaN"),
        (lambda X, y: CoresetSVC(class_weight={7: 1.0}).fit(X, y), "names 7, which is no class"),
        (lambda X, y: CoresetSVC(class_weight={1: 0.0}).fit(X, y), "class_weight must be above 0"),
        (lambda X, y: CoresetSVC(C=10**400).fit(X, y), "C must be at most .* beyond float64"),
        (lambda X, y: CoresetSVC(target=10**400).fit(X, y), "target must be at most .* beyond"),
        (lambda X, y: CoresetSVC(class_weight={1: 10**400}).fit(X, y), "class_weight must be at"),
        (lambda X, y: CoresetSVC().fit(X, y, [10**400] * N), "sample_weight must be at most"),
        (lambda X, y: CoresetSVC().fit([[10**400]] * N, y), "X must be at most .* beyond float64"),
        (
            lambda X, y: CoresetSVC().fit_chunks(
                ArrayChunks(X, y, np.ones(N)), {-1: 10**400, 1: 1.0}
            ),
            "class_totals must be at most",
        ),
        (
            lambda X, y: CoresetSVC().fit_chunks(
                ArrayChunks(X, y, np.ones(N)), {-1: np.nan, 1: 1.0}
            ),
            "class_totals must be above 0 and finite",
        ),
        (lambda X, y: CoresetSVC().fit(X, X[:, 0]), "Unknown label type"),
        (lambda X, y: CoresetSVC().fit(1e120 * X, y), r"X must be at most 1e\+100 in size"),
        (lambda X, y: CoresetSVC(C=1e300).fit(X, y), "C times the sum of sample_weight must be"),
        (lambda X, y: CoresetSVC(C=1e-300).fit(X, y), "C times the sum of sample_weight must be"),
        (lambda X, y: CoresetSVC().fit_chunks(ArrayChunks(X, y, np.ones(N)), {}), "found none"),
        (
            lambda X, y: CoresetSVC().fit_chunks(ArrayChunks(X, y, np.ones(N)), {1: 1.0, 2: 1.0}),
            "y holds -1, which is not among",
        ),
        (lambda X, y: CoresetSVC().partial_fit(X, y), "classes must be passed"),
        (
            lambda X, y: CoresetSVC(class_weight="balanced").partial_fit(X, y, [-1, 1]),
            "needs all labels",
        ),
    ],
)
def test_bad_input_is_refused_by_name(
    data: tuple[np.ndarray, np.ndarray], fit: Callable[..., Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(*data)


def test_a_stream_of_one_class_is_not_fitted_yet(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    model = small().partial_fit(X[y > 0][:50], y[y > 0][:50], [-1, 1])
    with pytest.raises(NotFittedError):
        model.predict(X[:2])
    with pytest.raises(NotFittedError):
        save_model(model, "none.safetensors")
    other = model.partial_fit(X[:500].astype(np.float32), y[:500])
    assert len(other.predict(X[:2])) == 2


def test_types_that_users_have() -> None:
    rng = np.random.default_rng(3)
    y = np.where(rng.random(4000) < 0.4, "yes", "no")
    X = np.round(20 * rng.normal(size=(4000, 2))).clip(-127, 127)
    X[:, 0] = (X[:, 0] + 20 * (y == "yes")).clip(-127, 127)

    def fitted(X: Any, y: Any = y) -> CoresetSVC:
        return CoresetSVC(1e-3, band=300, coreset_size=300, random_state=0).fit(X, y)

    want = fitted(X).coef_.tobytes()
    fixed = X.copy()
    fixed.setflags(write=False)
    for same in (np.asfortranarray(X), fixed, X.astype(np.int8), X.astype(np.float16)):
        assert fitted(same).coef_.tobytes() == want
    assert fitted(X, y.astype(object)).coef_.tobytes() == want
    rare = [fitted(kind(X)).coef_ for kind in (sparse.csr_array, sparse.csc_matrix)]
    assert rare[0].tobytes() == rare[1].tobytes()
    twins = np.repeat([[1.0, 2.0], [2.0, 1.0]], 20, axis=0)
    assert fitted(twins, y[:40]).certified_eps_ < 1e-6


@pytest.mark.parametrize("C", [1e-30, 1e-8, 1e8])
def test_any_penalty_is_certified_or_said(data: tuple[np.ndarray, np.ndarray], C: float) -> None:
    X, y = data[0][:2000], data[1][:2000]
    assert CoresetSVC(C).fit(X, y).certified_eps_ < 1e-3


def test_degenerate_columns_and_wide_data() -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(20, 60)), np.where(np.arange(20) % 2, 1, -1)
    assert CoresetSVC().fit(X, y).certified_eps_ < 1e-6
    X = np.column_stack([np.ones(20), X[:, :2], np.zeros(20)])
    assert CoresetSVC().fit(X, y).certified_eps_ < 1e-6

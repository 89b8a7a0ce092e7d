"""SV-0 and SV-10: solver against libsvm, certificates against the optimum, refusals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sklearn.svm import SVC

from sipp_theory.svm import (
    group_means,
    jensen_certificate,
    solve_svm,
    svm_dual,
    svm_objective,
)


def drawn(rng: np.random.Generator, n: int = 40, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    y = np.where(rng.random(n) < 0.4, 1.0, -1.0)
    y[:2] = 1, -1
    X = rng.normal(size=(n, d))
    X[:, 0] += y
    return X, y


@pytest.mark.parametrize("C", [1e-3, 0.1, 10.0, 1e3])
def test_the_solver_agrees_with_libsvm(C: float) -> None:
    X, y = drawn(np.random.default_rng(0), 120)
    weight = np.random.default_rng(1).gamma(1, 1, 120)
    found = solve_svm(X, y, C, weight)
    theirs = SVC(C=C, kernel="linear", tol=1e-6).fit(X, y, weight)
    value = svm_objective(theirs.coef_[0], float(theirs.intercept_[0]), X, y, C, weight)
    assert found.eps < 1e-8
    assert found.dual <= value and found.primal <= value * (1 + 1e-8)


@pytest.mark.parametrize("shape", [(1, 1), (30, 4), (5, 40)])
def test_the_solver_takes_any_shape(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    X, y = drawn(rng, max(shape[0], 2), shape[1])
    for C in (1e-3, 1.0, 1e3):
        assert solve_svm(X, y, C).eps < 1e-7


def test_weights_are_repeats_and_zeros_are_absent() -> None:
    X, y = drawn(np.random.default_rng(4))
    weight = np.array([0.0, 2.0, 1.0, 3.0] * 10)
    weight[:2] = 1
    plain = solve_svm(np.repeat(X, weight.astype(int), axis=0), np.repeat(y, weight.astype(int)), 1)
    assert abs(solve_svm(X, y, 1.0, weight).primal / plain.primal - 1) < 1e-8


def test_no_certificate_is_below_the_truth() -> None:
    rng = np.random.default_rng(5)
    for number in range(60):
        X, y = drawn(rng, int(rng.integers(4, 60)), int(rng.integers(1, 6)))
        X *= 10.0 ** rng.integers(-2, 3, X.shape[1])
        weight = rng.gamma(0.5, 1, len(y)) * (rng.random(len(y)) < 0.9)
        weight[:2] = 1
        C = float(10.0 ** rng.uniform(-3, 3))
        best = solve_svm(X, y, C, weight)
        # The solver's own gap, where rounding leaves one.
        for w, b in ((best.w, best.b), (best.w * 1.1, best.b), (rng.normal(size=X.shape[1]), 0.3)):
            at = jensen_certificate(w, b, X, y, C, weight, singles=int(rng.integers(0, 20)))
            assert at.dual <= best.primal, number
            assert at.primal >= svm_objective(w, b, X, y, C, weight) * (1 - 1e-12)
            assert (1 + at.eps) * best.primal >= at.primal * (1 - 1e-14)


def test_all_singles_give_the_truth_and_a_bad_partition_less() -> None:
    X, y = drawn(np.random.default_rng(6))
    best = solve_svm(X, y, 1.0)
    w = best.w * 1.2
    true = svm_objective(w, best.b, X, y, 1.0) / best.primal - 1
    assert jensen_certificate(w, best.b, X, y, 1.0).eps == pytest.approx(true, rel=1e-6)
    loose = jensen_certificate(w, best.b, X, y, 1.0, groups=(y > 0).astype(int))
    assert loose.eps > true and loose.groups == 2


def test_values_are_on_the_safe_side_of_exact_rationals() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        X, y = drawn(rng, 8, 3)
        w, b, C = rng.normal(size=3), float(rng.normal()), float(rng.gamma(1))
        fx = [[Fraction(v) for v in row] for row in X]
        fw, fb = [Fraction(v) for v in w], Fraction(b)
        hinge = sum(
            max(
                Fraction(0),
                1 - Fraction(t) * (sum(p * q for p, q in zip(row, fw, strict=True)) + fb),
            )
            for row, t in zip(fx, y, strict=True)
        )
        exact = sum(v * v for v in fw) / 2 + Fraction(C) * hinge
        assert Fraction(svm_objective(w, b, X, y, C)) >= exact
        best = solve_svm(X, y, C)
        assert Fraction(svm_dual(best.alpha, X, y, C)) <= exact


def test_refusals_name_the_culprit() -> None:
    X, y = drawn(np.random.default_rng(8))
    for wrong, message in (
        (lambda: solve_svm(X, y, 0.0), "C must be above 0; found 0.0"),
        (lambda: solve_svm(X, np.ones(40), 1.0), "two classes; found no point of class -1"),
        (lambda: solve_svm(X, y * 2, 1.0), "y must be -1 or 1"),
        (lambda: solve_svm(X, y, 1.0, -np.ones(40)), "sample_weight must be at least 0"),
        (lambda: solve_svm(np.full((40, 2), np.nan), y, 1.0), "X must be finite"),
        (lambda: svm_objective([1.0], 0.0, X, y, 1.0), "w must have 3 entries"),
        (lambda: group_means(X, y, 1.0, np.zeros(40)), "group 0 holds both"),
        (lambda: svm_dual([1.0], X, y, 1.0), "alpha must have 40 entries"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()

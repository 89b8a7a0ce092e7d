"""MS-1 to MS-5 at their edges: zeros, single entries, large sides, refusals; the rest: ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sipp_theory import (
    ENTRY_KINDS,
    closed_moments,
    draw_moments,
    entry_probabilities,
    rank_floor,
    sparse_floor,
    spectral_error,
    spectral_failure,
    spectral_size,
)
from sipp_theory.matrices import sparsification


@pytest.mark.parametrize("kind", ENTRY_KINDS)
def test_a_matrix_of_zeros_needs_no_draw(kind: str) -> None:
    zeros = np.zeros((2, 3))
    p = entry_probabilities(zeros, kind)
    assert not p.any()
    for one in (draw_moments(zeros, p), closed_moments(zeros, kind)):
        assert (one.variance, one.span, one.norm, one.dimension) == (0, 0, 0, 5)
        given = (one.variance, one.span, one.dimension)
        assert spectral_size(*given, 0.1, 0.1) == spectral_error(*given, 7, 0.1) == 0
        assert spectral_failure(*given, 7, 0.0) == 0


@pytest.mark.parametrize("kind", ENTRY_KINDS)
def test_a_single_entry_is_drawn_for_certain(kind: str) -> None:
    one = draw_moments([[-3.0]], entry_probabilities([[-3.0]], kind))
    assert 0 <= one.variance < 1e-11 and one.span == pytest.approx(2) and one.norm == 3


def test_a_side_too_large_for_eigenvalues_is_bounded_from_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 30))
    p = entry_probabilities(matrix, "l1")
    exact = draw_moments(matrix, p)
    monkeypatch.setattr(sparsification, "EXACT_SIDE", 10)
    bound = draw_moments(matrix, p)
    assert exact.variance < bound.variance <= exact.variance + 1 + 1e-9
    assert bound.span == exact.span


def test_squares_let_the_smallest_entry_ruin_the_bound_and_the_mixture_does_not() -> None:
    matrix = np.random.default_rng(1).normal(size=(30, 40))
    matrix[0, 0] = 1e-9
    spans = {k: draw_moments(matrix, entry_probabilities(matrix, k)).span for k in ENTRY_KINDS}
    assert spans["l2"] > 1e6 * spans["l1"]
    assert spans["l1"] <= spans["mixture"] <= 2 * spans["l1"]


def test_the_best_of_a_rank_is_no_floor_for_sparse_matrices() -> None:
    """The identity has as many entries as a factorisation of rank 1/2 has numbers."""
    identity = np.eye(6)
    assert rank_floor(identity, 0) == rank_floor(identity, 5) == pytest.approx(1)
    assert sparse_floor(identity, 6) == 0 and sparse_floor(identity, 5) == 1
    assert rank_floor(identity, 6) == rank_floor(np.zeros((2, 2)), 0) == 0


def test_probability_one_where_nothing_can_be_said() -> None:
    assert spectral_failure(1.0, 2.0, 4, 0, 0.5) == 1
    assert spectral_failure(1.0, 2.0, 4, 9, 0.0) == 1
    assert spectral_failure(1.0, 2.0, 4, [1, 10_000], 0.5).shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: entry_probabilities([[1.0]], "l3"), "kind must be one of uniform.*found 'l3'"),
        (lambda: entry_probabilities([[1.0]], "mixture", 1.0), "alpha must lie.*found 1.0"),
        (lambda: entry_probabilities([1.0], "l1"), r"rows and columns; found shape \(1,\)"),
        (lambda: entry_probabilities([[np.nan]], "l1"), r"matrix must be finite; found nan"),
        (lambda: draw_moments([[1.0, 2.0]], [[1.0]]), r"matrix's shape \(1, 2\); found \(1, 1\)"),
        (lambda: draw_moments([[1.0, 2.0]], [[0.5, 0.4]]), "must add up to 1; found 0.9"),
        (lambda: draw_moments([[1.0, 2.0]], [[1.0, 0.0]]), r"positive.*found 0 at \(0, 1\)"),
        (lambda: draw_moments([[1.0]], [[-1.0]]), r"probabilities must be at least 0"),
        (lambda: closed_moments([[1.0]], "l3"), "kind must be one of"),
        (lambda: spectral_error(-1.0, 1.0, 2, 3, 0.1), r"variance must be at least 0; found -1"),
        (lambda: spectral_error(1.0, np.nan, 2, 3, 0.1), r"span must be finite; found nan"),
        (lambda: spectral_error(1.0, 1.0, 1, 3, 0.1), r"dimension must be at least 2; found 1"),
        (lambda: spectral_size(1.0, 1.0, 2.5, 0.1, 0.1), r"dimension must be a whole number"),
        (lambda: spectral_failure(1.0, 1.0, 2, 3, -0.1), r"eps must be at least 0; found -0.1"),
        (lambda: rank_floor([[1.0]], -1), r"rank must be at least 0; found -1"),
        (lambda: sparse_floor([[1.0]], 0.5), r"kept must be a whole number; found 0.5"),  # type: ignore[arg-type]
        (lambda: rank_floor([[]], 0), r"found shape \(1, 0\)"),
    ],
)
def test_bad_input_is_refused_by_name(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

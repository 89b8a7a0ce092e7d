"""CT-8: what leaves 1 +- eps, and which budget is proved."""

from __future__ import annotations

import numpy as np
import pytest

from sipp_theory import LeastBudget, fixed_sequence, least_budget, leaves_entrywise


def test_every_entry_must_stay() -> None:
    before = np.array([[1.0, -2.0], [1.0, -2.0], [0.0, 1.0], [0.0, 1.0]])
    after = np.array([[1.2, -1.6], [1.2, -1.5], [0.0, 1.0], [1e-300, 1.0]])
    assert leaves_entrywise(before, after, 0.21).tolist() == [False, True, False, True]


def test_what_cannot_be_told_leaves() -> None:
    assert leaves_entrywise([[1.0]], [[1.25]], 0.25).tolist() == [True]
    assert leaves_entrywise([[1.0]], [[1.25 * (1 - 1e-14)]], 0.25).tolist() == [False]
    assert leaves_entrywise([[np.nan], [1.0]], [[1.0], [np.inf]], 0.5).tolist() == [True, True]


def test_shapes_of_any_rank() -> None:
    values = np.ones((3, 2, 4))
    moved = values.copy()
    moved[1, 1, 2] = 3
    assert leaves_entrywise(values, moved, 0.5).tolist() == [False, True, False]
    assert leaves_entrywise(np.ones(2), np.array([1.0, 3.0]), 0.5).tolist() == [False, True]


def test_the_least_budget_is_the_last_of_the_sequence() -> None:
    counts = [0, 1, 60, 0]
    result = least_budget(counts, [8, 4, 2, 1], 200, 0.05, 0.99)
    assert result.index == fixed_sequence(counts, 200, 0.05, 0.99).last == 1
    assert result.budget == 4 and result.failure <= 0.05


def test_none_is_said() -> None:
    result = least_budget([60], [8.0], 200, 0.05, 0.99)
    assert result == LeastBudget(-1, float("inf"), 1.0, result.level)
    assert least_budget([0], [8.0], 50, 0.05, 0.99).index == -1


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: leaves_entrywise([[1.0]], [[1.0, 2.0]], 0.1), "outputs"),
        (lambda: leaves_entrywise(1.0, 1.0, 0.1), "outputs"),
        (lambda: leaves_entrywise([[1.0]], [[1.0]], 0.0), "eps"),
        (lambda: least_budget([0, 0], [1.0, 2.0], 9, 0.1, 0.9), "budgets"),
        (lambda: least_budget([0], [2.0, 1.0], 9, 0.1, 0.9), "budgets"),
        (lambda: least_budget([10], [2.0], 9, 0.1, 0.9), "violations"),
        (lambda: least_budget([1], [2.0], 9, 1.0, 0.9), "delta"),
    ],
)
def test_refusals(call, names) -> None:
    with pytest.raises(ValueError, match=names):
        call()

"""ES-5 and ES-6: edges, inverses and what is refused; roots and coverage are in proofs_check."""

import numpy as np
import pytest

from sipp_theory.sensitivity.scenario import (
    scenario_points,
    scenario_support,
    scenario_violation,
    wait_and_judge_violation,
)


def test_quoted_numbers_and_edges():
    assert round(float(scenario_violation(500, 20, 0.05)), 4) == 0.0553
    assert round(float(wait_and_judge_violation(1000, 194, 0.05)), 3) == 0.236
    assert scenario_violation([3, 3, 0], [3, 0, 1], 0.1).tolist() == [1, 0, 1]
    assert wait_and_judge_violation([5, 0], [5, 0], 0.1).tolist() == [1, 1]


def test_wait_and_judge_is_monotone_and_vectorised():
    k = np.arange(0, 101)
    bound = wait_and_judge_violation(100, k, 0.05)
    assert (np.diff(bound) > 0).all()
    large = wait_and_judge_violation(10**6, [0, 10**5, 10**6 - 1], 1e-6)
    assert large[0] < 1e-4 and 0.1 < large[1] < 0.103 and large[2] <= 1


def test_support_counts_points_and_breaks_ties_by_order():
    assert scenario_support([[1, 0.2], [0.5, 0.9]]) == 2
    assert scenario_support([[1, 1], [1, 1]]) == 1
    assert scenario_support(np.zeros((3, 2))) == 0
    assert scenario_support(np.zeros((0, 2))) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: scenario_violation(-1, 2, 0.1), "points"),
        (lambda: scenario_violation(10, 2.5, 0.1), "dimension"),
        (lambda: scenario_violation(10, 2, 1.0), "beta"),
        (lambda: wait_and_judge_violation(10, 11, 0.1), "support"),
        (lambda: scenario_support([1.0]), "two dimensions"),
        (lambda: scenario_points(3, 0.0, 0.1), "violation"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

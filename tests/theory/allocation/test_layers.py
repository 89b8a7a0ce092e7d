"""AL-3: every layer counts alike; what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sipp_theory


def test_it_is_al1_with_the_authors_coefficients() -> None:
    total, room, width = np.array([1.0, 7.0, 30.0, 0.0]), np.array([5.0, 40, 400, 0]), [2, 2, 50, 2]
    log = np.log(8 * 10 * 9 / 1e-16)
    scale = 2 * 3 * total * log
    expected = sipp_theory.allocate(scale / 6, scale / 4, room, 60, 1 / np.array(width))
    got = sipp_theory.allocate_by_layer(total, room, width, 60, patches=9, kernel=9)
    np.testing.assert_allclose(got.sizes, expected.sizes, rtol=1e-9)
    assert got.sizes.sum() == pytest.approx(60) and got.sizes[3] == 0
    np.testing.assert_allclose(
        got.errors[:3], sipp_theory.heuristic_error(total[:3], got.sizes[:3], 1e-16, 9, 9, 3.0)
    )


def test_a_budget_for_all_keeps_all() -> None:
    got = sipp_theory.allocate_by_layer([2.0, 9.0], [3, 8], [1, 5], 100)
    assert got.sizes.tolist() == [3, 8] and got.multiplier == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sensitivity_sum": [0.5]}, "sensitivity_sum"),
        ({"neurons": 0}, "neurons"),
        ({"patches": 0}, "patches"),
        ({"kernel": 0.5}, "kernel"),
        ({"delta": 0.0}, "delta"),
        ({"coverage_factor": 0.5}, "coverage_factor"),
        ({"budget": -1.0}, "budget"),
        ({"capacity": [[1.0]]}, r"must be \(k,\)"),
    ],
)
def test_it_refuses_by_name(change: dict[str, Any], message: str) -> None:
    usual = {"sensitivity_sum": [2.0], "capacity": [9.0], "neurons": 3, "budget": 4.0}
    with pytest.raises(ValueError, match=message):
        sipp_theory.allocate_by_layer(**usual | change)

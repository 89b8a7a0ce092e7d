"""AL-1 and AL-2 at their edges: dead pairs, wide ranges, ties; the evidence is in the ledger."""

import numpy as np
import pytest

from sipp_theory.allocation.allocation import (
    allocate,
    allocate_for_errors,
    allocate_for_total,
    round_allocation,
)
from sipp_theory.allocation.pair import bernstein_coefficients


def test_edge_pairs():
    b, v = np.array([1.0, 0.0, 1.0, 1.0, 2.0]), np.array([3.0, 0.0, 3.0, 3.0, 0.0])
    cap, weight = np.array([50.0, 50, 0, 50, 50]), np.array([1.0, 1, 1, 0, 1])
    got = allocate(b, v, cap, 20, weight)
    assert got.sizes[1:4].tolist() == [0, 0, 0] and (got.sizes[[0, 4]] > 0).all()
    assert got.errors[1] == 0 and got.errors[2] == got.errors[3] == np.inf
    assert got.objective == np.inf  # an important pair without room
    assert np.isfinite(allocate(b, v, cap + 1, 20, weight).objective)
    slack = allocate(b, v, 5.0, 1000, weight)
    assert slack.sizes.tolist() == [5, 0, 5, 0, 5] and slack.multiplier == 0
    none = allocate(b, v, cap, 0, weight)
    assert none.sizes.sum() == 0 and none.objective == np.inf
    assert allocate([], [], [], 3).sizes.size == 0


def test_wide_ranges_and_many_pairs():
    rng = np.random.default_rng(0)
    wide = 10.0 ** rng.uniform(-30, 30, 50)
    got = allocate(np.ones(50), 10.0 ** rng.uniform(-20, 10, 50), 100.0, 500, wide)
    assert got.sizes.sum() == pytest.approx(500, rel=1e-10)
    many = 100_000
    b, v = bernstein_coefficients(1 + rng.gamma(1, 8, many), 0.01)
    got = allocate(b, v, 400.0, 4e6)
    assert got.sizes.sum() == pytest.approx(4e6, rel=1e-10)
    assert np.array_equal(got.sizes, allocate(b, v, 400.0, 4e6).sizes)


def test_coefficients_are_bernsteins():
    b, v = bernstein_coefficients([0.0, 1.0, 9.0], 0.05, [1.0, 1.0, 3.0])
    log = np.log(40)
    np.testing.assert_allclose(b, [0, log / 3, 26 * log / 3])
    np.testing.assert_allclose(v, [0, 0, 26 * log])


def test_rounding_ties_and_extremes():
    assert round_allocation([0.5, 0.5, 0.5, 0.5], 9, 2).tolist() == [1, 1, 0, 0]
    assert round_allocation([1.5, 1.5], 9, 3).tolist() == [2, 1]
    crowd = np.append(np.full(20_000, 1e-6), 1e6)
    whole = round_allocation(crowd, np.append(np.ones(20_000), 2e6), 1e6)
    assert whole.sum() == 1e6 and (whole >= 1).all()
    assert round_allocation(np.zeros(3), 100, 250).sum() == 250


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: allocate([-1.0], [1.0], [1.0], 1), "linear"),
        (lambda: allocate([1.0], [1.0], [1.0], np.nan), "budget"),
        (lambda: allocate(1.0, 1.0, 1.0, 1), "must be"),
        (lambda: allocate_for_errors(1, 1, 0.0), "eps"),
        (lambda: allocate_for_total([1.0], [1.0], 1.0, 0.01, [2.0]), "at least"),
        (lambda: round_allocation([-1.0], 1, 1), "real"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

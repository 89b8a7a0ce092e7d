"""SP-1 in budget form: distinct weights at 50 digits, the nearest number of draws, edges."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipp_theory.draws.distinct_weights import MOST_DRAWS, draws_for_distinct, expected_distinct


@pytest.mark.parametrize("m", [1, 1e3, 1e9, 1e15, 0.5])
def test_expectation_at_50_digits(m):
    q = np.array([0.9, 0.1 - 1e-3, 1e-3 - 2e-15, 1e-9, 1e-15, 0.0])
    with mp.workdps(50):
        expected = mp.fsum(-mp.expm1(mp.mpf(m) * mp.log1p(-mp.mpf(float(x)))) for x in q)
        assert abs(mp.mpf(float(expected_distinct(q, m))) / expected - 1) < 1e-12


def test_tiny_probabilities_do_not_cancel():
    """1 - (1 - q)^m is 0 in plain float64 for q = 1e-20; the expectation is m q."""
    assert float(expected_distinct([1e-20, 0.0], 1000)) == pytest.approx(1e-17, rel=1e-12)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.floats(0.05, 0.98))
def test_draws_are_the_nearest_by_brute_force(weights, fraction):
    q = np.array(weights) / np.sum(weights)
    target = fraction * q.size
    grid = np.arange(1, 20_000)
    gaps = np.abs(expected_distinct(q[None], grid) - target)
    got = int(draws_for_distinct(q, target))
    if got < grid[-1]:
        assert gaps[got - 1] <= gaps.min() + 1e-9
    else:
        assert gaps.argmin() == gaps.size - 1


def test_broadcasting_and_edges():
    q = [[0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 0.0]]
    assert expected_distinct(q, [0, 1, 5]).tolist() == [0, 1, 0]
    got = draws_for_distinct(q, [1.0, 1.0, 1.0])
    assert got.dtype == np.float64 and got.tolist() == [1, 1, 0]
    assert draws_for_distinct(q, 1.5).shape == (3,)
    assert draws_for_distinct(q[0], 0.0) == 0
    assert draws_for_distinct(q[0], 1e-9) == 1
    # What no number of draws can reach is answered by the most that a sampler may be asked for.
    assert MOST_DRAWS - 1 <= draws_for_distinct(q[0], 3.0) <= MOST_DRAWS
    assert expected_distinct([1.0, 0.0], 0) == 0 and expected_distinct([1.0, 0.0], 7) == 1
    assert isinstance(expected_distinct([0.5, 0.5], 2), np.float64)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: expected_distinct([0.5, -0.5], 1), r"probabilities.*-0\.5 at index 1"),
        (lambda: expected_distinct([0.5, 1.5], 1), r"probabilities must not exceed 1; found 1\.5"),
        (lambda: expected_distinct([0.5, np.nan], 1), "probabilities must be finite; found nan"),
        (lambda: expected_distinct([0.5, 0.5], -1), r"m must be at least 0; found -1\.0"),
        (lambda: draws_for_distinct([0.5, 0.5], -1), r"target must be at least 0; found -1\.0"),
        (lambda: draws_for_distinct([0.5, 0.5], np.inf), "target must be finite; found inf"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

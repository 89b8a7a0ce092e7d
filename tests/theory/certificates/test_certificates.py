"""CT-1 to CT-3 at their edges: vacuous, ties, shapes; the evidence is in the ledger."""

import mpmath as mp
import numpy as np
import pytest

from sipp_theory.certificates.certificates import (
    clopper_pearson,
    error_quantile,
    fixed_sequence,
    points_needed,
    tolerance_rank,
    violation_bound,
)


def cdf(k, n, p):
    with mp.workdps(50):
        p = mp.mpf(float(p))
        return mp.fsum(mp.binomial(n, i) * p**i * (1 - p) ** (n - i) for i in range(int(k) + 1))


def test_vacuous_and_vectorised():
    assert violation_bound([0, 5], [0, 5], 0.9).tolist() == [1, 1]
    low, high = clopper_pearson([0, 0], [0, 5], 0.9)
    assert low.tolist() == [0, 0] and high[0] == 1
    bound = violation_bound(np.arange(11)[:, None], 10, [0.9, 0.99])
    assert bound.shape == (11, 2)
    assert (np.diff(bound, axis=0) > 0).all() and (bound[:-1, 0] < bound[:-1, 1]).all()


def test_ties_are_settled_exactly():
    assert points_needed(0.5, [0.5, 0.75, 0.875]).tolist() == [1, 2, 3]
    assert points_needed(0.05, [0.95, 0.99]).tolist() == [59, 90]
    assert tolerance_rank(0, 0.5, 0.5) == 0


def test_error_quantile_edges():
    assert error_quantile([0.1] * 58, 0.05, 0.95) == np.inf
    assert error_quantile([0.1] * 58 + [np.inf], 0.05, 0.95) == np.inf
    assert error_quantile(np.arange(59)[::-1], 0.05, 0.95) == 58


def test_fixed_sequence_stops_at_the_first_failure():
    result = fixed_sequence([0, 2, 50, 0], 300, 0.05, 0.99)
    assert result.last == 1 and result.level == 1 - 0.99
    assert result.p_values.shape == (4,)
    for p, k in zip(result.p_values, [0, 2, 50, 0], strict=True):
        assert float(p) == pytest.approx(float(cdf(k, 300, 0.05)), rel=1e-10)
    assert fixed_sequence([9], 100, 0.05, 0.95).last == -1
    assert fixed_sequence([0, 0], [10, 1000], 0.05, 0.95).last == -1
    assert fixed_sequence([0], 0, 0.05, 0.95).last == -1
    assert fixed_sequence(np.zeros(0), 100, 0.05, 0.95).last == -1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: violation_bound(3, 2, 0.9), "exceed n"),
        (lambda: violation_bound(0.5, 2, 0.9), "violations"),
        (lambda: clopper_pearson(1, 2, 1.0), "confidence"),
        (lambda: tolerance_rank(10, 0.0, 0.9), "delta"),
        (lambda: error_quantile([np.nan], 0.1, 0.9), "NaN"),
        (lambda: error_quantile(1.0, 0.1, 0.9), "dimension"),
        (lambda: fixed_sequence(3, 10, 0.1, 0.9), "violations"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

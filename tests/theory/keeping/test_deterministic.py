"""SP-6, SP-7, SP-9: batches, arguments and degenerate cases; the claims are in the ledger."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sipp_theory.keeping.deterministic import (
    deterministic_size,
    dropped_share,
    dropped_share_bound,
    keep_most_sensitive,
    recentring,
)
from sipp_theory.keeping.hybrid_and_signs import combine_signs, hybrid_error


def test_alternatives_are_vectorised():
    g = np.random.default_rng(1).dirichlet(np.full(6, 0.4), 5)
    keep = np.random.default_rng(2).random((4, 6)) < 0.5
    one_by_one = [dropped_share(g, k) for k in keep]
    np.testing.assert_allclose(dropped_share(g, keep), one_by_one, rtol=1e-14)


# The smallest numbers of all are where a relative charge rounds away.
SHARES = st.floats(0, 1) | st.integers(0, 9).map(lambda units: units * 2.0**-1074)


@given(st.data(), st.integers(1, 4), st.integers(0, 9), st.floats(1, 50))
def test_the_bound_of_the_pruner_is_never_below_the_exact_sum(data, out, k, factor):
    """min(1, C sum of the dropped s) in rational numbers, a row a neuron; 1e-13 above at most."""
    s = data.draw(arrays.arrays(np.float64, (out, k), elements=SHARES))
    keep = data.draw(arrays.arrays(np.bool_, (out, k)))
    bound = dropped_share_bound(s, keep, factor)
    assert bound.shape == (out,)
    for row, kept, value in zip(s, keep, bound.tolist(), strict=True):
        total = sum((Fraction(float(x)) for x in row[~kept]), Fraction(0)) * Fraction(factor)
        exact = min(total, Fraction(1))
        assert exact <= Fraction(value) <= exact * Fraction(1 + 1e-13) + Fraction(2, 2**1074)
        assert (value == 0) == (exact == 0)


def test_batches_dead_weights_and_ties():
    s = np.array([[0.9, 0.1, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]])
    assert deterministic_size(s, 0.05).tolist() == [2, 4]
    assert deterministic_size(s, [0.2, 0.6]).tolist() == [1, 3]
    assert deterministic_size(np.zeros(3), 0.1) == 0
    assert keep_most_sensitive(s, [1, 2]).tolist() == [
        [True, False, False, False],
        [True, True, False, False],
    ]


def test_combined_signs_at_infinite_cancellation():
    assert combine_signs(0.1, np.inf) == np.inf
    assert combine_signs(0.0, np.inf) == 0
    assert combine_signs(0.1, np.inf, 0.0) == np.inf
    assert combine_signs(np.inf, 1.0, np.inf) == np.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dropped_share([[1.5]], [True]), "shares"),
        (lambda: dropped_share([[0.5, 0.5]], [True]), "last dimension 2"),
        (lambda: dropped_share(np.zeros((0, 1)), [True]), "n >= 1"),
        (lambda: dropped_share_bound([0.5], [True], 0.5), "coverage_factor"),
        (lambda: recentring(-0.1), "dropped"),
        (lambda: deterministic_size([0.5], 0.0), "eps"),
        (lambda: deterministic_size([0.5], 0.1, shares=[[0.5, 0.5]]), "sensitivity"),
        (lambda: keep_most_sensitive([0.5], 2), "size"),
        (lambda: hybrid_error(np.nan, 1), "sampled"),
        (lambda: combine_signs(0.1, 0.5), "delta_ratio"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_masks_must_be_boolean():
    with pytest.raises(TypeError, match="keep"):
        dropped_share([[0.5, 0.5]], [1, 0])


@pytest.mark.parametrize("share", [5e-324, 1e-300, 1e-20, 1.2e-16, 2.3e-16, 1e-8, 0.1, 0.7, 1.0])
def test_recentring_promises_the_error_of_the_factor_as_rounded(share):
    result = recentring(share)
    factor, lost = Fraction(float(result.factor)), Fraction(share)
    worst = max(factor - 1, 1 - factor * (1 - lost), (1 - lost) * factor - 1)
    assert (
        worst
        <= Fraction(float(result.error))
        <= worst * (1 + Fraction(1, 10**14)) + Fraction(5e-323)
    )

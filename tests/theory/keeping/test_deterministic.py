"""SP-6, SP-7, SP-9: batches, arguments and degenerate cases; the claims are in the ledger."""

import numpy as np
import pytest

from sipp_theory.keeping.deterministic import deterministic_size, keep_most_sensitive, recentring
from sipp_theory.keeping.dropped_share import dropped_share, dropped_share_bound
from sipp_theory.keeping.hybrid_and_signs import combine_signs, hybrid_error


def test_alternatives_are_vectorised():
    g = np.random.default_rng(1).dirichlet(np.full(6, 0.4), 5)
    keep = np.random.default_rng(2).random((4, 6)) < 0.5
    one_by_one = [dropped_share(g, k) for k in keep]
    np.testing.assert_allclose(dropped_share(g, keep), one_by_one, rtol=1e-14)


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

"""NT-1 to NT-4: edges, the inverses, and refusals. The ledger has more."""

import numpy as np
import pytest

from sipp_theory import (
    cascade_error,
    parallel_error,
    parallel_split,
    recovery_failure,
    recovery_samples,
    retrim_error,
)


def test_nothing_added_is_nothing_promised():
    assert retrim_error(0.0) == 0
    assert parallel_error([0.0, 0.0], [3.0, 7.0]).tolist() == [0, 0]
    assert cascade_error(0.0, [4.0, 1e300]).tolist() == [0, 0, 0]
    assert cascade_error(2.0, []).tolist() == [2]


def test_link_normalised_errors_add_up():
    assert parallel_error([1.0, 2.0, 4.0]).tolist() == pytest.approx([1, 3, 7])
    assert cascade_error(2.0, [1.0, 1.0]).tolist() == [2, 2, 2]
    assert parallel_error([[1.0, 0.0], [0.0, 5.0]]).tolist() == [[1, 1], [0, 5]]


def test_a_split_spends_the_error_and_no_more():
    rng = np.random.default_rng(5)
    norms, shares = 10 ** rng.uniform(-2, 2, (40, 5)), rng.random((40, 5)) + 0.01
    for parts in (None, shares):
        spent = parallel_error(parallel_split(2.5, norms, parts), norms)[:, -1]
        assert (spent <= 2.5).all() and (spent > 2.5 * (1 - 1e-12)).all()


@pytest.mark.parametrize(("s", "n", "mu"), [(0, 2, 1.5), (3, 100, 2.0), (50, 785, 1.01)])
def test_samples_and_failure_are_inverses(s, n, mu):
    count = recovery_samples(s, n, mu)
    assert count == np.ceil(count)
    assert recovery_failure(count, s, n) <= n ** (1 - mu) * (1 + 1e-12)
    assert recovery_failure(count - 2, s, n) > n ** (1 - mu) * (1 - 1e-9)


def test_vacuous_is_said_so():
    assert recovery_failure(recovery_samples(3, 100, 1.0) - 1, 3, 100) == 1
    assert recovery_failure([0, 10, 1e6], 3, 100).tolist()[:2] == [1, 1]
    assert parallel_error([1e200, 1e200], [1.0, 1e200])[1] == np.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: retrim_error(-1.0), "eps"),
        (lambda: retrim_error(1.0, np.nan), "overshoot"),
        (lambda: parallel_error(1.0), "one entry a layer"),
        (lambda: parallel_error([1.0], [-1.0]), "norms"),
        (lambda: parallel_split(0.0, [1.0]), "error"),
        (lambda: parallel_split(1.0, 2.0), "norms must have one entry a layer"),
        (lambda: cascade_error(1.0, [0.5]), "gammas must be at least 1"),
        (lambda: cascade_error(1.0, 2.0), "gammas must have one entry a layer"),
        (lambda: recovery_samples(5, 4, 2.0), "sparsity must not exceed weights"),
        (lambda: recovery_samples(1, 1, 2.0), "weights"),
        (lambda: recovery_samples(1, 4, 0.0), "mu"),
        (lambda: recovery_failure(-1, 1, 4), "samples"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

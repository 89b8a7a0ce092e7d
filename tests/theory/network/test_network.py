"""NW-1 to NW-5: infinite cancellation, vacuous sizes, arguments. The ledger has the rest."""

from fractions import Fraction

import numpy as np
import pytest

from sipp_theory.network.cancellation import delta_hat, delta_ratio, kappa
from sipp_theory.network.network import (
    compose,
    corenet_network_size,
    corenet_network_size_bound,
    corenet_split,
    log_split,
)


def test_infinite_cancellation():
    assert compose([0.0, 0.1], [np.inf, 2.0]).tolist() == pytest.approx([0, 0.2])
    assert compose([0.1, 0.1], [np.inf, 2.0]).tolist() == [np.inf, np.inf]
    assert compose([[0.1], [0.2]], [2.0]).ravel().tolist() == pytest.approx([0.2, 0.4])
    assert delta_ratio([0, 1, 1, 2], [0, 1, 0, 1], [0, 0, 0, 9]).tolist()[:2] == [1, np.inf]
    assert delta_ratio(2, 1, 9) == 1


def test_splits_with_an_infinite_delta_afford_nothing():
    assert corenet_split(0.5, [np.inf, 2.0]).tolist() == pytest.approx([0, 0.0625])
    assert log_split(0.5, [2.0, np.inf]).tolist() == [0, 0]


def test_network_size_vacuous_dead_and_instance_independent():
    size = corenet_network_size([[2.0, 0.0], [2.0]], [2.0, np.inf], 0.3, 0.05, 3, 5)
    assert size.vacuous and size.nnz == np.inf and size.sizes[0][1] == 0
    assert corenet_network_size([[0.0]], [np.inf], 0.3, 0.05, 3, 5).nnz == 0
    free = corenet_network_size_bound([[784, 0], [300]], 452, [2.0, 3.0], 0.3, 0.05, 410, 784)
    tight = corenet_network_size([[9.0, 0], [4.0]], [2.0, 3.0], 0.3, 0.05, 410, 784)
    assert free.nnz > tight.nnz
    same = corenet_network_size([[452.0, 0], [300.0]], [2.0, 3.0], 0.3, 0.05, 410, 784)
    assert free.nnz == same.nnz


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compose([-0.1], [2.0]), "errors"),
        (lambda: compose([0.1], [0.5]), "delta_hats"),
        (lambda: compose(0.1, 2.0), "one entry a layer"),
        (lambda: log_split(1.5, [2.0]), "eps"),
        (lambda: log_split(0.5, [2.0, 3.0], [1.0, 0.0]), "costs"),
        (lambda: log_split(0.5, [2.0, 3.0], [1.0]), "costs"),
        (lambda: corenet_network_size([[2.0]], [2.0, 2.0], 0.5, 0.1, 2, 2), "delta_hats"),
        (lambda: delta_hat([np.nan], 2, 2, 0.1), "mean_delta"),
        (lambda: delta_ratio(-1, 1), "positive"),
        (lambda: kappa(0, 2, 0.1), "eta"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_cancellation_with_a_bias_that_cancels_too():
    assert delta_ratio(1.0, 2.0**-54, -1 + 2.0**-53) == pytest.approx(2.0**54)
    rng = np.random.default_rng(0)
    plus, minus = rng.random(2000), rng.random(2000) * 2.0 ** rng.integers(-60, 1, 2000)
    bias = -(plus - minus) * (1 + rng.integers(-3, 4, 2000) * 2.0**-52)
    for row in zip(plus, minus, bias, strict=True):
        result = float(delta_ratio(*row))
        p, m, b = map(Fraction, row)
        if p - m + b == 0:
            assert result == np.inf
        else:
            truth = max(Fraction(1), (p + m) / abs(p - m + b))
            assert truth <= Fraction(result) <= truth * (1 + Fraction(1, 10**15))

"""SP-2 to SP-4: degenerate neurons, sizes past the integers, refusals."""

import mpmath
import numpy as np
import pytest
from scipy import stats

from sipp_theory.draws.bernstein import (
    bernstein_error,
    bernstein_size,
    corenet_error,
    corenet_size,
    heuristic_error,
)
from sipp_theory.draws.chernoff_hoeffding import kl_error, kl_size


def test_heuristic_of_a_dead_neuron_without_draws():
    assert heuristic_error(9.0, 0, 0.05, 100) == np.inf
    assert heuristic_error([0.0, 0.0], [0, 5], 0.05, 100)[1] == 0
    assert not np.isnan(heuristic_error(0.0, 0, 0.05, 100))


def test_degenerate_neurons():
    for size in (bernstein_size, kl_size):
        assert size(0.0, 0.1, 0.05) == 0
        assert size([0.0, 1.0], 0.1, 0.05).shape == (2,)
    assert kl_size(1.0, 1e-9, 1e-9) == 1
    assert kl_error(1.0, 1, 0.05) == 0
    # float32 sums just under 1 are taken for 1, others are refused (ES-2).
    assert kl_size(1 - 1e-6, 0.1, 0.05) == 1
    assert corenet_error(0.0, 0, 0.05, 10, 10) == bernstein_error(0.0, 0, 0.05) == 0


def test_sizes_past_the_integers_stay_close():
    """Beyond 2**53 there is no next integer; the promise is off by no more than the guard."""
    for size, error in ((bernstein_size, bernstein_error), (kl_size, kl_error)):
        m = size(9.0, 1e-8, 0.05)
        assert m > 2**53 and error(9.0, m, 0.05) <= 1e-8 * (1 + 3e-14)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bernstein_size(0.5, 0.1, 0.05), r"sensitivity_sum must be 0 .*found 0\.5"),
        (lambda: bernstein_size([1, -2.0], 0.1, 0.05), r"sensitivity_sum.*-2\.0 at index 1"),
        (lambda: kl_size(2.0, [[0.1], [1.0]], 0.05), r"eps.*found 1\.0 at index \(1, 0\)"),
        (lambda: kl_size(2.0, 0.1, np.nan), "delta.*found nan"),
        (lambda: kl_error(np.inf, 3, 0.1), "sensitivity_sum must be finite; found inf"),
        (lambda: kl_error(2.0, [3, -1], 0.1), r"m must be at least 0; found -1\.0 at index 1"),
        (lambda: bernstein_error(2.0, 3, 0.1, 0.5), r"coverage_factor.*1; found 0\.5"),
        (lambda: corenet_size(2.0, 0.1, 0.1, 0, 5), r"eta must be at least 1; found 0\.0"),
        (lambda: corenet_size(2.0, 0.1, 0.1, 5, np.nan), "eta_star must be finite; found nan"),
        (lambda: corenet_error(2.0, 5, 0.1, 1, 1), "eta \\* eta_star must exceed 1"),
        (lambda: heuristic_error(2.0, 5, 0.1, 0), r"neurons.*found 0\.0"),
        (lambda: heuristic_error(2.0, 5, 0.1, 1, 0), r"patches.*found 0\.0"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_is_no_number_is_a_type_error():
    with pytest.raises(TypeError, match="delta must be real numbers; found dtype <U"):
        kl_size(2.0, 0.1, "small")
    with pytest.raises(TypeError, match="eps must be real numbers; found dtype complex"):
        kl_size(2.0, 0.1j, 0.1)


def test_corenet_promises_no_error_above_one_that_fails_more_often():
    """Two draws of a thousand equal weights, each the whole output at an input of its own."""
    total, m, delta, eta = 1000.0, 2, 1e-3, 10
    eps = corenet_error(total, m, delta, eta, 10)
    promised = 3 * delta / (8 * eta)
    # z^/z is 500 with one draw of the live weight, which happens in .002; 1000 with two.
    assert stats.binom.sf(0, m, 1 / total) > promised
    assert eps >= total - 1 and eps >= bernstein_error(total, m, promised)
    draws = np.arange(1, 200_000, 37)
    errors = corenet_error(total, draws, delta, eta, 10)
    printed = np.sqrt(8 * total * np.log(100) * np.log(8 * eta / delta) / draws)
    assert (np.diff(errors) < 0).all() and (errors >= printed).all()
    assert corenet_error(total, 10**9, delta, eta, 10) == pytest.approx(
        np.sqrt(8e-6 * np.log(100) * np.log(8 * eta / delta)), rel=1e-12
    )


@pytest.mark.parametrize("width", [1.01, 0.5, np.nan])
def test_corenet_counts_whole_neurons(width):
    for eta, eta_star in ((1, width), (width, 2), (1, 1)):
        with pytest.raises(ValueError, match="eta"):
            corenet_size(9, 0.1, 0.05, eta, eta_star)


@pytest.mark.parametrize("total", [1 + 1e-9, 1.0, 1.3, 1e7 / 3])
@pytest.mark.parametrize("factor", [1.0, 1 + 1e-7, 1.1, 3.0])
def test_a_product_of_factor_and_sum_is_not_rounded_down(total, factor):
    m, delta = 1e6, 0.01
    with mpmath.workdps(50):
        span = mpmath.mpf(total) * mpmath.mpf(factor)
        log = mpmath.log(2 / mpmath.mpf(delta))
        linear = max(span - 1, 1) * log / 3
        truth = (linear + mpmath.sqrt(linear**2 + 2 * (span - 1) * log * m)) / m
        result = bernstein_error(total, m, delta, factor)
        assert truth <= result <= truth * (1 + mpmath.mpf(10) ** -12) + 1e-12
        assert kl_error(total, m, delta, factor) <= result


def test_the_smallest_failure_probabilities():
    for delta in (5e-324, 1e-310, 1e-291, 1e-289):
        log = np.log(2) - float(mpmath.log(mpmath.mpf(delta)))
        assert bernstein_error(1.0, 1e9, delta) == pytest.approx(2 * log / 3e9, rel=1e-12)
        assert bernstein_size(1.0, 0.5, delta) == np.ceil(2 * log / 3 / 0.5)
        assert kl_error(1.0, 2, delta) == 0 and np.isfinite(kl_error(9.0, 1e9, delta))
        assert np.isfinite(corenet_error(1.0, 1e9, delta, 1e30, 10))

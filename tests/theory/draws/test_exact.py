"""SP-5x: long convolutions, degenerate inputs, refusals; the rest is in the ledger."""

import numpy as np
import pytest
from scipy import stats

from proofs_check.draws.oracles_at_instances import SMALL, quantile
from sipp_theory.draws.exact import bernstein_radius, exact_error, exact_row_error, exact_size
from sipp_theory.draws.exact import tail_quantile as steps_quantile
from sipp_theory.draws.law_of_a_draw import draws_instance


def binomial_deviations(g, q, m):
    count = np.arange(m + 1)
    ratio = (count * (g[0] / q[0]) + (m - count) * (g[1] / q[1])) / m
    return np.abs(ratio - 1), stats.binom.pmf(count, m, q[0])


@pytest.mark.parametrize("name", ["coin", "lattice", "near tie", "rare"])
@pytest.mark.parametrize("m", [200, 5_000, 300_000])
@pytest.mark.parametrize("delta", [1e-6, 0.01, 0.3])
def test_long_convolutions_stay_sound(name, m, delta):
    g, q = SMALL[name]
    deviations, masses = binomial_deviations(g, q, m)
    order = np.argsort(deviations)
    law = deviations[order], masses[order]
    got = float(exact_error([g], q, m, delta))
    assert got >= quantile(*law, delta) * (1 - 1e-9)
    near = quantile(*law, delta * 0.99)
    assert got <= near * 1.03 + 1.01 * max(abs(g[0] / q[0] - g[1] / q[1]) / m * 0.02, 0)


def test_cramer_is_a_ceiling():
    law = draws_instance([[0.5, 0.3, 0.2]], [0.2, 0.3, 0.5])
    assert exact_row_error(law, 0, 400, 0.05, 1e-3) == 1e-3


def test_steps_quantile_folds_both_sides():
    even = np.array([0.4, 0.2, 0.1, 0.05, 0.1, 0.15])  # indices 0 1 2 -3 -2 -1
    odd = np.array([0.5, 0.2, 0.1, 0.05, 0.15])  # indices 0 1 2 -2 -1
    for pmf, index in ((even, [0, 1, 2, 3, 2, 1]), (odd, [0, 1, 2, 2, 1])):
        for allowed in (0.0, 0.04, 0.06, 0.17, 0.19, 0.26, 0.61, 0.99):
            expected = min(
                a
                for a in range(4)
                if sum(p for p, i in zip(pmf, index, strict=True) if i > a) <= allowed
            )
            assert steps_quantile(pmf, 0.0, allowed + 1e-12) == expected
    assert steps_quantile(odd, 0.2, 0.1) == np.inf
    assert steps_quantile(np.array([1.0]), 0.0, 0.5) == 0


@pytest.mark.parametrize("log", [0.1, 3.0, 20.0])
def test_bernstein_radius_is_the_root_of_its_tail(log):
    for variance, largest in ((1.0, 0.0), (0.3, 2.0), (0.0, 1.0), (1e-20, 1.0)):
        r = bernstein_radius(variance, largest, log)
        # r^2/(2 V + 2 largest r/3) = log.
        assert r**2 == pytest.approx(log * (2 * variance + 2 * largest * r / 3), rel=1e-10)
        assert r**2 >= log * (2 * variance + 2 * largest * r / 3)


def test_degenerate_instances():
    assert exact_size([[0.0, 0.0]], [0.5, 0.5], 0.1, 0.05) == 0
    assert exact_error([[0.0, 0.0]], [0.5, 0.5], 0, 0.05) == 0
    assert exact_size([1.0], [1.0], 0.1, 0.05) == 1
    assert exact_error([[0.25, 0.75]], [0.25, 0.75], 1, 1e-9) == 0
    assert exact_error([1.0, 0.0], [0.5, 0.5], 0, 0.05) == np.inf
    # A law of one draw has no error smaller than its own deviation.
    assert exact_error([1.0, 0.0], [0.5, 0.5], 1, 0.9) >= 1
    assert exact_error([1.0, 0.0], [1e-9, 1 - 1e-9], 1, 1e-10) == pytest.approx(1e9, rel=1e-6)


def test_limit_says_when_a_size_is_of_no_use():
    g, q = SMALL["three"]
    size = float(exact_size([g], q, 0.2, 0.05))
    assert exact_size([g], q, 0.2, 0.05, limit=size) == size
    assert exact_size([g], q, 0.2, 0.05, limit=size - 1) == np.inf
    assert exact_size([g], q, 0.2, 0.05, limit=0) == np.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exact_error([1.0, 0.0], [0.5, 0.5], 2.5, 0.05), r"m must be a whole.*2\.5"),
        (lambda: exact_error([1.0, 0.0], [0.5, 0.5], [2, 3], 0.05), "m must be one number"),
        (lambda: exact_error([1.0, 0.0], [0.5, 0.5], 2, [0.1, 0.2]), "delta must be one number"),
        (lambda: exact_size([1.0, 0.0], [0.5, 0.5], [0.1, 0.2], 0.1), "eps must be one number"),
        (lambda: exact_size([1.0, 0.0], [0.5, 0.5], np.inf, 0.1), "eps must be .*found inf"),
        (lambda: exact_size([1.0, 0.0], [0.5, 0.6], 0.1, 0.1), r"add up to 1; found 1\.1"),
        (lambda: exact_size([0.9, 0.0], [0.5, 0.5], 0.1, 0.1), r"shares row 0.*found sum .*0\.9"),
        (lambda: exact_size([0.5, 0.5], [1.0, 0.0], 0.1, 0.1), "weight 1 has share"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_probability_of_next_to_nothing_makes_the_error_infinite_and_no_overflow() -> None:
    for least in (1e-30, 1e-36, 1e-40, 1e-100, 1e-150):
        q = np.array([0.5, 0.5, least])
        error = exact_error([[0.3, 0.3, 0.4]], q / q.sum(), 100, 0.05)
        assert error > 1e6

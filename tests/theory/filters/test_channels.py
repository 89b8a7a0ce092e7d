"""PF: sizes for channels against 50 digits, what the printed constant pays for, and refusals."""

import itertools

import mpmath as mp
import numpy as np
import pytest

from sipp_theory.filters.channels import (
    channel_bernstein_error,
    channel_bernstein_size,
    channel_error,
    channel_size,
)

TOTALS = (1.0, 1.2, 9.0, 237.5, 1e6)
DELTAS = (1e-300, 1e-9, 0.05, 0.9)
TARGETS = (1e-5, 0.1, 0.5, 0.999)
GUARD = mp.mpf("5e-14")


def right(found, formula):
    least = max(mp.mpf(1), mp.ceil(formula))
    return least <= mp.mpf(float(found)) <= max(least, mp.ceil(formula * (1 + GUARD)))


@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_sizes_at_50_digits(total, factor):
    with mp.workdps(50):
        span = mp.mpf(total) * mp.mpf(factor)
        for delta, eps in itertools.product(DELTAS, TARGETS):
            e, log = mp.mpf(eps), mp.log(4 * mp.mpf(64) / mp.mpf(delta))
            printed = (6 + 2 * e) * span * log / e**2
            assert right(channel_size(total, eps, delta, 64, factor), printed)
            if delta < 1e-299:
                continue
            log = mp.log(2 * mp.mpf(4096) / mp.mpf(delta))
            sharper = (2 * (span - 1) + mp.mpf(2) / 3 * max(span - 1, 1) * e) * log / e**2
            assert right(channel_bernstein_size(total, eps, delta, 4096, factor), sharper)


@pytest.mark.parametrize("delta", [1e-9, 0.05])
def test_errors_are_the_inverse_at_50_digits_and_err_upwards(delta):
    with mp.workdps(50):
        for total, m in itertools.product(TOTALS, (1.0, 17.0, 1e5, 1e12)):
            a = mp.mpf(total) * mp.log(256 / mp.mpf(delta))
            truth = (a + mp.sqrt(a**2 + 6 * a * m)) / m
            found = mp.mpf(float(channel_error(total, m, delta, 64)))
            assert truth <= found <= truth * (1 + GUARD)
            log = mp.log(256 / mp.mpf(delta))
            b = max(mp.mpf(total) - 1, 1) * log / 3
            truth = (b + mp.sqrt(b**2 + 2 * (mp.mpf(total) - 1) * log * m)) / m
            found = mp.mpf(float(channel_bernstein_error(total, m, delta, 128)))
            assert truth <= found <= truth * (1 + GUARD)


def test_the_printed_size_serves_many_preactivations_at_once():
    """It pays for N <= 32 eta*^3/delta^2, so the sharper size at that N is never above it."""
    for total, eps, delta, widest in itertools.product((1.0, 9.0, 99.0), (0.1, 0.9), DELTAS[1:],
                                                       (1, 64, 2048)):  # fmt: skip
        events = max(1.0, 32 * widest**3 / delta**2)
        sharper = channel_bernstein_size(total, eps, delta, events)
        assert sharper <= channel_size(total, eps, delta, widest)


def test_more_preactivations_cost_a_logarithm():
    sizes = channel_bernstein_size(9.0, 0.1, 0.05, np.array([1.0, 128.0, 128.0 * 1024]))
    assert (np.diff(sizes) > 0).all() and sizes[2] < 5 * sizes[0]
    assert channel_bernstein_size(9.0, 0.1, 0.05, 1) == 6099.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: channel_size(0.5, 0.1, 0.05, 64), r"sensitivity_sum must be 0 .*found 0\.5"),
        (lambda: channel_size(2, 0.1, 0.05, 0.5), r"eta_star must be at least 1; found 0\.5"),
        (lambda: channel_error(2, 5, 0.1, 64, 0.5), r"coverage_factor.*found 0\.5"),
        (lambda: channel_error(2, -1, 0.1, 64), r"m must be at least 0; found -1\.0"),
        (lambda: channel_bernstein_size(2, 0.1, 0.1, 0), r"events must be at least 1; found 0\.0"),
        (lambda: channel_bernstein_error(2, 5, 5e-324, 4), "delta / events is below the least"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

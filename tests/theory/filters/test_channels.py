"""PF: what more pre-activations cost, and refusals; the ledger has the rest."""

import numpy as np
import pytest

from sipp_theory.filters.channels import (
    channel_bernstein_error,
    channel_bernstein_size,
    channel_error,
    channel_size,
)


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

"""ES-1 to ES-4: what is refused; the numbers themselves are checked in proofs_check."""

import numpy as np
import pytest

from sipp_theory.sensitivity.sensitivity import (
    calibration_size,
    sensitivity,
    sensitivity_sum_bound,
    shares,
)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shares([1.0, np.nan], [[1, 1]]), "weights"),
        (lambda: shares([1.0, 1.0], [[1, -1]]), "activations"),
        (lambda: shares([1.0], [[1, 1]]), "columns"),
        (lambda: shares([1.0], [[1]], sign=0), "sign"),
        (lambda: shares([[1.0]], [[1]]), "weights"),
        (lambda: sensitivity([[1.0]], np.zeros((0, 1))), "at least one row"),
        (lambda: sensitivity([1.0], [[1.0]]), "two dimensions"),
        (lambda: calibration_size(2, 2, 32.0), "delta"),
        (lambda: calibration_size(2, 2, 0.0), "delta"),
        (lambda: calibration_size(2, 2, 0.1, rule="other"), "rule"),  # type: ignore[arg-type]
        (lambda: sensitivity_sum_bound(1.5, 3), "fan_in"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

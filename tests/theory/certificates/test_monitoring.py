"""CT-4 at its edges: range, shapes, bad input; the evidence is in the ledger."""

import numpy as np
import pytest

from sipp_theory.certificates.monitoring import confidence_sequence, e_value


def test_range_and_shapes():
    assert e_value(0, 0, 0.3) == 1
    assert e_value(10**6, 10**6, 1e-3) <= np.finfo(float).max
    assert e_value(0, 10**6, 0.5) == 0
    assert e_value(np.arange(4)[:, None], 5, [0.1, 0.2, 0.3]).shape == (4, 3)
    low, high = confidence_sequence([0, 0, 5, 3], [0, 5, 5, 9], 0.9)
    assert low[:2].tolist() == [0, 0] and high[0] == high[2] == 1
    assert ((low[1:] <= np.array([0, 5, 3]) / [5, 5, 9]) & (low[1:] < high[1:])).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: e_value(3, 2, 0.1), "exceed n"),
        (lambda: e_value(1, 2, 0.1, "both"), "alternative"),  # type: ignore[arg-type]
        (lambda: e_value(1, 2, 0.0), "delta"),
        (lambda: e_value(1, 2, 0.1, prior=(0.0, 1.0)), "prior"),
        (lambda: confidence_sequence(1, 2, 1.5), "confidence"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

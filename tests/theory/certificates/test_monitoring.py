"""CT-4 at its edges: range, shapes, bad input; the evidence is in the ledger."""

import mpmath
import numpy as np
import pytest

from sipp_theory.certificates.monitoring import confidence_sequence, e_value, log_e_value


def test_range_and_shapes():
    assert e_value(0, 0, 0.3) == 1
    assert e_value(10**6, 10**6, 1e-3) <= np.finfo(float).max
    assert 0.999 / (10**6 + 1) < e_value(0, 10**6, 0.5) <= 1 / (10**6 + 1)
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


@pytest.mark.parametrize(
    ("k", "n", "delta", "side", "prior"),
    [
        (0, 1084, 0.0249, "below", (378.07, 2.85)),
        (31, 31, 0.9943, "above", (0.04, 428.5)),
        (900, 1000, 0.01, "below", (1.0, 1.0)),
        (0, 20_000, 0.5, "above", (3.0, 5000.0)),
        (5, 2000, 0.3, "above", (1.0, 1.0)),
        (700, 1000, 0.6, "below", (5000.0, 90.0)),
    ],
)
def test_priors_whose_tail_underflows(k, n, delta, side, prior):
    """A prior that lies on the other side of delta leaves a tail that float64 cannot hold."""
    a, b = prior
    with mpmath.workdps(60):
        rate = mpmath.mpf(delta)

        def tail(first, second):
            if side == "below":
                return mpmath.betainc(first, second, 0, rate)
            return mpmath.betainc(second, first, 0, 1 - rate)

        mixture = tail(mpmath.mpf(a) + k, mpmath.mpf(b) + n - k) / tail(a, b)
        truth = mpmath.log(mixture) - k * mpmath.log(rate) - (n - k) * mpmath.log(1 - rate)
        result = float(log_e_value(k, n, delta, side, prior))
        assert truth - 1e-8 * max(1, abs(truth)) <= result <= truth

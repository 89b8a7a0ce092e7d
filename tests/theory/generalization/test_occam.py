"""GN-3 at its edges: levels far below the least float, the inverse in bits, refusals."""

from typing import Any, cast

import mpmath as mp
import numpy as np
import pytest

from sipp_theory import bits_allowed, occam_bound, violation_bound
from sipp_theory.generalization.occam import counted
from sipp_theory.numeric import log_tail as _log_tail

FORMS = ("binomial", "kl", "hoeffding")
every_form = pytest.mark.parametrize("form", FORMS)


def log_tail(k, n, p):
    """Logarithm of Pr(Bin(n, p) <= k) at 50 digits, by the finite sum."""
    with mp.workdps(50):
        p = mp.mpf(p)
        term = mp.binomial(n, k) * p**k * (1 - p) ** (n - k)
        total = term
        for i in range(k, 0, -1):
            term *= i * (1 - p) / ((n - i + 1) * p)
            total += term
        return mp.log(total)


def test_bits_and_confidence_are_one_level():
    """Ten bits are a factor of 1024 in the level: then GN-3 is CT-1's bound."""
    k = np.arange(0, 41)
    bound = occam_bound("binomial", errors=k, n=40, bits=10, delta=0.5)
    # 1 - 2^-11 is a float64.
    np.testing.assert_allclose(bound, violation_bound(k, 40, 1 - 2.0**-11), rtol=1e-11)


def test_levels_above_one_half_may_lie_below_the_training_error():
    bound = occam_bound("binomial", errors=5, n=10, bits=0, delta=0.9)
    assert bound < 0.5
    np.testing.assert_allclose(bound, violation_bound(5, 10, 0.1), rtol=1e-11)


def test_no_errors_has_a_closed_form():
    for form in ("binomial", "kl"):
        result = float(occam_bound(form, errors=0, n=1000, bits=7, delta=0.25))
        with mp.workdps(50):
            truth = 1 - mp.mpf(2) ** (-mp.mpf(9) / 1000)
            assert 0 <= result - truth <= 1e-14 * truth


def test_reference_values():
    """What the published bounds on MNIST would take: 11.6% and 46%, and the plan's 6,000 bits."""
    given = {"errors": 1200, "n": 60_000, "delta": 0.05}
    assert round(float(occam_bound("binomial", bits=6000, **given)), 4) == 0.1196
    assert 5700 < bits_allowed("binomial", risk=0.116, **given) < 5710


@every_form
def test_bits_allowed_at_the_edge(form):
    bound = float(occam_bound(form, errors=7, n=50, bits=0, delta=0.05))
    assert bits_allowed(form, errors=7, n=50, risk=bound, delta=0.05) < 1e-9
    assert np.isnan(bits_allowed(form, errors=7, n=50, risk=bound * 0.999, delta=0.05))
    assert np.isnan(bits_allowed(form, errors=50, n=50, risk=0.999, delta=0.05))


def test_refusals():
    given = {"errors": 3, "n": 50, "bits": 7, "delta": 0.05}
    with pytest.raises(ValueError, match="form must be one of .*binomial.*; found 'exact'"):
        occam_bound(cast(Any, "exact"), **given)
    with pytest.raises(ValueError, match="form must be one of"):
        bits_allowed(cast(Any, "exact"), errors=3, n=50, risk=0.5, delta=0.05)
    with pytest.raises(ValueError, match="bits must be finite; found inf"):
        occam_bound("kl", **given | {"bits": np.inf})
    with pytest.raises(ValueError, match="errors must be a whole number; found 2.5"):
        occam_bound("kl", **given | {"errors": 2.5})
    with pytest.raises(ValueError, match="errors must not exceed n; found 9 of 8 at index 1"):
        counted([8, 9], 8)
    with pytest.raises(ValueError, match="risk must be strictly between 0 and 1; found 1.0"):
        bits_allowed("kl", errors=3, n=50, risk=1.0, delta=0.05)


@pytest.mark.parametrize("n", [1, 7, 400, 60_000])
def test_log_tails_are_never_below_the_truth(n):
    for k in sorted({0, n // 50, n // 3, n - 1}):
        shares = [(k + 1) / (n + 1) + (1 - (k + 1) / (n + 1)) * t for t in (1e-6, 0.01, 0.3, 0.99)]
        for p in (q for q in shares if q < 1):
            one = np.array([float(k)]), np.array([float(n)]), np.array([p])
            result, slope = (float(a[0]) for a in _log_tail.log_tail(*one))
            with mp.workdps(50):
                truth = log_tail(k, n, p) if n < 10_000 or k < 2000 else None
            assert slope > 0
            if truth is not None:
                assert 0 <= result - truth <= 1e-12 + 1e-14 * (n + abs(truth))

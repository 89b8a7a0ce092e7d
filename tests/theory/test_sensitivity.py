"""ES-1 to ES-4: shares and sensitivities against exact rational arithmetic and their laws."""

from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sipp_theory.sensitivity import (
    assumption_factors,
    calibration_size,
    sensitivity,
    sensitivity_sum_bound,
    shares,
)

WIDE = st.floats(1e-150, 1e150) | st.just(0.0)


def exact_shares(weights, activations, sign):
    rows = []
    for row in activations:
        terms = [
            Fraction(abs(float(w))) * Fraction(float(a)) if sign * w > 0 else Fraction(0)
            for w, a in zip(weights, row, strict=True)
        ]
        total = sum(terms)
        rows.append([t / total if total else Fraction(0) for t in terms])
    return rows


def brute_sensitivity(weights, activations):
    out = np.zeros(weights.shape)
    for i, row in enumerate(weights):
        for x in activations:
            for part in (np.maximum(x, 0), np.maximum(-x, 0)):
                for sign in (1, -1):
                    g = exact_shares(row, [part], sign)[0]
                    out[i] = np.maximum(out[i], [float(v) for v in g])
    return out


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, 4, elements=WIDE),
    hnp.arrays(np.float64, (3, 4), elements=WIDE),
    hnp.arrays(np.int8, 4, elements=st.sampled_from([-1, 1])),
    st.sampled_from([1, -1]),
)
def test_shares_equal_exact_arithmetic_over_a_huge_range(magnitude, rows, signs, sign):
    weights = magnitude * signs
    got = shares(weights, rows, sign)
    want = np.array([[float(v) for v in row] for row in exact_shares(weights, rows, sign)])
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-300)
    total = got.sum(axis=1)
    live = want.sum(axis=1) > 0
    np.testing.assert_allclose(total[live], 1.0, rtol=1e-14)
    assert (total[~live] == 0).all() and (got >= 0).all() and (got <= 1).all()


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.float64, (2, 3), elements=st.floats(-4, 4)),
    hnp.arrays(np.float64, (3, 3), elements=st.floats(-4, 4)),
)
def test_sensitivity_is_the_brute_force_one(weights, activations):
    np.testing.assert_allclose(
        sensitivity(weights, activations), brute_sensitivity(weights, activations), rtol=1e-13
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(-40, 40), st.integers(-40, 40))
def test_scale_permutation_and_growth_laws(seed, up, down):
    rng = np.random.default_rng(seed)
    w, a = rng.normal(size=(3, 6)), rng.normal(size=(5, 6)) * (rng.random((5, 6)) < 0.7)
    s = sensitivity(w, a)
    assert np.array_equal(s, sensitivity(w * 2.0**up, a * 2.0**down))
    np.testing.assert_allclose(s, sensitivity(3 * w, a * rng.uniform(1, 9, (5, 1))), rtol=1e-13)
    order = rng.permutation(6)
    np.testing.assert_allclose(sensitivity(w[:, order], a[:, order]), s[:, order], rtol=1e-14)
    assert (sensitivity(w, a[:3]) <= s).all()
    for sign in (1, -1):
        total = np.where(sign * w > 0, s, 0).sum(axis=1)
        assert (total <= sensitivity_sum_bound((sign * w > 0).sum(axis=1), 10) + 1e-12).all()
        assert ((total == 0) | (total >= 1 - 1e-12)).all()


def test_published_calibration_sizes():
    deltas = [10, 1, 0.1, 0.01, *(10.0**-p for p in (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32))]
    published = [35, 42, 49, 56, 70, 83, 97, 111, 125, 139, 152, 180, 208, 235, 263]
    assert calibration_size(410, 300, deltas, rule="sipp").tolist() == published
    # With the input counted the table would not come out.
    assert calibration_size(410, 784, deltas, rule="sipp").tolist() != published


@pytest.mark.parametrize("rule", ["corenet", "sipp"])
@pytest.mark.parametrize("delta", [0.5, 1e-3, 1e-30])
def test_calibration_size_against_mpmath(rule, delta):
    with mp.workdps(50):
        edges = mp.mpf(510) * 784
        factor = mp.log(edges) if rule == "corenet" else 3
        want = mp.ceil(factor * mp.log(8 * edges / mp.mpf(delta)))
    assert calibration_size(510, 784, delta, rule=rule) == float(want)
    assert abs(float(assumption_factors(510, 784)[0]) - float(mp.log(edges))) < 1e-13


def test_a1_failure_probability_is_met_and_no_less_would_do():
    """On the boundary of A1, |S| points miss g > M/K with probability <= delta/(8 eta eta*)."""
    eta, star, delta = 20, 30, 0.1
    size = calibration_size(eta, star, delta)
    miss = np.exp(-1 / assumption_factors(eta, star)[1])
    target = delta / (8 * eta * star)
    assert miss**size <= target < miss ** (size - 1)


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

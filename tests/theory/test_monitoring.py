"""CT-4: e-values by enumeration and quadrature, confidence sequences by Monte Carlo."""

import mpmath as mp
import numpy as np
import pytest
from scipy import special, stats

from sipp_theory.certificates import clopper_pearson
from sipp_theory.monitoring import confidence_sequence, e_value, log_e_value


@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 10), (10, 10), (2, 200), (150, 200)])
@pytest.mark.parametrize("alternative", ["above", "below"])
@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.5, 2.0)])
def test_e_value_against_quadrature(k, n, alternative, prior):
    delta, (a, b) = 0.1, prior
    with mp.workdps(50):
        d = mp.mpf(delta)
        low, high = (d, mp.mpf(1)) if alternative == "above" else (mp.mpf(0), d)
        top = mp.betainc(a + k, b + n - k, low, high) / mp.betainc(a, b, low, high)
        want = mp.log(top / (d**k * (1 - d) ** (n - k)))
    got = log_e_value(k, n, delta, alternative, prior)
    assert got <= want
    assert float(got) == pytest.approx(float(want), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("alternative", ["above", "below"])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.0999, 0.1, 0.1001, 0.3, 1.0])
def test_expectation_is_at_most_one_under_the_whole_null(alternative, rate):
    n, delta = 60, 0.1
    k = np.arange(n + 1)
    mean = (stats.binom.pmf(k, n, rate) * e_value(k, n, delta, alternative)).sum()
    null = rate <= delta if alternative == "above" else rate >= delta
    assert (mean <= 1) == null
    if rate == delta:
        assert mean == pytest.approx(1, abs=1e-9)


def test_one_step_supermartingale_at_every_state():
    n, delta = 30, 0.2
    k = np.arange(n + 1)
    for rate in (0.0, 0.1, 0.2):
        ahead = rate * e_value(k + 1, n + 1, delta) + (1 - rate) * e_value(k, n + 1, delta)
        assert (ahead <= e_value(k, n, delta) * (1 + 1e-9)).all()


def test_the_untruncated_mixture_would_raise_alarms_on_a_clean_stream():
    n, delta = 100, 0.1
    untruncated = special.betaln(1, 1 + n) - n * np.log1p(-delta)
    assert untruncated > np.log(100)
    assert e_value(0, n, delta) < 0.1
    assert e_value(0, n, delta, "below") > 100


def test_range_and_shapes():
    assert e_value(0, 0, 0.3) == 1
    assert e_value(10**6, 10**6, 1e-3) <= np.finfo(float).max
    assert e_value(0, 10**6, 0.5) == 0
    assert e_value(np.arange(4)[:, None], 5, [0.1, 0.2, 0.3]).shape == (4, 3)
    low, high = confidence_sequence([0, 0, 5, 3], [0, 5, 5, 9], 0.9)
    assert low[:2].tolist() == [0, 0] and high[0] == high[2] == 1
    assert ((low[1:] <= np.array([0, 5, 3]) / [5, 5, 9]) & (low[1:] < high[1:])).all()


@pytest.mark.parametrize(("k", "n"), [(0, 20), (1, 7), (30, 400), (400, 400), (5, 10**6)])
def test_interval_ends_lie_outside_the_exact_set_and_barely(k, n):
    low, high = (float(v) for v in confidence_sequence(k, n, 0.95))

    def log_mixture(p):
        with mp.workdps(50):
            top = mp.log(mp.beta(1 + k, 1 + n - k))
            bottom = (k * mp.log(p) if k else 0) + ((n - k) * mp.log1p(-p) if n > k else 0)
            return top - bottom

    limit = -mp.log(1 - mp.mpf(0.95))
    if k < n:
        assert log_mixture(mp.mpf(high)) >= limit > log_mixture(mp.mpf(high) * (1 - 1e-6))
    if k > 0:
        assert log_mixture(mp.mpf(low)) >= limit > log_mixture(mp.mpf(low) * (1 + 1e-6))


def paths(rate, draws, length, seed):
    rng = np.random.default_rng(seed)
    return (rng.random((draws, length)) < rate).cumsum(axis=1)


def test_confidence_sequence_holds_at_all_times_and_a_fixed_time_interval_does_not():
    rate, alpha, draws, length = 0.1, 0.1, 2_000, 300
    k, n = paths(rate, draws, length, 1), np.arange(1, length + 1)
    table_k, table_n = np.meshgrid(np.arange(length + 1), n)
    inside = table_k <= table_n

    def missed(interval):
        low, high = interval(np.minimum(table_k, table_n), table_n, 1 - alpha)
        out = ((low > rate) | (high < rate)) & inside
        return int(out[np.arange(length), k].any(axis=1).sum())

    good = stats.binomtest(missed(confidence_sequence), draws).proportion_ci(0.999)
    assert good.low <= alpha and good.high >= alpha / 10
    assert stats.binomtest(missed(clopper_pearson), draws).proportion_ci(0.999).low > alpha


def test_alarm_is_rare_under_the_null_and_sure_under_the_alternative():
    delta, alpha, draws, length = 0.1, 0.05, 3_000, 400
    n = np.arange(1, length + 1)

    def alarms(rate, threshold):
        k = paths(rate, draws, length, 2)
        table = e_value(np.arange(length + 1)[:, None].clip(max=n), n, delta)
        return int((table[k, np.arange(length)] >= threshold).any(axis=1).sum())

    interval = stats.binomtest(alarms(delta, 1 / alpha), draws).proportion_ci(0.999)
    assert interval.low <= alpha and interval.high >= alpha / 10
    assert stats.binomtest(alarms(delta, 1.5), draws).proportion_ci(0.999).low > alpha
    assert alarms(0.25, 1 / alpha) > 0.99 * draws


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

"""CT-1 to CT-3: binomial oracles at 50 digits, coverage by enumeration and Monte Carlo."""

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from sipp_theory.certificates import (
    clopper_pearson,
    error_quantile,
    fixed_sequence,
    points_needed,
    tolerance_rank,
    violation_bound,
)


def cdf(k, n, p):
    with mp.workdps(50):
        p = mp.mpf(float(p))
        return mp.fsum(mp.binomial(n, i) * p**i * (1 - p) ** (n - i) for i in range(int(k) + 1))


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 299), (3, 20), (19, 20), (40, 1000)])
@pytest.mark.parametrize("confidence", [0.1, 0.5, 0.95, 0.99, 1 - 1e-9])
def test_violation_bound_is_the_safe_root(k, n, confidence):
    bound = float(violation_bound(k, n, confidence))
    alpha = 1 - mp.mpf(confidence)
    assert cdf(k, n, bound) <= alpha
    assert cdf(k, n, bound * (1 - 1e-10)) > alpha


@pytest.mark.parametrize(("k", "n"), [(0, 10), (5, 10), (10, 10), (7, 400)])
def test_clopper_pearson_tails_are_half_each(k, n):
    low, high = (float(v) for v in clopper_pearson(k, n, 0.95))
    half = (1 - mp.mpf(0.95)) / 2
    assert 0 <= low < high <= 1
    if k < n:
        assert cdf(k, n, high) <= half < cdf(k, n, high * (1 - 1e-9))
    if k > 0:
        assert 1 - cdf(k - 1, n, low) <= half < 1 - cdf(k - 1, n, low * (1 + 1e-9))


def test_vacuous_and_vectorised():
    assert violation_bound([0, 5], [0, 5], 0.9).tolist() == [1, 1]
    low, high = clopper_pearson([0, 0], [0, 5], 0.9)
    assert low.tolist() == [0, 0] and high[0] == 1
    bound = violation_bound(np.arange(11)[:, None], 10, [0.9, 0.99])
    assert bound.shape == (11, 2)
    assert (np.diff(bound, axis=0) > 0).all() and (bound[:-1, 0] < bound[:-1, 1]).all()


@pytest.mark.parametrize("rate", [0.003, 0.05, 0.37])
def test_coverage_by_enumeration_and_its_mutation(rate):
    """Pr(rate > bound), summed over all outcomes: at most alpha, and near it for some rate."""
    n, alpha = 120, 0.1
    k = np.arange(n + 1)
    weight = stats.binom.pmf(k, n, rate)
    assert weight[violation_bound(k, n, 1 - alpha) < rate].sum() <= alpha
    low, high = clopper_pearson(k, n, 1 - alpha)
    assert weight[(low > rate) | (high < rate)].sum() <= alpha
    if rate > 0.02:
        assert weight[violation_bound(k, n, 1 - alpha) < rate].sum() >= alpha / 3
        # The plain frequency in place of the bound is refuted.
        assert weight[k / n < rate].sum() > alpha


@pytest.mark.parametrize("delta", [0.01, 0.05, 0.3, 0.5])
@pytest.mark.parametrize("confidence", [0.5, 0.75, 0.95, 0.99])
def test_rank_and_points_are_least(delta, confidence):
    need = int(points_needed(delta, confidence))
    with mp.workdps(50):
        alpha, keep = 1 - mp.mpf(confidence), 1 - mp.mpf(delta)
        assert keep**need <= alpha < keep ** (need - 1)
    assert tolerance_rank(need - 1, delta, confidence) == 0
    for n in (need, need + 1, 3 * need + 7):
        rank = int(tolerance_rank(n, delta, confidence))
        # Pr(Bin(n, 1-delta) <= r-1) = 1 - Pr(Bin(n, delta) <= n-r)
        assert 1 <= rank <= n
        assert cdf(n - rank, n, delta) <= alpha
        assert rank == 1 or cdf(n - rank + 1, n, delta) > alpha


def test_ties_are_settled_exactly():
    assert points_needed(0.5, [0.5, 0.75, 0.875]).tolist() == [1, 2, 3]
    assert points_needed(0.05, [0.95, 0.99]).tolist() == [59, 90]
    assert tolerance_rank(0, 0.5, 0.5) == 0


@pytest.mark.parametrize("discrete", [False, True])
def test_error_quantile_covers(discrete):
    rng = np.random.default_rng(1)
    n, delta, alpha, draws = 150, 0.05, 0.1, 20_000
    errors = rng.random((draws, n))
    if discrete:
        errors = np.ceil(errors * 20) / 20  # cdf(v) = v on the grid
    eps = error_quantile(errors, delta, 1 - alpha)
    failures = int((1 - eps > delta * (1 + 1e-9)).sum())
    interval = stats.binomtest(failures, draws).proportion_ci(0.999)
    assert interval.low <= alpha
    if not discrete:
        rank = int(tolerance_rank(n, delta, 1 - alpha))
        assert interval.high >= float(1 - cdf(n - rank, n, delta)) - 0.95
        assert interval.high >= alpha / 3
        below = np.sort(errors, axis=1)[:, rank - 3]  # two ranks lower: refuted
        broken = stats.binomtest(int((1 - below > delta).sum()), draws).proportion_ci(0.999)
        assert broken.low > alpha


def test_error_quantile_edges():
    assert error_quantile([0.1] * 58, 0.05, 0.95) == np.inf
    assert error_quantile([0.1] * 58 + [np.inf], 0.05, 0.95) == np.inf
    assert error_quantile(np.arange(59)[::-1], 0.05, 0.95) == 58


def test_fixed_sequence_stops_at_the_first_failure():
    result = fixed_sequence([0, 2, 50, 0], 300, 0.05, 0.99)
    assert result.last == 1 and result.level == 1 - 0.99
    assert result.p_values.shape == (4,)
    for p, k in zip(result.p_values, [0, 2, 50, 0], strict=True):
        assert float(p) == pytest.approx(float(cdf(k, 300, 0.05)), rel=1e-10)
    assert fixed_sequence([9], 100, 0.05, 0.95).last == -1
    assert fixed_sequence([0, 0], [10, 1000], 0.05, 0.95).last == -1
    assert fixed_sequence([0], 0, 0.05, 0.95).last == -1
    assert fixed_sequence(np.zeros(0), 100, 0.05, 0.95).last == -1


def test_fixed_sequence_agrees_with_the_violation_bound():
    k = np.arange(30)
    passed = violation_bound(k, 300, 0.95) <= 0.05
    assert fixed_sequence(k, 300, 0.05, 0.95).last == passed.sum() - 1


def test_fixed_sequence_family_wise_error():
    """True rates rise through delta; accepting any bad network at all happens with Pr <= alpha."""
    rng = np.random.default_rng(2)
    n, delta, alpha, draws = 200, 0.05, 0.1, 4_000
    rates = np.array([0.001, 0.02, 0.0501, 0.0501, 0.0502, 0.051])
    counts = rng.binomial(n, rates, (draws, rates.size))
    last = np.array([fixed_sequence(c, n, delta, 1 - alpha).last for c in counts])
    interval = stats.binomtest(int((last >= 2).sum()), draws).proportion_ci(0.999)
    assert interval.low <= alpha and interval.high >= 0.01
    # Taking the sparsest that passes, without the stop, spends alpha several times.
    anywhere = stats.binom.cdf(counts[:, 2:], n, delta) <= alpha
    broken = stats.binomtest(int(anywhere.any(axis=1).sum()), draws).proportion_ci(0.999)
    assert broken.low > alpha


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: violation_bound(3, 2, 0.9), "exceed n"),
        (lambda: violation_bound(0.5, 2, 0.9), "violations"),
        (lambda: clopper_pearson(1, 2, 1.0), "confidence"),
        (lambda: tolerance_rank(10, 0.0, 0.9), "delta"),
        (lambda: error_quantile([np.nan], 0.1, 0.9), "NaN"),
        (lambda: error_quantile(1.0, 0.1, 0.9), "dimension"),
        (lambda: fixed_sequence(3, 10, 0.1, 0.9), "violations"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

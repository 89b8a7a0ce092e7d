"""ES-5 and ES-6: roots against mpmath, and coverage of fresh inputs by Monte Carlo."""

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from sipp_theory.scenario import (
    exchangeable_violation,
    scenario_points,
    scenario_support,
    scenario_violation,
    wait_and_judge_violation,
)


def tail(k, n, p):
    return mp.fsum(mp.binomial(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize("n", [6, 50, 500])
@pytest.mark.parametrize("d", [1, 5])
@pytest.mark.parametrize("beta", [0.5, 0.05, 1e-12])
def test_violation_is_on_the_safe_side_and_tight(n, d, beta):
    e = float(scenario_violation(n, d, beta))
    with mp.workdps(50):
        assert tail(d - 1, n, mp.mpf(e)) <= mp.mpf(beta)
        assert tail(d - 1, n, mp.mpf(e) * (1 - mp.mpf(10) ** -11)) > mp.mpf(beta)


def test_quoted_numbers_and_edges():
    assert round(float(scenario_violation(500, 20, 0.05)), 4) == 0.0553
    assert round(float(wait_and_judge_violation(1000, 194, 0.05)), 3) == 0.236
    assert scenario_violation([3, 3, 0], [3, 0, 1], 0.1).tolist() == [1, 0, 1]
    assert wait_and_judge_violation([5, 0], [5, 0], 0.1).tolist() == [1, 1]


@pytest.mark.parametrize(("d", "e", "beta"), [(1, 0.1, 0.05), (20, 0.05, 0.01), (300, 0.2, 1e-6)])
def test_points_invert_violation(d, e, beta):
    n = scenario_points(d, e, beta)
    assert scenario_violation(n, d, beta) <= e < scenario_violation(n - 1, d, beta)


def mp_wait_and_judge(n, k, beta):
    """The equation as printed, solved by bisection at 50 digits."""
    with mp.workdps(50):

        def excess(t):
            total = mp.fsum(mp.binomial(m, k) * t ** (m - k) for m in range(k, n + 1))
            return mp.mpf(beta) / (n + 1) * total - mp.binomial(n, k) * t ** (n - k)

        low, high = mp.mpf(0), mp.mpf(1)
        for _ in range(120):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        return 1 - low


@pytest.mark.parametrize(("n", "k"), [(1, 0), (10, 0), (10, 9), (60, 7), (300, 120)])
@pytest.mark.parametrize("beta", [0.3, 0.01, 1e-9])
def test_wait_and_judge_against_the_printed_equation(n, k, beta):
    got, want = float(wait_and_judge_violation(n, k, beta)), mp_wait_and_judge(n, k, beta)
    assert want <= got <= want * (1 + 1e-9)


def test_wait_and_judge_is_monotone_and_vectorised():
    k = np.arange(0, 101)
    bound = wait_and_judge_violation(100, k, 0.05)
    assert (np.diff(bound) > 0).all()
    large = wait_and_judge_violation(10**6, [0, 10**5, 10**6 - 1], 1e-6)
    assert large[0] < 1e-4 and 0.1 < large[1] < 0.103 and large[2] <= 1


def test_support_counts_points_and_breaks_ties_by_order():
    assert scenario_support([[1, 0.2], [0.5, 0.9]]) == 2
    assert scenario_support([[1, 1], [1, 1]]) == 1
    assert scenario_support(np.zeros((3, 2))) == 0
    assert scenario_support(np.zeros((0, 2))) == 0


def failure_interval(failures, trials):
    result = stats.binomtest(failures, trials).proportion_ci(0.999, "exact")
    return result.low, result.high


def test_a_priori_coverage_is_sound_tight_and_its_mutation_fails():
    """Independent uniform coordinates: the uncovered mass is 1 - prod s_j, exactly."""
    rng = np.random.default_rng(5)
    n, d, beta, draws = 200, 5, 0.05, 20_000
    missed = 1 - np.prod(rng.beta(n, 1, (draws, d)), axis=1)
    low, high = failure_interval(int((missed > scenario_violation(n, d, beta)).sum()), draws)
    assert low <= beta and high >= beta / 2
    low, _ = failure_interval(int((missed > scenario_violation(n, d - 1, beta)).sum()), draws)
    assert low > beta


def test_a_posteriori_coverage_is_sound_and_its_mutation_fails():
    rng = np.random.default_rng(6)
    n, d, beta, draws = 40, 12, 0.1, 3_000
    points = rng.random((draws, n, d))
    missed = 1 - points.max(axis=1).prod(axis=1)
    support = np.array([scenario_support(p) for p in points])
    bound = wait_and_judge_violation(n, support, beta)
    low, _ = failure_interval(int((missed > bound).sum()), draws)
    assert low <= beta
    assert bound.mean() <= 2 * missed.mean()
    assert wait_and_judge_violation(1000, 20, beta) < scenario_violation(1000, 200, beta)
    # Without the allowance for confidence, k/n alone, the promise breaks.
    low, _ = failure_interval(int((missed > support / n).sum()), draws)
    assert low > beta


def test_a_posteriori_coverage_with_ties():
    """Coarse values make the plain program degenerate; the first-index rule keeps the promise."""
    rng = np.random.default_rng(8)
    n, d, beta, draws = 30, 6, 0.1, 3_000
    law = np.array([0.6, 0.3, 0.08, 0.02])
    points = rng.choice(4, size=(draws, n, d), p=law)
    largest = points.max(axis=1)
    missed = 1 - law.cumsum()[largest].prod(axis=1)
    support = np.array([scenario_support(p) for p in points])
    failures = int((missed > wait_and_judge_violation(n, support, beta)).sum())
    assert failure_interval(failures, draws)[0] <= beta


def test_exchangeable_violation_is_exact_for_continuous_shares():
    rng = np.random.default_rng(7)
    n, draws = 19, 40_000
    shares = rng.dirichlet(np.ones(3), size=(draws, n + 1))[:, :, 0]
    failures = int((shares[:, -1] > shares[:, :-1].max(axis=1)).sum())
    low, high = failure_interval(failures, draws)
    assert low <= exchangeable_violation(n) <= high
    assert low > 0.5 * exchangeable_violation(n)
    assert exchangeable_violation(0) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: scenario_violation(-1, 2, 0.1), "points"),
        (lambda: scenario_violation(10, 2.5, 0.1), "dimension"),
        (lambda: scenario_violation(10, 2, 1.0), "beta"),
        (lambda: wait_and_judge_violation(10, 11, 0.1), "support"),
        (lambda: scenario_support([1.0]), "two dimensions"),
        (lambda: scenario_points(3, 0.0, 0.1), "violation"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

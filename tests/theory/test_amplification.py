"""SP-10: what best-of-tau promises, that it is kept, and that nothing more could be."""

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from sipp_theory.amplification import (
    best_of_tau,
    candidates,
    dead_neuron_violation,
    mean_error_bound,
    selected_violation,
)


def neuron(seed=0, points=20, edges=12):
    rng = np.random.default_rng(seed)
    g = rng.dirichlet(np.full(edges, 0.4), size=points)
    s = g.max(axis=0)
    return g, s / s.sum(), s.sum()


def relative_errors(rng, g, q, m, draws):
    """(draws, points) relative errors of the multinomial estimator."""
    counts = rng.multinomial(m, q, size=draws)
    return np.abs(counts / (m * q) @ g.T - 1)


@pytest.mark.parametrize("delta", [0.9, 0.05, 1e-6, 1e-300])
def test_candidates_is_the_least_number(delta):
    tau = int(candidates(delta))
    with mp.workdps(50):
        share = mp.mpf(delta) / 4
        assert mp.mpf("0.9") ** tau <= share < mp.mpf("0.9") ** (tau - 1)


def test_mean_error_bound_holds_and_is_tight_and_below_the_closed_form():
    g, q, total = neuron()
    rng = np.random.default_rng(1)
    for m in (5, 50, 500):
        observed = relative_errors(rng, g, q, m, 20_000).mean(axis=1)
        margin = 4 * observed.std() / np.sqrt(observed.size)
        bound = mean_error_bound(g, q, m)
        assert observed.mean() <= bound + margin
        assert bound <= 1.5 * observed.mean()
        assert bound <= best_of_tau(total, m, 1).mean_error / (10 / 9) * (1 + 1e-12)
        assert observed.mean() - margin > 0.5 * bound  # half the bound would be refuted


def test_mean_error_bound_charges_what_cannot_be_drawn():
    bound = mean_error_bound([[0.5, 0.5], [0.0, 0.0]], [1.0, 0.0], [1, 10**12])
    assert bound == pytest.approx([0.25, 0.25], rel=1e-6)


def test_best_of_tau_keeps_its_promise():
    g, q, total = neuron()
    rng = np.random.default_rng(2)
    m, tau, draws = 40, 6, 4_000
    best = relative_errors(rng, g, q, m, tau * draws).mean(axis=1).reshape(draws, tau).min(axis=1)
    promise = best_of_tau(total, m, tau)
    interval = stats.binomtest(int((best > promise.mean_error).sum()), draws).proportion_ci(0.999)
    assert interval.low <= promise.failure
    # A tenth of the error is more than best-of-tau can give: the check would notice.
    mutated = stats.binomtest(int((best > promise.mean_error / 10).sum()), draws)
    assert mutated.proportion_ci(0.999).low > promise.failure


def test_markov_step_is_attained_so_that_its_constant_cannot_be_improved():
    """A candidate error of mean 1 that is 1/p with chance p, else 0, with 1/p just above 10/9."""
    tau, draws = 5, 20_000
    chance = 0.9 - 1e-6
    errors = np.where(np.random.default_rng(9).random((draws, tau)) < chance, 1 / chance, 0.0)
    failures = int((errors.min(axis=1) > 10 / 9).sum())
    interval = stats.binomtest(failures, draws).proportion_ci(0.999)
    assert interval.low <= best_of_tau(2.0, 1, tau).failure <= interval.high
    assert interval.low > best_of_tau(2.0, 1, tau + 1).failure


def test_selection_can_fail_nearly_tau_times_as_often_outside_the_set():
    """m = 1, three weights; the candidate that is perfect on T is the one that fails at x."""
    q = np.array([0.8, 0.1, 0.1])
    on_set, fresh = np.array([0.72, 0.10, 0.18]), np.array([0.85, 0.0, 0.15])
    tau, eps, draws = 5, 0.6, 20_000
    rng = np.random.default_rng(3)
    picks = rng.choice(3, p=q, size=(draws, tau))
    chosen = np.take_along_axis(
        picks, np.abs(on_set / q - 1)[picks].argmin(axis=1)[:, None], axis=1
    )[:, 0]
    fails = np.abs(fresh / q - 1) > eps
    single = float(q[fails].sum())
    interval = stats.binomtest(int(fails[chosen].sum()), draws).proportion_ci(0.999)
    assert single == pytest.approx(0.1)
    assert interval.low > 4 * single * 0.98  # far from "amplified"
    assert interval.high <= selected_violation(tau, single)


@pytest.mark.parametrize("n", [1, 30, 1000])
@pytest.mark.parametrize("neurons", [1, 410])
def test_dead_neuron_violation_against_mpmath(n, neurons):
    e = float(dead_neuron_violation(n, 0.05, neurons))
    with mp.workdps(50):
        want = 1 - (mp.mpf(0.05) / neurons) ** (mp.mpf(1) / n)
        assert want <= e <= want * (1 + 1e-11)


def test_dead_neuron_coverage():
    """Neurons alive at a rate just above the bound are dead on S with chance just below beta."""
    rng = np.random.default_rng(4)
    n, beta, draws = 50, 0.1, 20_000
    bound = dead_neuron_violation(n, beta)
    for rate, sound in ((bound * 1.001, True), (bound * 0.5, False)):
        dead = int((rng.binomial(n, rate, draws) == 0).sum())
        interval = stats.binomtest(dead, draws).proportion_ci(0.999)
        assert (interval.low <= beta) == sound
        assert interval.high >= 0.8 * beta
    assert dead_neuron_violation(0, 0.1) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: candidates(0), "delta"),
        (lambda: best_of_tau(0.5, 10, 3), "sensitivity_sum"),
        (lambda: best_of_tau(2, 0, 3), "m must"),
        (lambda: best_of_tau(2, 1, 3, factor=1.0), "factor"),
        (lambda: selected_violation(0, 0.1), "tau"),
        (lambda: dead_neuron_violation(5, 0.1, 0), "neurons"),
        (lambda: mean_error_bound([[0.5, 0.5]], [0.5, 0.6], 1), "sum to 1"),
        (lambda: mean_error_bound([[0.5, 0.5]], [1.0], 1), "shares"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_zero_dead_and_vacuous_cases():
    assert best_of_tau(0.0, 5, 2).mean_error == 0
    assert best_of_tau(1.0, 5, 2).mean_error == 0
    assert selected_violation(100, 0.5) == 1
    assert selected_violation(1, 0.3) == 0.3

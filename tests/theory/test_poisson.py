"""SP-8: Poisson inclusion against all 2^k outcomes, closed forms at 50 digits, mutations."""

import itertools
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sipp_theory.inclusion import expected_kept, inclusion_probabilities
from sipp_theory.poisson import INCLUSION_BOUNDS, inclusion_error, inclusion_rate

CLOSED = ("bernstein", "kl")
PAIR: Any = np.array([0.1, 0.2])


def outcomes(p, rows):
    """|z^/z - 1| (2^k, n) and the mass of every outcome."""
    kept = np.array(list(itertools.product([0.0, 1.0], repeat=p.size)))
    values = np.where(p > 0, rows / np.where(p > 0, p, 1), 0)
    return np.abs(kept @ values.T - 1), np.where(kept > 0, p, 1 - p).prod(axis=1)


def quantile(deviations, masses, delta):
    """Least a with Pr(deviation > a) <= delta; deviations within 1e-12 are one atom."""
    order = np.argsort(deviations)
    values, masses = deviations[order], masses[order]
    beyond = np.concatenate([np.cumsum(masses[::-1])[::-1][1:], [0.0]])
    first = int(np.flatnonzero(beyond <= delta * (1 + 1e-9))[0])
    while first and values[first] - values[first - 1] < 1e-12:
        first -= 1
    return float(values[first])


def true_quantile(rows, p, delta):
    deviations, masses = outcomes(p, rows)
    return max(quantile(column, masses, delta) for column in deviations.T)


def dirichlet(k, n, alpha, seed):
    return np.random.default_rng(seed).dirichlet(np.full(k, alpha), n)


INSTANCES = {
    "one weight": np.array([[1.0]]),
    "one point": dirichlet(6, 1, 1.0, 0),
    "plain": dirichlet(10, 4, 1.0, 1),
    "spiky": dirichlet(12, 3, 0.2, 2),
    "dominant": np.array([[0.97, 0.01, 0.01, 0.005, 0.005], [0.9, 0.04, 0.03, 0.02, 0.01]]),
    "lattice": np.full((1, 8), 0.125),
    "near ties": (np.full(8, 0.125) + np.arange(-4, 4) * 1e-9)[None] / (1 - 4e-9),
    "duplicate rows": np.repeat(dirichlet(7, 1, 0.5, 3), 3, axis=0),
    "huge range": 10.0 ** np.array([[0, -1, -2, -3, -4, -6, -8, -10, -12]]),
}
INSTANCES["huge range"] /= INSTANCES["huge range"].sum()


@pytest.mark.parametrize("name", INSTANCES)
@pytest.mark.parametrize("rate", [0.3, 1.0, 1.7, 6.0, 40.0])
@pytest.mark.parametrize("delta", [1e-3, 0.05, 0.4])
def test_every_bound_covers_the_true_law(name, rate, delta):
    rows = INSTANCES[name]
    s = rows.max(axis=0)
    p = inclusion_probabilities(s, rate)
    true = true_quantile(rows, p, delta)
    errors = {
        bound: float(inclusion_error(s, rate, delta, shares=rows, bound=bound))
        for bound in INCLUSION_BOUNDS
    }
    assert true * (1 - 1e-12) - 1e-15 <= errors["exact"] <= errors["cramer"]
    assert errors["cramer"] <= errors["kl"] * (1 + 1e-9)
    assert errors["kl"] <= errors["bernstein"]
    for bound in CLOSED:
        assert errors[bound] <= inclusion_error(s, rate, delta, bound=bound) * (1 + 1e-14)
    near = true_quantile(rows, p, delta * 0.99)
    spread = float(np.sqrt(((rows**2 / p) @ (1 - p)).max()))
    assert errors["exact"] <= near + 0.05 * spread + 0.01 * near or errors[
        "exact"
    ] == pytest.approx(errors["cramer"], rel=1e-12)


@st.composite
def instances(draw):
    n, k = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    logs = draw(st.lists(st.floats(-12, 0), min_size=n * k, max_size=n * k))
    rows = 10.0 ** np.array(logs).reshape(n, k)
    return rows / rows.sum(axis=1, keepdims=True)


@given(instances(), st.floats(0.2, 50), st.sampled_from([1e-3, 0.05, 0.3]))
def test_soundness_on_drawn_instances(rows, rate, delta):
    s = rows.max(axis=0)
    true = true_quantile(rows, inclusion_probabilities(s, rate), delta)
    for bound in INCLUSION_BOUNDS:
        got = float(inclusion_error(s, rate, delta, shares=rows, bound=bound))
        assert got >= true * (1 - 1e-9) - 1e-13


@settings(max_examples=25)
@given(instances(), st.floats(0.05, 0.9), st.floats(1e-4, 0.5))
def test_rates_and_errors_are_inverses(rows, eps, delta):
    s = rows.max(axis=0)
    rates = []
    for bound in INCLUSION_BOUNDS:
        shares = None if bound in CLOSED else rows
        rate = float(inclusion_rate(s, eps, delta, shares=shares, bound=bound))
        assert inclusion_error(s, rate, delta, shares=shares, bound=bound) <= eps
        rates.append(rate)
    assert rates[1] <= rates[0] and rates[2] <= rates[1] * (1 + 1e-9)
    # Both are within the tolerance of the bisection, and errors jump where a weight turns certain.
    assert rates[3] <= rates[2] * 1.005
    for bound, rate in zip(CLOSED, rates[:2], strict=True):
        assert inclusion_error(s, rate * (1 - 1e-9), delta, bound=bound) > eps


@pytest.mark.parametrize("bound", ["cramer", "exact"])
@pytest.mark.parametrize("name", ["plain", "spiky", "lattice", "duplicate rows"])
def test_instance_rate_is_least_to_its_tolerance(bound, name):
    rows = INSTANCES[name]
    s = rows.max(axis=0)
    rate = float(inclusion_rate(s, 0.3, 0.05, shares=rows, bound=bound))
    assert inclusion_error(s, rate, 0.05, shares=rows, bound=bound) <= 0.3
    assert inclusion_error(s, rate * 0.995, 0.05, shares=rows, bound=bound) > 0.3


def test_instance_rate_is_least_where_little_is_random():
    """Once the heavy weight is certain the rest is 0.1% of the sum: a rate of 1.001 does it."""
    rows = np.array([[0.999, 0.001], [0.9995, 0.0005]])
    s = rows.max(axis=0)
    assert inclusion_error(s, 1.01, 0.05, shares=rows, bound="exact") <= 0.01
    assert inclusion_rate(s, 0.01, 0.05, shares=rows, bound="exact") <= 1.01 * 1.003


@pytest.mark.parametrize("delta", [1e-12, 0.05, 0.9])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_closed_forms_at_50_digits(delta, factor):
    s = np.array([0.9, 0.3, 0.3, 0.1, 0.05, 0.01, 1e-6])
    with mp.workdps(50):
        log = mp.log(2 / mp.mpf(delta))
        for rate in (0.5, 1.5, 3.5, 11.0, 500.0):
            moving = mp.fsum(mp.mpf(x) for x in s if rate * x < 1)
            share = min(mp.mpf(1), factor * moving)
            b = factor * log / mp.mpf(rate)
            true = b / 3 + mp.sqrt((b / 3) ** 2 + 2 * b * share)
            got = mp.mpf(float(inclusion_error(s, rate, delta, coverage_factor=factor)))
            assert true <= got <= true * (1 + mp.mpf("1e-12"))
            kl = inclusion_error(s, rate, delta, coverage_factor=factor, bound="kl")

            def excess(e, share=share):
                t = e / share
                return share * ((1 + t) * mp.log(1 + t) - t)

            kl = mp.mpf(float(kl))
            assert excess(kl) >= b > excess(kl * (1 - mp.mpf("1e-12")))


@pytest.mark.parametrize("bound", CLOSED)
@pytest.mark.parametrize("eps", [1e-6, 0.05, 0.5, 0.99])
def test_closed_rate_is_least_by_a_dense_scan(bound, eps):
    """The least c over all of (0, inf), thresholds 1/s_j included: no cheaper c holds."""
    rng = np.random.default_rng(4)
    s = np.concatenate([[0.95, 0.5, 0.5], rng.random(6) * 0.2])
    rate = float(inclusion_rate(s, eps, 0.05, bound=bound))
    assert inclusion_error(s, rate, 0.05, bound=bound) <= eps
    scan = np.concatenate([np.geomspace(1e-3, 1, 300), (1 / s) / rate, [1 - 1e-9]])
    for c in scan[scan < 1 - 1e-12] * rate:
        assert inclusion_error(s, float(c), 0.05, bound=bound) > eps


@pytest.mark.parametrize("bound", INCLUSION_BOUNDS)
@pytest.mark.parametrize("delta", [1e-3, 0.01])
def test_coverage_of_many_equal_weights_by_the_binomial_law(bound, delta):
    """k equal weights: z^/z = Bin(k, p)/(k p). Sound, at most some twice too dear."""
    k, eps = 3_000, 0.25
    rows = np.full((1, k), 1 / k)
    shares = rows if bound in ("cramer", "exact") else None
    rate = float(inclusion_rate(rows[0], eps, delta, shares=shares, bound=bound))

    def failure(c):
        count = np.arange(k + 1)
        p = c / k
        return stats.binom.pmf(count, k, p)[np.abs(count / (k * p) - 1) > eps].sum()

    assert failure(rate) <= delta
    assert failure(rate / 2) > delta  # mutation: half the rate
    if bound == "exact":
        assert failure(rate * 0.9) > delta
    log = np.log(2 / delta)
    assert failure(2 / 3 * log / eps) > delta  # mutation: the variance term dropped


def test_two_sides_must_be_paid_for():
    """One weight at p = 1/2 misses by its whole value, always: ln(1/delta) would promise less."""
    for bound in INCLUSION_BOUNDS:
        assert inclusion_error([1.0], 0.5, 0.9, shares=[[1.0]], bound=bound) >= 1
    log = np.log(1 / 0.9)  # Bernstein's form with one side
    assert log / 1.5 + np.sqrt((log / 1.5) ** 2 + 4 * log) < 1


def test_coverage_by_monte_carlo():
    rng = np.random.default_rng(21)
    rows = dirichlet(60, 20, 0.3, 22)
    s = rows.max(axis=0)
    eps, delta, trials = 0.2, 0.05, 30_000

    def worst(rate):
        p = inclusion_probabilities(s, rate)
        kept = rng.random((trials, s.size)) < p
        bad = (np.abs(kept @ (rows / p).T - 1) > eps).sum(axis=0)
        return stats.binomtest(int(bad.max()), trials).proportion_ci(0.9999)

    for bound in INCLUSION_BOUNDS:
        rate = float(inclusion_rate(s, eps, delta, shares=rows, bound=bound))
        interval = worst(rate)
        assert interval.low <= delta
        if bound == "exact":
            assert interval.high >= 0.8 * delta
            assert worst(0.9 * rate).low > delta
        elif bound == "cramer":
            assert interval.high <= delta and worst(rate / 2).low > delta


def test_shares_and_a_coverage_factor_do_not_mix():
    """G_R seen on S says nothing of a fresh input that merely has g_j <= C s_j."""
    k = 10_000
    rows = np.zeros((2, k + 1))
    rows[:, k] = 1 - 1e-4
    rows[0, 0] = rows[1, 1] = 1e-4
    s = np.full(k + 1, 1e-4)
    s[k] = 1 - 1e-4
    fresh = np.full(k, 1e-4)  # within the coverage event at every C >= 1
    rate, delta = 1000.0, 0.05
    p = inclusion_probabilities(s, rate)[:k]
    true = float(np.sqrt((fresh**2 / p) @ (1 - p)))  # one standard deviation
    without = float(inclusion_error(s, rate, delta, coverage_factor=2.0))
    assert without >= 2 * true
    with pytest.raises(ValueError, match="coverage_factor"):
        inclusion_error(s, rate, delta, shares=rows, coverage_factor=2.0)


def test_probabilities_and_expected_count():
    s = [0.5, 0.25, 0.0]
    assert inclusion_probabilities(s, 2.0).tolist() == [1, 0.5, 0]
    assert inclusion_probabilities(s, np.inf).tolist() == [1, 1, 0]
    assert inclusion_probabilities(s, 0.0).tolist() == [0, 0, 0]
    assert expected_kept(s, 2.0) == 1.5 and expected_kept(s, np.inf) == 2
    rng = np.random.default_rng(0)
    s = rng.random(30)
    kept = rng.random((20_000, 30)) < inclusion_probabilities(s, 2.0)
    count = kept.sum(axis=1)
    assert abs(count.mean() - expected_kept(s, 2.0)) < 5 * count.std() / np.sqrt(20_000)


@pytest.mark.parametrize("bound", INCLUSION_BOUNDS)
def test_degenerate_neurons(bound):
    shares = [[0.6, 0.4, 0.0]]
    s = [0.6, 0.4, 0.0]
    assert inclusion_error(s, np.inf, 0.05, shares=shares, bound=bound) == 0
    assert inclusion_error(s, 2.5, 0.05, shares=shares, bound=bound) == 0
    assert inclusion_error(s, 0.0, 0.05, shares=shares, bound=bound) == np.inf
    dead = [[0.0, 0.0, 0.0]]
    assert inclusion_error([0.0] * 3, 0.0, 0.05, shares=dead, bound=bound) == 0
    assert inclusion_error([0.0] * 3, 1.0, 0.05, shares=dead, bound=bound) == 0
    assert inclusion_rate([0.0] * 3, 0.1, 0.05, shares=dead, bound=bound) == 0
    # One weight is all or nothing: certain, or to the exact tail missed with probability delta.
    single = inclusion_rate([1.0], 0.5, 0.05, shares=[[1.0]], bound=bound)
    low = 0.95 if bound == "exact" else 1.0
    assert low <= single <= low * 1.005
    # No rate past the one at which every weight is certain.
    assert inclusion_rate(s, 1e-9, 1e-9, shares=shares, bound=bound) <= 2.5 * (1 + 1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: inclusion_error([0.9, -0.1], 1.0, 0.1), r"sensitivity.*-0\.1 at index 1"),
        (lambda: inclusion_error([0.9, np.nan], 1.0, 0.1), "sensitivity must be finite; found nan"),
        (lambda: inclusion_error([0.9], -1.0, 0.1), r"rate must be at least 0; found -1\.0"),
        (lambda: inclusion_error([0.9], np.nan, 0.1), "rate must be at least 0; found nan"),
        (lambda: inclusion_error([1.0], 1.0, 1.0), r"delta must be .*found 1\.0"),
        (lambda: inclusion_rate([1.0], 0.0, 0.1), r"eps must be .*found 0\.0"),
        (lambda: inclusion_rate([1.0], 0.1, np.nan), "delta must be .*found nan"),
        (lambda: inclusion_error([1.0], 1.0, 0.1, coverage_factor=0.9), r"coverage_factor.*0\.9"),
        (lambda: inclusion_error([1.0], 1.0, 0.1, bound="corenet"), "bound must be.*'corenet'"),
        (lambda: inclusion_rate([1.0], 0.1, 0.1, bound="exact"), "bound 'exact' needs shares"),
        (
            lambda: inclusion_error([1.0], 1, 0.1, shares=[[1.0]], bound="cramer",
                                    coverage_factor=2),
            "'cramer' holds at the given inputs: coverage_factor must be 1",
        ),
        (lambda: inclusion_error([1.0], 1.0, 0.1, shares=[[0.5, 0.5]]), "shares must have 1 col"),
        (lambda: inclusion_error([1.0], 1.0, 0.1, shares=[[0.7]]), r"shares row 0.*0\.7"),
        (
            lambda: inclusion_rate([1.0, 0.0], 0.1, 0.1, shares=[[0.7, 0.3]], bound="exact"),
            "weight 1 has share .*0.3.* at input 0",
        ),
        (lambda: expected_kept([-1.0], 1.0), r"sensitivity.*found -1\.0 at index 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: inclusion_error([1.0], 1.0, PAIR), "delta"),
        (lambda: inclusion_rate([1.0], PAIR, 0.1), "eps"),
        (lambda: inclusion_error([3.0, 0.2], 1.0, 0.1), "sensitivity"),
        (lambda: inclusion_error([0.1, 0.2], 1.0, 0.1), "sensitivity"),  # sum < 1: ES-2
        (lambda: inclusion_error(0.9, 1.0, 0.1), "sensitivity"),
        (lambda: inclusion_rate([[0.9, 0.2]], 0.1, 0.1), "sensitivity"),
        (lambda: inclusion_rate([0.9, 0.2], 0.1, 0.1, shares=[[0.5, 0.3, 0.2]]), "shares"),
        (lambda: inclusion_error([0.6, 0.4], 1.0, 0.1, shares=[[0.2, 0.8]]), "shares"),  # g > C s
        (lambda: inclusion_rate([1.0, 0.0], 0.1, 0.1, shares=[[0.7, 0.3]]), "share"),
    ],
)
def test_broken_premises_are_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

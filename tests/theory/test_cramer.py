"""SP-5: Legendre transforms at 50 digits, exact enumeration, coverage and its mutations."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sipp_theory.chernoff import kl_size
from sipp_theory.cramer import cramer_error, cramer_row_errors, cramer_size, inverse_rate
from sipp_theory.laws import (
    draw_moments,
    draws_instance,
    draws_log_mgf,
    inclusion_instance,
    inclusion_log_mgf,
)
from sipp_theory.multinomial import bernstein_size
from sipp_theory.search import bernstein_row_errors

INSTANCES = {
    "plain": ([[0.7, 0.2, 0.1]], [0.5, 0.3, 0.2]),
    "two rows": ([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], [0.4, 0.1, 0.5]),
    "coin": ([[1.0, 0.0]], [0.5, 0.5]),
    "dominant": ([[0.999, 0.0009, 0.0001], [0.98, 0.01, 0.01]], [0.97, 0.015, 0.015]),
    "near ties": ([[0.3333333, 0.3333334, 0.3333333]], [0.3333334, 0.3333333, 0.3333333]),
    "wide": ([[1 - 1.5e-6, 1e-6, 5e-7], [1 - 1e-12, 1e-12, 0.0]], [0.99, 0.009, 0.001]),
}


def side_law(shares, q, side):
    """Centred draws of one input, exactly normalised as the library does, at high precision."""
    g, chance = ([mp.mpf(float(x)) for x in row] for row in (shares, q))
    g, chance = [x / mp.fsum(g) for x in g], [x / mp.fsum(chance) for x in chance]
    return [side * (a / b - 1) for a, b in zip(g, chance, strict=True)], chance


def log_mgf(values, q, mu):
    return mp.log(mp.fsum(c * mp.exp(mu * v) for v, c in zip(values, q, strict=True)))


def slope(values, q, mu):
    weights = [c * mp.exp(mu * v) for v, c in zip(values, q, strict=True)]
    return mp.fsum(w * v for w, v in zip(weights, values, strict=True)) / mp.fsum(weights)


def root(function, start):
    """Root of an increasing function on (0, inf) by bisection; None if it stays negative."""
    low, high = mp.mpf(0), mp.mpf(start)
    while function(high) < 0:
        low, high = high, 2 * high
        if high > mp.mpf(10) ** 12 * start:
            return None
    for _ in range(140):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return high


def true_row_error(shares, q, m, delta):
    """inf over mu of (K(mu) + y)/mu by the root of mu K' - K = y, on the worse side."""
    y, worst = mp.log(2 / mp.mpf(delta)) / mp.mpf(m), mp.mpf(0)
    for side in (1, -1):
        values, chance = side_law(shares, q, side)
        variance = mp.fsum(c * v**2 for v, c in zip(values, chance, strict=True))

        def gap(mu, values=values, chance=chance):
            return mu * slope(values, chance, mu) - log_mgf(values, chance, mu) - y

        mu = root(gap, mp.sqrt(2 * y / variance))
        worst = max(worst, max(values) if mu is None else (log_mgf(values, chance, mu) + y) / mu)
    return worst


def true_rate(shares, q, eps):
    """min(I(1 + eps), I(1 - eps)) by the root of K' = eps."""
    sides = []
    for side in (1, -1):
        values, chance = side_law(shares, q, side)
        top = max(values)
        if eps > top:
            continue
        if eps == top:
            mass = mp.fsum(c for v, c in zip(values, chance, strict=True) if v == top)
            sides.append(-mp.log(mass))
            continue
        variance = mp.fsum(c * v**2 for v, c in zip(values, chance, strict=True))
        mu = root(lambda mu, v=values, c=chance: slope(v, c, mu) - mp.mpf(eps), eps / variance)
        assert mu is not None
        sides.append(mu * mp.mpf(eps) - log_mgf(values, chance, mu))
    return min(sides, default=mp.inf)


@pytest.mark.parametrize("name", INSTANCES)
@pytest.mark.parametrize("m", [1, 7, 400, 20_000])
@pytest.mark.parametrize("delta", [1e-6, 0.05, 0.7])
def test_error_at_60_digits(name, m, delta):
    shares, q = INSTANCES[name]
    got = mp.mpf(float(cramer_error(shares, q, m, delta)))
    with mp.workdps(60):
        true = max(true_row_error(row, q, m, delta) for row in shares)
        # y is some L/m, so float64 leaves of K about m 1e-16, relative; g/q - 1 is good to 1e-16.
        assert true * (1 - mp.mpf("1e-11")) - 2e-16 <= got <= true * (1 + mp.mpf("1e-9")) + 2e-16


@pytest.mark.parametrize("name", ["plain", "coin", "wide"])
def test_error_is_rounded_up_whatever_m(name):
    shares, q = INSTANCES[name]
    with mp.workdps(60):
        for m in (100, 1e5, 1e7, 1e9, 1e12, 1e14):
            true = max(true_row_error(row, q, m, 0.05) for row in shares)
            assert true <= mp.mpf(float(cramer_error(shares, q, m, 0.05))) <= true * (1 + 1e-6)


@pytest.mark.parametrize("name", INSTANCES)
@pytest.mark.parametrize("eps", [0.02, 0.1, 0.45, 0.9])
def test_size_is_the_ceiling_of_the_formula(name, eps):
    shares, q = INSTANCES[name]
    got = cramer_size(shares, q, eps, 0.05)
    with mp.workdps(60):
        true = max(mp.log(40) / true_rate(row, q, eps) for row in shares)
        assert got == max(1, mp.ceil(true))


def test_closed_form_for_a_fair_coin():
    """T in {0, 2}: I(1 + e) = kl((1 + e)/2 || 1/2), so SP-5 is SP-4 there."""
    for eps in (0.01, 0.1, 0.5, 0.9):
        assert cramer_size([1.0, 0.0], [0.5, 0.5], eps, 0.05) == kl_size(2.0, eps, 0.05)


@st.composite
def instances(draw):
    """Shares over up to twelve decades, with s = max over inputs and q = s/S as SiPP has them."""
    n, k = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    entry = st.one_of(st.just(0.0), st.floats(-12, 0).map(lambda e: 10.0**e))
    raw = np.array(draw(st.lists(entry, min_size=n * k, max_size=n * k))).reshape(n, k)
    raw[:, 0] = np.maximum(raw[:, 0], 1e-3)
    shares = raw / raw.sum(axis=1, keepdims=True)
    s = shares.max(axis=0)
    return shares, s / s.sum(), float(s.sum())


@given(instances(), st.floats(0.05, 0.9), st.floats(1e-6, 0.5))
def test_inverse_and_ladder(instance, eps, delta):
    shares, q, total = instance
    size = cramer_size(shares, q, eps, delta)
    assert cramer_error(shares, q, size, delta) <= eps
    assert size == 1 or cramer_error(shares, q, size - 1, delta) > eps
    assert size <= kl_size(total, eps, delta) <= bernstein_size(total, eps, delta)


@given(instances(), st.integers(1, 500), st.floats(1e-6, 0.5))
def test_the_screen_never_hides_a_worse_input(instance, m, delta):
    """Bernstein per input is an upper bound, and the worst over inputs is really the worst."""
    shares, q, _ = instance
    law = draws_instance(shares, q)
    rows = cramer_row_errors(law, m, delta)
    assert (rows <= bernstein_row_errors(law, m, delta) * (1 + 1e-9)).all()
    worst = float(cramer_error(shares, q, m, delta))
    assert worst == pytest.approx(float(rows.max()), rel=1e-9, abs=1e-300)


@given(instances(), st.floats(0.1, 0.9))
def test_permuting_and_repeating_change_nothing(instance, eps):
    shares, q, _ = instance
    size = cramer_size(shares, q, eps, 0.05)
    order = np.arange(q.size)[::-1]
    assert cramer_size(shares[:, order], q[order], eps, 0.05) == pytest.approx(size, abs=1)
    assert cramer_size(np.vstack([shares, shares]), q, eps, 0.05) == pytest.approx(size, abs=1)
    dead = np.vstack([shares, np.zeros(q.size)])
    assert cramer_size(dead, q, eps, 0.05) == size


def enumerated_failure(g, q, m, eps):
    """Pr(|z^/z - 1| > eps) for two weights, by the binomial law."""
    count = np.arange(m + 1)
    ratio = (count * g[0] / q[0] + (m - count) * g[1] / q[1]) / m
    return float(stats.binom.pmf(count, m, q[0])[np.abs(ratio - 1) > eps].sum())


@pytest.mark.parametrize("g", [(1.0, 0.0), (0.9, 0.1), (0.3, 0.7), (0.02, 0.98)])
@pytest.mark.parametrize("delta", [1e-4, 0.01])
def test_sound_and_not_loose_by_enumeration(g, delta):
    q, eps = (0.1, 0.9), 0.2
    m = int(cramer_size([g], q, eps, delta))
    assert enumerated_failure(g, q, m, eps) <= delta
    if m > 20:
        assert enumerated_failure(g, q, m // 3, eps) > delta  # mutation: a third of the draws


def test_two_sides_must_be_paid_for():
    """With ln(1/delta) for ln(2/delta) one fair coin refutes the bound: delta' = 2 delta."""
    coin, delta, eps = (1.0, 0.0), 0.6, 0.999
    m = int(cramer_size([coin], (0.5, 0.5), eps, delta))
    assert enumerated_failure(coin, (0.5, 0.5), m, eps) <= delta
    exponent = float(np.log(1 / delta))
    broken = int(np.ceil(exponent / (np.log(2 / delta) / m)))
    law = draws_instance([coin], (0.5, 0.5))
    variance, largest = draw_moments(law)
    while (
        inverse_rate(
            draws_log_mgf(law, 1.0), variance, np.full(1, exponent / max(broken - 1, 1)), largest
        )[0]
        <= eps
        and broken > 1
    ):
        broken -= 1
    assert enumerated_failure(coin, (0.5, 0.5), broken, eps) > delta


def test_coverage_by_monte_carlo():
    rng = np.random.default_rng(11)
    shares = rng.dirichlet(np.full(12, 0.4), 30)
    s = shares.max(axis=0)
    q, eps, delta, trials = s / s.sum(), 0.2, 0.01, 30_000
    m = int(cramer_size(shares, q, eps, delta))

    def worst(draws):
        estimates = rng.multinomial(draws, q, trials) @ (shares / q).T / draws
        bad = (np.abs(estimates - 1) > eps).sum(axis=0)
        return stats.binomtest(int(bad.max()), trials).proportion_ci(0.9999)

    assert worst(m).high <= delta
    assert worst(m).high >= delta / 20
    assert worst(m // 2).low > delta


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_log_mgfs_against_their_definition(side):
    rng = np.random.default_rng(3)
    shares, p = rng.dirichlet(np.ones(5), 3), np.array([0.1, 0.3, 0.5, 0.9, 0.99])
    q = p / p.sum()
    for mu in (1e-3, 0.7, 5.0):
        draws = draws_log_mgf(draws_instance(shares, q), side)(np.full(3, mu))
        inclusion = inclusion_log_mgf(inclusion_instance(shares, p), side)(np.full(3, mu))
        with mp.workdps(40):
            for row in range(3):
                values, chance = side_law(shares[row], q, side)

                def one(t, values=values, chance=chance):
                    return log_mgf(values, chance, t)

                terms = [(mp.mpf(g), mp.mpf(c)) for g, c in zip(shares[row], p, strict=True)]

                def whole(t, terms=terms):
                    return mp.fsum(
                        mp.log(1 - c + c * mp.exp(t * side * g / c)) - t * side * g
                        for g, c in terms
                    )

                for got, law in ((draws, one), (inclusion, whole)):
                    for order in range(3):
                        want = float(mp.diff(law, mu, order))
                        assert got[order][row] == pytest.approx(want, rel=1e-8, abs=1e-14)


def test_degenerate_instances():
    assert cramer_size([[0.0, 0.0]], [0.5, 0.5], 0.1, 0.05) == 0
    assert cramer_error([[0.0, 0.0]], [0.5, 0.5], 0, 0.05) == 0
    assert cramer_size([1.0], [1.0], 0.1, 0.05) == 1
    assert cramer_error([1.0], [1.0], 1, 1e-9) == 0
    assert cramer_error([[0.25, 0.75]], [0.25, 0.75], 1, 1e-9) == 0
    assert cramer_error([1.0, 0.0], [0.5, 0.5], 0, 0.05) == np.inf
    # No deviation past the largest possible one: 1 below, M - 1 above.
    assert cramer_error([1.0, 0.0], [0.25, 0.75], 1, 1e-9) == pytest.approx(3, rel=1e-9)


def test_limit_says_when_a_size_is_of_no_use():
    shares, q = INSTANCES["plain"]
    size = float(cramer_size(shares, q, 0.1, 0.05))
    assert cramer_size(shares, q, 0.1, 0.05, limit=size) == size
    assert cramer_size(shares, q, 0.1, 0.05, limit=size - 1) == np.inf
    assert cramer_size(shares, q, 0.1, 0.05, limit=0) == np.inf


def test_float32_shares_are_renormalised():
    shares = np.array([[0.7, 0.2, 0.1]], np.float32)
    assert cramer_size(shares, [0.5, 0.3, 0.2], 0.1, 0.05) == pytest.approx(
        float(cramer_size([[0.7, 0.2, 0.1]], [0.5, 0.3, 0.2], 0.1, 0.05)), abs=1
    )


@pytest.mark.parametrize(
    ("shares", "q", "words"),
    [
        ([[0.5, 0.4]], [0.5, 0.5], r"shares row 0 must add up to 1.*0\.9"),
        ([[0.5, 0.5], [1.5, -0.5]], [0.5, 0.5], r"shares.*-0\.5 at index \(1, 1\)"),
        ([[0.5, np.nan]], [0.5, 0.5], r"shares must be finite; found nan at index \(0, 1\)"),
        ([[[0.5, 0.5]]], [0.5, 0.5], r"shares must be \(n, k\).*\(1, 1, 2\)"),
        ([[0.5, 0.5]], [0.5, 0.25, 0.25], r"probabilities must have shape \(2,\).*\(3,\)"),
        ([[0.5, 0.5]], [0.5, 0.4], r"probabilities must add up to 1; found 0\.9"),
        ([[0.5, 0.5]], [1.5, -0.5], r"probabilities.*-0\.5 at index 1"),
        ([[0.5, 0.5], [0.9, 0.1]], [1.0, 0.0], r"weight 1 has share .*0\.5.* at input 0"),
    ],
)
def test_bad_instances_are_refused_by_name(shares, q, words):
    with pytest.raises(ValueError, match=words):
        cramer_size(shares, q, 0.1, 0.05)
    with pytest.raises(ValueError, match=words):
        cramer_error(shares, q, 10, 0.05)


@pytest.mark.parametrize("name", ["eps", "delta", "m"])
def test_one_number_at_a_time(name):
    with pytest.raises(ValueError, match=f"{name} must be one number"):
        if name == "m":
            cramer_error([1.0, 0.0], [0.5, 0.5], [3, 4], 0.05)
        elif name == "eps":
            cramer_size([1.0, 0.0], [0.5, 0.5], [0.1, 0.2], 0.05)
        else:
            cramer_size([1.0, 0.0], [0.5, 0.5], 0.1, [0.1, 0.2])

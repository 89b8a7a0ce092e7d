"""SP-5x: drawn instances by enumeration, long convolutions, degenerate inputs, refusals."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from sipp_theory.draws.cramer import cramer_error
from sipp_theory.draws.exact import bernstein_radius, exact_error, exact_row_error, exact_size
from sipp_theory.draws.exact import tail_quantile as steps_quantile
from sipp_theory.draws.law_of_a_draw import draws_instance


def quantile(deviations, masses, delta):
    """Least a with Pr(deviation > a) <= delta; deviations within 1e-12 are one atom."""
    order = np.argsort(deviations)
    values, masses = deviations[order], masses[order]
    beyond = np.concatenate([np.cumsum(masses[::-1])[::-1][1:], [0.0]])
    first = int(np.flatnonzero(beyond <= delta * (1 + 1e-9))[0])
    while first and values[first] - values[first - 1] < 1e-12:
        first -= 1
    return float(values[first])


def multinomial_deviations(g, q, m):
    """|z^/z - 1| and its mass for every outcome: deviations in rational arithmetic."""
    ratios = [Fraction(a) / Fraction(b) for a, b in zip(g, q, strict=True)]
    deviations, masses = [], []
    for counts in itertools.product(range(m + 1), repeat=len(g) - 1):
        last = m - sum(counts)
        if last >= 0:
            full = (*counts, last)
            ratio = sum((c * r for c, r in zip(full, ratios, strict=True)), Fraction(0)) / m
            deviations.append(float(abs(ratio - 1)))
            # One coefficient at a time: the law is exact up to float64's own rounding.
            log = special.gammaln(m + 1) - sum(special.gammaln(c + 1) for c in full)
            masses.append(np.exp(log + sum(c * np.log(x) for c, x in zip(full, q, strict=True))))
    return np.array(deviations), np.array(masses)


def binomial_deviations(g, q, m):
    count = np.arange(m + 1)
    ratio = (count * (g[0] / q[0]) + (m - count) * (g[1] / q[1])) / m
    return np.abs(ratio - 1), stats.binom.pmf(count, m, q[0])


SMALL = {
    "coin": ((1.0, 0.0), (0.5, 0.5)),
    "lattice": ((0.75, 0.25), (0.25, 0.75)),
    "near tie": ((0.5000001, 0.4999999), (0.5, 0.5)),
    "rare": ((0.9, 0.1), (0.999, 0.001)),
    "three": ((0.5, 0.3, 0.2), (0.2, 0.3, 0.5)),
    "dominant": ((0.98, 0.015, 0.005), (0.9, 0.05, 0.05)),
    "three lattice": ((0.5, 0.25, 0.25), (0.25, 0.5, 0.25)),
    "duplicate weights": ((0.4, 0.4, 0.2), (0.3, 0.3, 0.4)),
    "huge range": ((1 - 1e-6 - 1e-12, 1e-6, 1e-12), (0.999, 0.000999, 0.000001)),
}


@pytest.mark.parametrize("name", ["coin", "lattice", "near tie", "rare"])
@pytest.mark.parametrize("m", [200, 5_000, 300_000])
@pytest.mark.parametrize("delta", [1e-6, 0.01, 0.3])
def test_long_convolutions_stay_sound(name, m, delta):
    g, q = SMALL[name]
    deviations, masses = binomial_deviations(g, q, m)
    got = float(exact_error([g], q, m, delta))
    assert got >= quantile(deviations, masses, delta) * (1 - 1e-12)
    near = quantile(deviations, masses, delta * 0.99)
    assert got <= near * 1.03 + 1.01 * max(abs(g[0] / q[0] - g[1] / q[1]) / m * 0.02, 0)


@st.composite
def instances(draw):
    k = draw(st.integers(2, 3))
    weights = draw(st.lists(st.floats(-12, 0), min_size=2 * k, max_size=2 * k))
    g, q = 10.0 ** np.array(weights[:k]), 10.0 ** (np.array(weights[k:]) / 8)
    return g / g.sum(), q / q.sum()


@given(instances(), st.integers(1, 18), st.sampled_from([1e-3, 0.05, 0.3]))
def test_soundness_on_drawn_instances(instance, m, delta):
    g, q = instance
    deviations, masses = multinomial_deviations(g.tolist(), q.tolist(), m)
    got = float(exact_error([g], q, m, delta))
    # Rows that do not move beyond rounding are called constant.
    assert got >= quantile(deviations, masses, delta) * (1 - 1e-9) - 1e-13
    assert got <= cramer_error([g], q, m, delta)


def test_the_size_is_what_the_true_law_needs():
    """Against the least m from which the binomial tail stays below delta: some percent apart."""
    eps, delta = 0.1, 0.02
    for g, q in (((0.9, 0.1), (0.7, 0.3)), ((0.05, 0.95), (0.3, 0.7)), ((1.0, 0.0), (0.2, 0.8))):
        size = int(exact_size([g], q, eps, delta))

        def failure(m, g=g, q=q):
            deviations, masses = binomial_deviations(g, q, m)
            return masses[deviations > eps * (1 + 1e-12)].sum()

        assert failure(size) <= delta
        assert max(failure(m) for m in range(int(size * 0.85), int(size * 0.97))) > delta


def test_cramer_is_a_ceiling():
    law = draws_instance([[0.5, 0.3, 0.2]], [0.2, 0.3, 0.5])
    assert exact_row_error(law, 0, 400, 0.05, 1e-3) == 1e-3


def test_steps_quantile_folds_both_sides():
    even = np.array([0.4, 0.2, 0.1, 0.05, 0.1, 0.15])  # indices 0 1 2 -3 -2 -1
    odd = np.array([0.5, 0.2, 0.1, 0.05, 0.15])  # indices 0 1 2 -2 -1
    for pmf, index in ((even, [0, 1, 2, 3, 2, 1]), (odd, [0, 1, 2, 2, 1])):
        for allowed in (0.0, 0.04, 0.06, 0.17, 0.19, 0.26, 0.61, 0.99):
            want = min(
                a
                for a in range(4)
                if sum(p for p, i in zip(pmf, index, strict=True) if i > a) <= allowed
            )
            assert steps_quantile(pmf, 0.0, allowed + 1e-12) == want
    assert steps_quantile(odd, 0.2, 0.1) == np.inf
    assert steps_quantile(np.array([1.0]), 0.0, 0.5) == 0


@pytest.mark.parametrize("log", [0.1, 3.0, 20.0])
def test_bernstein_radius_is_the_root_of_its_tail(log):
    for variance, largest in ((1.0, 0.0), (0.3, 2.0), (0.0, 1.0), (1e-20, 1.0)):
        r = bernstein_radius(variance, largest, log)
        # r^2/(2 V + 2 largest r/3) = log.
        assert r**2 == pytest.approx(log * (2 * variance + 2 * largest * r / 3), rel=1e-10)
        assert r**2 >= log * (2 * variance + 2 * largest * r / 3)


def test_degenerate_instances():
    assert exact_size([[0.0, 0.0]], [0.5, 0.5], 0.1, 0.05) == 0
    assert exact_error([[0.0, 0.0]], [0.5, 0.5], 0, 0.05) == 0
    assert exact_size([1.0], [1.0], 0.1, 0.05) == 1
    assert exact_error([[0.25, 0.75]], [0.25, 0.75], 1, 1e-9) == 0
    assert exact_error([1.0, 0.0], [0.5, 0.5], 0, 0.05) == np.inf
    # A law of one draw has no error smaller than its own deviation.
    assert exact_error([1.0, 0.0], [0.5, 0.5], 1, 0.9) >= 1
    assert exact_error([1.0, 0.0], [1e-9, 1 - 1e-9], 1, 1e-10) == pytest.approx(1e9, rel=1e-6)


def test_limit_says_when_a_size_is_of_no_use():
    g, q = SMALL["three"]
    size = float(exact_size([g], q, 0.2, 0.05))
    assert exact_size([g], q, 0.2, 0.05, limit=size) == size
    assert exact_size([g], q, 0.2, 0.05, limit=size - 1) == np.inf
    assert exact_size([g], q, 0.2, 0.05, limit=0) == np.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exact_error([1.0, 0.0], [0.5, 0.5], 2.5, 0.05), r"m must be a whole.*2\.5"),
        (lambda: exact_error([1.0, 0.0], [0.5, 0.5], [2, 3], 0.05), "m must be one number"),
        (lambda: exact_error([1.0, 0.0], [0.5, 0.5], 2, [0.1, 0.2]), "delta must be one number"),
        (lambda: exact_size([1.0, 0.0], [0.5, 0.5], [0.1, 0.2], 0.1), "eps must be one number"),
        (lambda: exact_size([1.0, 0.0], [0.5, 0.5], np.inf, 0.1), "eps must be .*found inf"),
        (lambda: exact_size([1.0, 0.0], [0.5, 0.6], 0.1, 0.1), r"add up to 1; found 1\.1"),
        (lambda: exact_size([0.9, 0.0], [0.5, 0.5], 0.1, 0.1), r"shares row 0.*found sum .*0\.9"),
        (lambda: exact_size([0.5, 0.5], [1.0, 0.0], 0.1, 0.1), "weight 1 has share"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

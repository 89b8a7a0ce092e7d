"""SP-5: its screen, moments by definition, degenerate inputs, refusals."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipp_theory.draws.cramer import cramer_error, cramer_row_errors, cramer_size
from sipp_theory.draws.law_of_a_draw import (
    draws_instance,
    draws_log_mgf,
    inclusion_instance,
    inclusion_log_mgf,
)
from sipp_theory.draws.worst_input import bernstein_row_errors


def side_law(shares, q, side):
    """Centred draws of one input, exactly normalised as the library does, at high precision."""
    g, chance = ([mp.mpf(float(x)) for x in row] for row in (shares, q))
    g, chance = [x / mp.fsum(g) for x in g], [x / mp.fsum(chance) for x in chance]
    return [side * (a / b - 1) for a, b in zip(g, chance, strict=True)], chance


def log_mgf(values, q, mu):
    return mp.log(mp.fsum(c * mp.exp(mu * v) for v, c in zip(values, q, strict=True)))


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


@given(instances(), st.integers(1, 500), st.floats(1e-6, 0.5))
def test_the_screen_never_hides_a_worse_input(instance, m, delta):
    """Bernstein per input is an upper bound, and the worst over inputs is really the worst."""
    shares, q, _ = instance
    law = draws_instance(shares, q)
    rows = cramer_row_errors(law, m, delta)
    assert (rows <= bernstein_row_errors(law, m, delta) * (1 + 1e-9)).all()
    worst = float(cramer_error(shares, q, m, delta))
    assert worst == pytest.approx(float(rows.max()), rel=1e-9, abs=1e-300)


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
    shares, q = ([[0.7, 0.2, 0.1]], [0.5, 0.3, 0.2])
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

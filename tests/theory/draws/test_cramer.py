"""SP-5: its screen, moments by definition, degenerate inputs, refusals."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_check.draws.laws import instance
from proofs_check.instances.strategies import share_rows
from sipp_theory.draws import cramer
from sipp_theory.draws.cramer import cramer_error, cramer_row_errors, cramer_size
from sipp_theory.draws.law_of_a_draw import (
    draws_instance,
    inclusion_instance,
    inclusion_log_mgf,
    instance_of,
)
from sipp_theory.draws.worst_input import bernstein_row_errors


@given(share_rows(points=4), st.integers(1, 500), st.floats(1e-6, 0.5))
def test_the_screen_never_hides_a_worse_input(rows, m, delta):
    """Bernstein per input is an upper bound, and the worst over inputs is really the worst."""
    shares, q, _ = instance(rows)
    law = draws_instance(shares, q)
    rows = cramer_row_errors(law, m, delta)
    assert (rows <= bernstein_row_errors(law, m, delta) * (1 + 1e-9)).all()
    worst = float(cramer_error(shares, q, m, delta))
    assert worst == pytest.approx(float(rows.max()), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_log_mgf_of_inclusion_against_its_definition(side):
    rng = np.random.default_rng(3)
    shares, p = rng.dirichlet(np.ones(5), 3), np.array([0.1, 0.3, 0.5, 0.9, 0.99])
    for mu in (1e-3, 0.7, 5.0):
        moments = inclusion_log_mgf(inclusion_instance(shares, p), side)(np.full(3, mu))
        with mp.workdps(40):
            for row in range(3):
                terms = [(mp.mpf(g), mp.mpf(c)) for g, c in zip(shares[row], p, strict=True)]

                def whole(t, terms=terms):
                    return mp.fsum(
                        mp.log(1 - c + c * mp.exp(t * side * g / c)) - t * side * g
                        for g, c in terms
                    )

                for order in range(3):
                    truth = float(mp.diff(whole, mu, order))
                    assert moments[order][row] == pytest.approx(truth, rel=1e-8, abs=1e-14)


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


def _rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares of a random neuron, dense or sparse, plain or heavy-tailed, and probabilities."""
    rng = np.random.default_rng(seed)
    k, n = int(rng.choice([2, 7, 30, 300])), int(rng.choice([1, 5, 30]))
    a = np.exp(rng.choice([0.1, 1, 3]) * rng.normal(size=(n, k))) * (rng.random((n, k)) < 0.8)
    a[:, 0] += 1e-3
    shares = a / a.sum(axis=1, keepdims=True)
    q = shares.max(axis=0) * (np.exp(rng.normal(size=k)) if seed % 3 == 0 else 1)
    return shares, q / q.sum()


def test_sizes_that_loops_propose_are_those_of_the_plain_search(monkeypatch):
    for seed in range(60):
        shares, q = _rows(seed)
        q = np.where((shares > 0).any(axis=0), q, 0)
        q, eps = q / q.sum(), (0.9, 0.3, 0.05)[seed % 3]
        for limit in (np.inf, 200.0, float(len(q))):
            monkeypatch.setattr(cramer, "FEW", np.inf)
            plain = cramer_size(shares, q, eps, 0.05, limit)
            monkeypatch.setattr(cramer, "FEW", 0)
            assert cramer_size(shares, q, eps, 0.05, limit) == plain
        error = cramer_error(shares, q, 100, 0.05)
        monkeypatch.setattr(cramer, "FEW", np.inf)
        assert error == cramer_error(shares, q, 100, 0.05)


@pytest.mark.parametrize("off", [-7, -1, 1, 40])
def test_a_proposal_that_is_wrong_changes_nothing(monkeypatch, off):
    shares, q = _rows(5)
    plain = cramer_size(shares, q, 0.2, 0.05)
    monkeypatch.setattr(cramer, "FEW", 0)
    least = cramer._Rows.least

    def wrong(rows, eps):
        draws, row = least(rows, eps)
        return draws + off, row

    monkeypatch.setattr(cramer._Rows, "least", wrong)
    assert cramer_size(shares, q, 0.2, 0.05) == plain
    assert cramer_size(shares, q, 0.2, 0.05, limit=plain - 1) == np.inf


def test_draws_that_moments_prove_enough_are_enough():
    useful = 0
    for seed in range(60):
        shares, q = _rows(seed)
        if (q == 0).any():
            continue
        eps, law = (0.9, 0.3, 0.05)[seed % 3], draws_instance(shares, q)
        for m, row in zip(cramer._Rows(law, 0.05).enough(eps), range(len(law.shares)), strict=True):
            one = type(law)(law.shares[row : row + 1], law.probabilities)
            if np.isfinite(m):
                assert cramer_row_errors(one, max(1.0, m), 0.05)[0] <= eps
                useful += cramer_row_errors(one, max(1.0, m * 0.9), 0.05)[0] > eps
    assert useful > 100


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shares_made_of_activations_are_those_that_are_checked(dtype):
    """The same bits in the same order in memory, or None where there is something to refuse."""
    rng = np.random.default_rng(2)
    for k, n in ((4, 1), (1, 5), (5, 2), (6, 3), (130, 9), (700, 64), (1025, 17)):
        columns = rng.random((2 * k, n)).astype(dtype) * 10.0 ** rng.integers(-3, 4)
        columns[rng.random(columns.shape) < 0.3] = 0.0
        index = np.sort(rng.permutation(2 * k)[:k])
        columns[index[0]] += dtype(0.5)
        weight, chance = rng.random(k) + 1e-6, rng.random(k) ** 3 + 1e-9
        law = instance_of(columns, index, weight, chance)
        rows = (columns[index] * weight[:, None]).T
        sums = rows.sum(axis=1)
        plain = draws_instance(rows[sums > 0] / sums[sums > 0, None], chance / chance.sum())
        if n == 1:
            assert law is None
            continue
        assert law is not None and np.array_equal(law.shares, plain.shares)
        assert np.array_equal(law.probabilities, plain.probabilities)
        if k > 1:  # sums along an axis depend on it
            assert law.shares.strides == plain.shares.strides
        ours, theirs = (cramer_error(x, x.probabilities, 50, 0.1) for x in (law, plain))
        assert ours == theirs
        columns[:, 0] = 0.0
        assert instance_of(columns, index, weight, chance) is None

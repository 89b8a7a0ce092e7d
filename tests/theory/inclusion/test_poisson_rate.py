"""SP-8: least rates, arguments and degenerate neurons; the claim's evidence is in the ledger."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from sipp_theory.inclusion.poisson_rate import (
    CLOSED_SLACK,
    INCLUSION_BOUNDS,
    Bennett,
    Bernstein,
    expected_kept,
    inclusion_error,
    inclusion_probabilities,
    inclusion_rate,
)

PAIR: Any = np.array([0.1, 0.2])


def test_instance_rate_is_least_where_little_is_random():
    """Once the heavy weight is certain the rest is 0.1% of the sum: a rate of 1.001 does it."""
    rows = np.array([[0.999, 0.001], [0.9995, 0.0005]])
    s = rows.max(axis=0)
    assert inclusion_error(s, 1.01, 0.05, shares=rows, bound="exact") <= 0.01
    assert inclusion_rate(s, 0.01, 0.05, shares=rows, bound="exact") <= 1.01 * 1.003


def test_two_sides_must_be_paid_for():
    """One weight at p = 1/2 misses by its whole value, always: ln(1/delta) would promise less."""
    for bound in INCLUSION_BOUNDS:
        assert inclusion_error([1.0], 0.5, 0.9, shares=[[1.0]], bound=bound) >= 1
    log = np.log(1 / 0.9)  # Bernstein's form with one side
    assert log / 1.5 + np.sqrt((log / 1.5) ** 2 + 4 * log) < 1


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
    low = 0.95 if bound in ("exact", "neuron-exact") else 1.0
    assert low * 0.999 <= single <= low * 1.005
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


@pytest.mark.parametrize("bound", ["bernstein", "kl"])
@given(st.lists(st.tuples(st.integers(1, 6), st.floats(0, 50), st.floats(1e-6, 0.9)), max_size=8),
       st.floats(1, 3))  # fmt: skip
def test_errors_of_many_neurons_are_those_of_each(
    bound: str, neurons: list[tuple[int, float, float]], factor: float
) -> None:
    inclusion = sipp_theory.BOUNDS[bound].inclusion
    assert inclusion is not None
    weights = np.array([1.0, 0.5, 0.25, 0.1, 0.0, 0.0])
    sensitivities = np.array([weights * (np.arange(6) < k) for k, *_ in neurons]).reshape(-1, 6)
    rates, deltas = (np.array([each[i] for each in neurons], dtype=float) for i in (1, 2))
    result = inclusion.errors(sensitivities, rates, deltas, coverage_factor=factor)
    each = [
        inclusion.error(s, float(c), float(d), coverage_factor=factor)
        for s, c, d in zip(sensitivities, rates, deltas, strict=True)
    ]
    assert result.tolist() == each
    dead = inclusion.errors(np.zeros((2, 3)), np.array([0.0, 2.0]), np.array([0.1, 0.1]))
    assert dead.tolist() == [0.0, 0.0]


def plain_rate(s: np.ndarray, form: Bernstein, eps: float, delta: float, factor: float) -> float:
    """Least rate over every number of certain weights, one neuron by itself."""
    ranked = np.sort(s[s > 0].astype(np.float64))[::-1]
    share = np.minimum(factor * np.append(np.cumsum(ranked[::-1])[::-1], 0.0), 1.0)
    needed = form.needed_rate(share, eps, float(np.log(2 / delta)), factor) * CLOSED_SLACK
    certain = np.nextafter(np.nextafter(1 / ranked, np.inf), np.inf)
    starts, ends = np.append(0.0, certain), np.append(certain, np.inf)
    rates = np.where(share > 0, np.maximum(needed, starts), starts)
    return float(rates[rates < ends].min())


@pytest.mark.parametrize("form", [Bernstein("bernstein"), Bennett("kl")], ids=lambda f: f.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_layer_is_answered_as_each_of_its_neurons(form: Bernstein, dtype: type) -> None:
    rng = np.random.default_rng(4)
    for trial in range(60):
        shape = (int(rng.integers(1, 6)), int(rng.integers(2, 700)))
        s = rng.random(shape) ** rng.integers(1, 6)
        s = (np.ceil(8 * s) / 8 if trial % 3 == 0 else s) * (rng.random(shape) < 0.7)  # ties
        s[:, 0] = 1.0
        s = s.astype(dtype)
        if trial % 4 == 0:
            s[0] = 0.0
        live = s.any(axis=1)
        eps, delta, factor = float(rng.uniform(0.02, 0.9)), float(10 ** -rng.uniform(0.1, 6)), 1.5
        rates = form.rates(s, eps, delta, coverage_factor=factor)
        plain = [plain_rate(row, form, eps, delta, factor) if row.any() else 0.0 for row in s]
        assert rates.tolist() == plain
        assert (form.errors(s, rates, delta, coverage_factor=factor) <= eps).all()
        rates[live] *= rng.choice([0.5, 1.0, 2.0])
        together = form.errors(s, rates, delta, coverage_factor=factor)
        # One neuron by itself, without the weights that do not count, by a sum of its own.
        for row, rate, error in zip(s, rates, together, strict=True):
            mine = row[row > 0].astype(np.float64)
            share = min(1.0, float(mine[rate * mine < 1].sum()) * factor)
            scale = factor * np.log(2 / delta) / rate if rate else np.inf
            closed = form.closed_error(np.array(share), np.array(scale)) if share else 0.0
            assert error == closed
            if len(mine):
                alone = form.error(mine, rate, delta, coverage_factor=factor)
                assert error == alone


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, 1.1])
def test_a_layer_of_impossible_sensitivities_is_refused(value: float) -> None:
    s = np.array([[1.0, 0.5], [value, 1.0]])
    with pytest.raises(ValueError, match="sensitivity must"):
        Bernstein("bernstein").rates(s, 0.1, 0.1)
    with pytest.raises(ValueError, match="at least 1"):
        Bernstein("bernstein").errors(np.array([[0.2, 0.3]]), np.ones(1), 0.1)
    with pytest.raises(ValueError, match="rate must"):
        Bernstein("bernstein").errors(np.ones((1, 1)), np.array([np.nan]), 0.1)

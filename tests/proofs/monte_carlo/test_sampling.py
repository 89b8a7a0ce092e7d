"""The samplers against laws that are known exactly: enumeration, binomial, moments."""

from __future__ import annotations

from itertools import product
from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from proofs_check import neuron_coverage
from proofs_check.monte_carlo import sampling
from proofs_check.monte_carlo.neuron import TIE
from proofs_check.monte_carlo.pair import Scheme
from proofs_check.monte_carlo.sampling import (
    coupled_estimates,
    draw_estimates,
    draw_law,
    draw_sums,
    inclusion_estimates,
)
from sipp_core.runtime.numbers import generator

Float = NDArray[np.float64]
TRIALS = 40_000
# Two-sided limits for a count at 1e-4: seeded, so it either always passes or never.
LEVEL = 1e-4


def failure_of_draws(g: Float, q: Float, m: int, eps: float) -> float:
    """Pr(|z^/z - 1| > eps) by adding up the multinomial law over all count vectors."""
    total = 0.0
    for head in product(range(m + 1), repeat=len(q) - 1):
        if sum(head) <= m:
            counts = np.array([*head, m - sum(head)])
            if abs((counts / (m * q)) @ g - 1) > eps + TIE:
                ways = factorial(m) / np.prod([float(factorial(c)) for c in counts])
                total += float(ways * np.prod(q**counts))
    return total


def failure_of_inclusion(g: Float, p: Float, eps: float) -> float:
    """Pr(|z^/z - 1| > eps) by adding up over all subsets."""
    total = 0.0
    for kept in product((0, 1), repeat=len(p)):
        if abs(np.array(kept) / p @ g - 1) > eps + TIE:
            total += float(np.prod(np.where(kept, p, 1 - p)))
    return total


def within(count: int, trials: int, chance: float) -> bool:
    low, high = stats.binom.ppf([LEVEL / 2, 1 - LEVEL / 2], trials, chance)
    return bool(low <= count <= high)


@pytest.mark.parametrize("m", [1, 5, 17, 30])
@pytest.mark.parametrize(
    ("g", "s"),
    [
        ([0.7, 0.3], [0.8, 0.6]),
        ([1.0, 0.0], [0.5, 0.5]),
        ([0.2, 0.5, 0.3], [0.9, 0.5, 0.4]),
        ([0.6, 0.4, 0.0], [0.6, 0.9, 0.01]),
    ],
)
@pytest.mark.parametrize("points", ["worst", "each", "random"])
def test_draws_fail_as_often_as_the_multinomial_law_says(
    g: list[float], s: list[float], m: int, points: str
) -> None:
    q = np.array(s) / np.sum(s)
    chance = failure_of_draws(np.array(g), q, m, 0.3)
    result = neuron_coverage(
        [g],
        s,
        scheme="draws",
        size=m,
        eps=0.3,
        delta=0.05,
        trials=TRIALS,
        seed=m,
        points=points,  # type: ignore[arg-type]
    )
    assert within(result.failures, TRIALS, chance), (result.rate, chance)


@pytest.mark.parametrize("rate", [0.4, 0.9, 1.6])
@pytest.mark.parametrize("points", ["worst", "each", "random"])
def test_inclusion_fails_as_often_as_the_product_law_says(rate: float, points: str) -> None:
    g, s = np.array([0.5, 0.2, 0.2, 0.1]), np.array([0.9, 0.4, 0.3, 0.5])
    chance = failure_of_inclusion(g, np.minimum(1, rate * s), 0.3)
    result = neuron_coverage(
        g,
        s,
        scheme="inclusion",
        size=rate,
        eps=0.3,
        delta=0.05,
        trials=TRIALS,
        points=points,  # type: ignore[arg-type]
    )
    assert within(result.failures, TRIALS, chance), (result.rate, chance)


def test_two_weights_are_a_binomial() -> None:
    q, m, eps = 0.3, 400, 0.1
    # Only the first weight carries: z^/z = Bin(m, q)/(m q).
    chance = stats.binom.sf(np.floor(m * q * (1 + eps) + TIE), m, q)
    chance += stats.binom.cdf(np.ceil(m * q * (1 - eps) - TIE) - 1, m, q)
    result = neuron_coverage(
        [[1.0, 0.0]], [q, 1 - q], scheme="draws", size=m, eps=eps, delta=0.05, trials=TRIALS
    )
    assert within(result.failures, TRIALS, float(chance))


@pytest.mark.parametrize("table_cost", [1e-9, 1e9])
def test_both_samplers_of_a_sum_follow_one_law(
    table_cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "TABLE_COST", table_cost)
    monkeypatch.setattr(sampling, "TABLE_SETUP", 0.0)
    # Probabilities below 1/65536 and ones that 16 bits cannot express.
    q = np.array([1e-5, 2e-6, 0.3, 1 / 3, 0.0])
    q[4] = 1 - q.sum()
    g = np.array([0.1, 0.2, 0.2, 0.3, 0.2])
    m, trials = 50, 400_000
    sums = draw_sums(draw_law(g, q), m, trials, generator(1))
    # The two rare values are so large that a sum tells which of them it has.
    for index, low, high in ((0, 5e3, 5e4), (1, 5e4, np.inf)):
        seen = int(((sums > low) & (sums < high)).sum())
        assert within(seen, trials, float(-np.expm1(m * np.log1p(-q[index]))))
    usual = draw_law(g[2:] * q[2:].sum(), q[2:] / q[2:].sum())
    rest = sums[sums < 5e3]
    assert abs(rest.mean() - m * usual.mean) < 4 * np.sqrt(m * usual.variance / len(rest))
    assert np.var(rest) == pytest.approx(m * usual.variance, rel=0.02)


def test_equal_values_are_merged_and_lost_weights_lower_the_mean() -> None:
    law = draw_law(np.array([0.25, 0.25, 0.5]), np.array([0.25, 0.25, 0.5]))
    assert law.values.tolist() == [1.0] and law.mean == 1.0 and law.variance == 0.0
    biased = draw_law(np.array([0.5, 0.2, 0.3]), np.array([0.5, 0.5, 0.0]))
    assert biased.mean == pytest.approx(0.7)


def test_coupled_inclusion_keeps_the_mean_and_loses_no_weight() -> None:
    g, p = np.array([0.1, 0.3, 0.2, 0.4]), np.array([0.5, 1.0, 0.7, 0.8])
    result = coupled_estimates(g, p, 50_000, 0)
    assert result.mean() == pytest.approx(1, abs=4 * result.std() / np.sqrt(50_000))
    same = coupled_estimates(np.full(4, 0.25), np.full(4, 0.5), 100, 0)
    assert same == pytest.approx(np.ones(100))


def test_a_seed_gives_the_same_numbers_and_streams_differ() -> None:
    law = draw_law(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    first = draw_estimates(law, 100, 3000, 5, 1)
    assert np.array_equal(first, draw_estimates(law, 100, 3000, 5, 1))
    assert np.array_equal(first[:2048], draw_estimates(law, 100, 2048, 5, 1))
    assert not np.array_equal(first, draw_estimates(law, 100, 3000, 5, 2))
    assert not np.array_equal(first, draw_estimates(law, 100, 3000, 6, 1))
    coins = inclusion_estimates(np.array([0.5, 0.5]), np.array([0.5, 0.2]), 3000, 1)
    assert np.array_equal(
        coins, inclusion_estimates(np.array([0.5, 0.5]), np.array([0.5, 0.2]), 3000, 1)
    )


@pytest.mark.parametrize("scheme", ["draws", "inclusion", "coupled"])
@pytest.mark.parametrize("points", ["each", "random"])
def test_memory_is_no_part_of_the_result(
    shares: Float, scores: Float, scheme: Scheme, points: str
) -> None:
    result = {
        neuron_coverage(
            shares, scores, scheme=scheme, size=40, eps=0.3, delta=0.05, trials=1500, chunk=chunk,
            points=points,  # type: ignore[arg-type]
        )
        for chunk in (1, 10_000, 2**21)
    }  # fmt: skip
    assert len(result) == 1

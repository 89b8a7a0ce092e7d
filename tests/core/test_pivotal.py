"""Pivotal sampling: its exact law as a decision tree, and why SP-8's Chernoff bounds hold."""

from __future__ import annotations

import itertools
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sipp_core.pivotal import pivotal

Law = dict[frozenset[int], Fraction]


def decision_tree(p: list[Fraction]) -> Law:
    """Law of the kept set under the sequential pivotal method (Deville and Tille 1998).

    State: the sure ones, and the one undecided index with the probability that it carries. The next
    fractional index duels with it: if the two probabilities a, b add up to less than 1 one drops
    out (the first with b/(a+b)), else one is kept for sure (the first with (1-b)/(2-a-b)).
    """
    states: dict[tuple[frozenset[int], int, Fraction], Fraction] = {
        (frozenset(), -1, Fraction(0)): Fraction(1)
    }
    for j, b in enumerate(p):
        following: dict[tuple[frozenset[int], int, Fraction], Fraction] = defaultdict(Fraction)
        for (sure, holder, a), mass in states.items():
            if b in (0, 1):
                following[(sure | {j} if b == 1 else sure, holder, a)] += mass
            elif a == 0:
                following[(sure, j, b)] += mass
            elif a + b < 1:
                following[(sure, holder, a + b)] += mass * a / (a + b)
                following[(sure, j, a + b)] += mass * b / (a + b)
            else:
                first = (1 - b) / (2 - a - b)
                following[(sure | {holder}, j, a + b - 1)] += mass * first
                following[(sure | {j}, holder, a + b - 1)] += mass * (1 - first)
        states = dict(following)
    law: Law = defaultdict(Fraction)
    for (sure, holder, a), mass in states.items():
        law[sure | {holder} if a > 0 else sure] += mass * (a if a > 0 else 1)
        if a > 0:
            law[sure] += mass * (1 - a)
    return {kept: mass for kept, mass in law.items() if mass}


def joint(law: Law, subset: tuple[int, ...], kept: bool) -> Fraction:
    """Probability that all of a subset are kept, or that all of it is dropped."""
    chosen = frozenset(subset)
    return sum(
        (mass for b, mass in law.items() if (chosen <= b if kept else not chosen & b)), Fraction(0)
    )


def dominated(law: Law, p: list[Fraction]) -> bool:
    """Whether every E prod over a subset, of B_j or of 1 - B_j, is at most the product of means.

    That is the whole claim: exp(t B) = 1 + (e^t - 1) B expands the MGF of sum v_j B_j, v >= 0,
    lambda > 0, into these joint probabilities with non-negative coefficients, and with 1 - B_j in
    place of B_j for lambda < 0.
    """
    k = len(p)
    for size in range(2, k + 1):
        for subset in itertools.combinations(range(k), size):
            in_product = out_product = Fraction(1)
            for j in subset:
                in_product *= p[j]
                out_product *= 1 - p[j]
            if joint(law, subset, True) > in_product or joint(law, subset, False) > out_product:
                return False
    return True


# Multiples of 1/64 are exact in float64, so the numpy sampler sees the very same numbers.
grid = st.integers(0, 64).map(lambda n: Fraction(n, 64))
probabilities = st.lists(grid, min_size=1, max_size=6)

CASES = [
    [Fraction(n, 64) for n in numerators]
    for numerators in (
        [32, 32],
        [13, 40, 7, 22],
        [64, 10, 0, 54, 50, 20],
        [60, 61, 62, 63, 5],
        [3, 2, 1, 4, 5, 6],
        [16, 48, 16, 48, 32, 32],
        [40],
    )
]


@given(probabilities)
def test_marginals_and_count_are_exact(p):
    law = decision_tree(p)
    assert sum(law.values()) == 1
    for j, want in enumerate(p):
        assert joint(law, (j,), True) == want
    total = sum(p)
    assert {len(kept) for kept in law} <= {int(total), -int(-total // 1)}


@settings(max_examples=40)
@given(probabilities)
def test_negative_dependence_is_exact(p):
    """Rational arithmetic, every subset: no tolerance, no sampling."""
    assert dominated(decision_tree(p), p)


@pytest.mark.parametrize("p", CASES, ids=str)
def test_moment_generating_function_is_dominated(p):
    """The claim as SP-8 uses it, by number: both signs, many v."""
    rng = np.random.default_rng(9)
    law = decision_tree(p)
    chance = np.array(p, dtype=np.float64)
    kept = np.array([[j in b for j in range(len(p))] for b in law], dtype=np.float64)
    mass = np.array(list(law.values()), dtype=np.float64)
    like_shares = rng.exponential(1 / (chance + 0.1), (40, len(p)))
    for v in np.vstack([rng.random((40, len(p))), like_shares / like_shares.max()]):
        for strength in (-20.0, -3.0, -0.5, -0.01, 0.01, 0.5, 3.0, 20.0):
            ours = mass @ np.exp(strength * (kept @ v))
            independent = np.prod(1 - chance + chance * np.exp(strength * v))
            assert ours <= independent * (1 + 1e-12)


def test_the_check_refutes_positive_dependence():
    """Mutation: one shared coin for everything keeps the marginals and breaks the claim."""
    p = CASES[1]
    cuts = sorted({Fraction(0), *p, Fraction(1)})
    law: Law = defaultdict(Fraction)
    for low, high in itertools.pairwise(cuts):
        law[frozenset(j for j, x in enumerate(p) if low < x)] += high - low
    assert all(joint(law, (j,), True) == x for j, x in enumerate(p))
    assert not dominated(law, p)
    # Independence itself is the boundary case.
    independent: Law = {}
    for bits in itertools.product([0, 1], repeat=len(p)):
        mass = Fraction(1)
        for bit, x in zip(bits, p, strict=True):
            mass *= x if bit else 1 - x
        independent[frozenset(j for j, bit in enumerate(bits) if bit)] = mass
    assert dominated(independent, p)


def chi_square(kept: np.ndarray, law: Law) -> float:
    """p-value of the empirical law; 0 where a set was drawn that the tree never gives."""
    codes = kept @ (1 << np.arange(kept.shape[1]))
    counts = dict(zip(*np.unique(codes, return_counts=True), strict=True))
    expected = {sum(1 << j for j in b): float(mass) * len(kept) for b, mass in law.items()}
    if not set(counts) <= set(expected):
        return 0.0
    if len(expected) == 1:
        return 1.0
    observed = np.array([counts.get(code, 0) for code in expected], dtype=np.float64)
    return float(stats.chisquare(observed, np.array(list(expected.values()))).pvalue)


@pytest.mark.parametrize("p", CASES, ids=str)
def test_the_sampler_follows_the_tree(p):
    rng = np.random.default_rng(17)
    trials = 60_000
    rows = np.tile(np.array(p, dtype=np.float64), (trials, 1))
    law = decision_tree(p)
    assert chi_square(pivotal(rows, rng), law) > 1e-3
    if len(p) > 1:  # mutation: independent coins with the same marginals
        assert chi_square(rng.random(rows.shape) < rows, law) < 1e-6


def test_wide_rows_keep_their_count_and_marginals():
    rng = np.random.default_rng(3)
    p = rng.random(200) ** 3
    p *= 40 / p.sum()
    p = np.minimum(p, 1.0)
    kept = pivotal(np.tile(p, (20_000, 1)), rng)
    count = kept.sum(axis=1)
    assert count.min() >= np.floor(p.sum() - 1e-9) and count.max() <= np.ceil(p.sum() + 1e-9)
    deviation = np.abs(kept.mean(axis=0) - p) / np.sqrt(np.maximum(p * (1 - p), 1e-12) / 20_000)
    assert deviation[(p > 0) & (p < 1)].max() < 5
    assert kept[:, p >= 1].all()


def test_rows_are_their_own():
    """Every row follows its own probabilities: different rows in one call do not mix."""
    rng = np.random.default_rng(8)
    rows = np.repeat(np.array([[0.25, 0.75, 0.5], [1.0, 0.0, 0.5], [0.0, 0.0, 0.0]]), 20_000, 0)
    kept = pivotal(rows, rng).reshape(3, 20_000, 3)
    assert np.abs(kept[0].mean(axis=0) - [0.25, 0.75, 0.5]).max() < 0.02
    assert kept[1, :, 0].all() and not kept[1, :, 1].any()
    assert abs(kept[1, :, 2].mean() - 0.5) < 0.02
    assert not kept[2].any()


def test_edges_and_reproducibility():
    def make():
        return np.random.default_rng(1)

    assert pivotal(np.zeros((0, 4)), make()).shape == (0, 4)
    assert pivotal(np.zeros((3, 0)), make()).shape == (3, 0)
    assert pivotal(np.ones((2, 3)), make()).all() and not pivotal(np.zeros((2, 3)), make()).any()
    p = np.full((50, 7), 0.3)
    before = p.copy()
    assert (pivotal(p, make()) == pivotal(p, make())).all() and (p == before).all()
    assert pivotal(p, make()).dtype == np.bool_
    # Ten tenths add up to a hair less than 1 in float64: still one kept weight.
    assert (pivotal(np.full((500, 10), 0.1), make()).sum(axis=1) == 1).all()


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf])
def test_bad_probabilities_are_refused(bad):
    with pytest.raises(ValueError, match="probability must lie in"):
        pivotal(np.array([[0.5, bad]]), np.random.default_rng(0))

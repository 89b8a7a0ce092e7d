"""Pivotal sampling: the sampler follows its exact law; what that law promises is in the ledger."""

from __future__ import annotations

import itertools
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from proofs_check.inclusion.exact_laws import (
    Law,
    independent_law,
    joint,
    pivotal_law,
    positively_dependent,
)
from sipp_core.pruning.pivotal import pivotal

# Multiples of 1/64 are exact in float64, so the numpy sampler sees the very same numbers.
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


def test_the_check_refutes_positive_dependence():
    """Mutation: one shared coin for everything keeps the marginals and breaks the claim."""
    p = CASES[1]
    cuts = sorted({Fraction(0), *p, Fraction(1)})
    law: Law = defaultdict(Fraction)
    for low, high in itertools.pairwise(cuts):
        law[frozenset(j for j, x in enumerate(p) if low < x)] += high - low
    assert all(joint(law, (j,)) == x for j, x in enumerate(p))
    assert positively_dependent(law, p)
    assert not positively_dependent(independent_law(p), p)  # the boundary case


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
    law = pivotal_law(p)
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


@pytest.mark.parametrize("bits", [np.random.Philox, np.random.PCG64])
@pytest.mark.parametrize("shape", [(3, 5), (40, 130), (2000, 1500), (0, 4), (4, 0)], ids=str)
def test_two_groups_are_two_samples_in_a_row(shape: tuple[int, int], bits: type) -> None:
    """In one pass as in two, whatever of the stream was used before, with any number of threads."""
    numbers = np.random.default_rng(5)
    p = np.minimum(1.0, 1.5 * numbers.random(shape) ** 3) * (numbers.random(shape) < 0.8)
    first = numbers.random(shape) < 0.4
    for used in (0, 3):
        one, two, three = (np.random.Generator(bits(7)) for _ in range(3))
        for rng in (one, two, three):
            rng.random(used)
        apart = pivotal(np.where(first, p, 0.0), one) | pivotal(np.where(first, 0.0, p), one)
        assert (pivotal(p, two, first) == apart).all()
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            assert (pivotal(p, three, first) == apart).all()
        finally:
            torch.set_num_threads(threads)
        assert one.random() == two.random() == three.random()


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf])
def test_bad_probabilities_are_refused(bad):
    with pytest.raises(ValueError, match="probability must lie in"):
        pivotal(np.array([[0.5, bad]]), np.random.default_rng(0))

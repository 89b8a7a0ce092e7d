"""SP-6, SP-7, SP-9: dropped shares, recentring, hybrid choice, joining signs."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipp_theory.deterministic import (
    deterministic_error,
    deterministic_size,
    keep_most_sensitive,
    recentring,
)
from sipp_theory.dropped import dropped_share, dropped_share_bound
from sipp_theory.joining import combine_signs, hybrid_error

SEEDS = st.integers(0, 2**32)


def instance(seed, points=5, edges=6):
    rng = np.random.default_rng(seed)
    terms = rng.gamma(0.4, size=(points, edges)) + 1e-300
    return terms, terms / terms.sum(axis=1, keepdims=True)


def exact_dropped(terms, keep):
    rows = [[Fraction(float(c)) for c in row] for row in terms]
    return max(sum(c for c, k in zip(r, keep, strict=True) if not k) / sum(r) for r in rows)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_dropped_share_bounds_the_exact_one(seed, keep):
    terms, g = instance(seed)
    got = float(dropped_share(g, keep))
    exact = exact_dropped(terms, keep)
    assert exact <= Fraction(got) and got <= float(exact) * (1 + 1e-13)
    assert (got == 0) == all(keep)
    assert got <= dropped_share_bound(g.max(axis=0), keep) * (1 + 1e-14)


def test_alternatives_are_vectorised():
    _, g = instance(1)
    keep = np.random.default_rng(2).random((4, 6)) < 0.5
    one_by_one = [dropped_share(g, k) for k in keep]
    np.testing.assert_allclose(dropped_share(g, keep), one_by_one, rtol=1e-14)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0, 1))
def test_recentring_meets_its_error_and_no_factor_does_better(seed, dropped):
    result = recentring(dropped)
    ends = np.array([1 - dropped, 1.0])
    worst = np.abs(ends * result.factor - 1).max()
    assert worst <= result.error * (1 + 1e-15) + 4e-16
    other = np.random.default_rng(seed).uniform(0.5, 3, 50)
    assert (np.abs(ends[:, None] * other - 1).max(axis=0) >= result.error - 1e-15).all()
    assert result.error <= deterministic_error(dropped) + 1e-15


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.01, 0.9), st.booleans(), st.floats(1, 3))
def test_size_is_the_least_that_meets_eps(seed, eps, recentred, cover):
    _, g = instance(seed)
    s = g.max(axis=0)

    def promised(size, with_points):
        keep = keep_most_sensitive(s, size)
        if with_points:
            return deterministic_error(dropped_share(g, keep), cover, recentred)
        return deterministic_error(dropped_share_bound(s, keep, cover), 1.0, recentred)

    plain = deterministic_size(s, eps, cover, recentred)
    assert promised(plain, False) <= eps
    assert plain == 0 or promised(plain - 1, False) > eps
    sharp = deterministic_size(s, eps, cover, recentred, shares=g)
    assert promised(sharp, True) <= eps * (1 + 1e-13)
    assert sharp == 0 or promised(sharp - 1, True) > eps * (1 - 1e-13)
    assert sharp <= plain


def test_no_set_of_that_size_has_a_smaller_sum_than_the_most_sensitive():
    _, g = instance(3)
    s = g.max(axis=0)
    for size in range(7):
        best = min(
            float(dropped_share_bound(s, np.isin(np.arange(6), kept)))
            for kept in combinations(range(6), size)
        )
        assert dropped_share_bound(s, keep_most_sensitive(s, size)) <= best * (1 + 1e-14)


@pytest.mark.parametrize("mutation", [1.0, 0.7])
def test_error_bounds_pruned_neurons_and_a_mutation_does_not(mutation):
    rng = np.random.default_rng(4)
    terms, g = instance(4, points=200, edges=10)
    failures = 0
    for _ in range(50):
        keep = rng.random(10) < 0.7
        share = dropped_share(g, keep)
        rescale = recentring(share)
        sums = terms.sum(axis=1)
        kept = terms[:, keep].sum(axis=1) * rescale.factor
        failures += (np.abs(kept / sums - 1) > rescale.error * mutation + 1e-14).any()
    assert (failures == 0) == (mutation == 1.0)


def test_batches_dead_weights_and_ties():
    s = np.array([[0.9, 0.1, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]])
    assert deterministic_size(s, 0.05).tolist() == [2, 4]
    assert deterministic_size(s, [0.2, 0.6]).tolist() == [1, 3]
    assert deterministic_size(np.zeros(3), 0.1) == 0
    assert keep_most_sensitive(s, [1, 2]).tolist() == [
        [True, False, False, False],
        [True, True, False, False],
    ]


def test_hybrid_takes_the_smaller():
    choice = hybrid_error([0.2, np.inf, 0.5, np.inf], [0.3, 0.4, 0.5, np.inf])
    assert choice.error.tolist() == [0.2, 0.4, 0.5, np.inf]
    assert choice.deterministic.tolist() == [False, True, True, True]


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_combined_signs_bound_every_case_and_are_reached(seed):
    rng = np.random.default_rng(seed)
    plus, minus = rng.gamma(1.0, size=2)
    first, second = rng.uniform(0, 0.5, 2)
    value = plus - minus
    bound = combine_signs(first, (plus + minus) / abs(value), second)
    cases = [
        abs((1 + s * a) * plus - (1 + t * b) * minus - value) / abs(value)
        for s in (-1, 1)
        for t in (-1, 1)
        for a, b in ((first, second), (second, first))
    ]
    assert max(cases) <= bound * (1 + 1e-9)
    assert max(cases) >= bound * (1 - 1e-9)
    ratio = (plus + minus) / abs(value)
    assert combine_signs(first, ratio) == pytest.approx(first * ratio, rel=1e-12)


def test_combined_signs_at_infinite_cancellation():
    assert combine_signs(0.1, np.inf) == np.inf
    assert combine_signs(0.0, np.inf) == 0
    assert combine_signs(0.1, np.inf, 0.0) == np.inf
    assert combine_signs(np.inf, 1.0, np.inf) == np.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dropped_share([[1.5]], [True]), "shares"),
        (lambda: dropped_share([[0.5, 0.5]], [True]), "last dimension 2"),
        (lambda: dropped_share(np.zeros((0, 1)), [True]), "n >= 1"),
        (lambda: dropped_share_bound([0.5], [True], 0.5), "coverage_factor"),
        (lambda: recentring(-0.1), "dropped"),
        (lambda: deterministic_size([0.5], 0.0), "eps"),
        (lambda: deterministic_size([0.5], 0.1, shares=[[0.5, 0.5]]), "sensitivity"),
        (lambda: keep_most_sensitive([0.5], 2), "size"),
        (lambda: hybrid_error(np.nan, 1), "sampled"),
        (lambda: combine_signs(0.1, 0.5), "delta_ratio"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_masks_must_be_boolean():
    with pytest.raises(TypeError, match="keep"):
        dropped_share([[0.5, 0.5]], [1, 0])

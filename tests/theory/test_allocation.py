"""AL-1 and AL-2: the optimum that cvxpy finds, KKT conditions, rounding."""

import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipp_theory.allocation import allocate, allocate_for_errors, allocate_for_total
from sipp_theory.pairs import bernstein_coefficients
from sipp_theory.rounding import round_allocation

SEEDS = st.integers(0, 2**32)


def instance(seed, pairs=8):
    rng = np.random.default_rng(seed)
    b, v = bernstein_coefficients(1 + rng.gamma(1.0, 8, pairs), rng.uniform(0.001, 0.3, pairs))
    return b, v, rng.uniform(5, 400, pairs), rng.gamma(0.5, 1, pairs) + 1e-3, rng


def error(m, b, v):
    return (b + np.sqrt(b * b + 2 * v * m)) / m


def solve_with_cvxpy(b, v, weight, cap, budget=None, total=None):
    """In y = 1/eps the size is a convex quadratic and the error 1/y is convex."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cvxpy as cp

        y = cp.Variable(b.size, pos=True)
        size = cp.multiply(2 * v, cp.square(y)) + cp.multiply(2 * b, y)
        value = weight @ cp.inv_pos(y)
        limits = [y <= 1 / error(cap, b, v)]
        if budget is not None:
            problem = cp.Problem(cp.Minimize(value), [*limits, cp.sum(size) <= budget])
        else:
            problem = cp.Problem(cp.Minimize(cp.sum(size)), [*limits, value <= total])
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
        assert problem.status in ("optimal", "optimal_inaccurate")
        return float(np.asarray(problem.value))


@pytest.mark.parametrize("seed", range(8))
def test_allocation_equals_cvxpy(seed):
    b, v, cap, weight, rng = instance(seed)
    budget = float(rng.uniform(0.05, 0.95) * cap.sum())
    got = allocate(b, v, cap, budget, weight)
    assert got.objective == pytest.approx(solve_with_cvxpy(b, v, weight, cap, budget), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_allocation_for_a_total_equals_cvxpy(seed):
    b, v, cap, weight, rng = instance(seed + 100)
    total = float((weight * error(cap, b, v)).sum() * rng.uniform(1.1, 4))
    got = allocate_for_total(b, v, weight, total, cap)
    want = solve_with_cvxpy(b, v, weight, cap, total=total)
    assert got.sizes.sum() == pytest.approx(want, rel=1e-6)
    assert got.objective <= total


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(1e-6, 1.2))
def test_kkt(seed, share):
    b, v, cap, weight, _ = instance(seed)
    budget = float(share * cap.sum())
    got = allocate(b, v, cap, budget, weight)
    m = got.sizes
    assert (m > 0).all() and (m <= cap).all()
    assert m.sum() <= budget * (1 + 1e-13)
    assert m.sum() == pytest.approx(min(budget, cap.sum()), rel=1e-10)
    # -l eps'(m) by the closed derivative of Bernstein's inverse.
    root = np.sqrt(b * b + 2 * v * m)
    gain = weight * ((b + root) / m**2 - v / (m * root))
    inner = m < cap * (1 - 1e-12)
    np.testing.assert_allclose(gain[inner], got.multiplier, rtol=1e-8)
    assert (gain[~inner] >= got.multiplier * (1 - 1e-8)).all()
    assert got.objective >= (weight * error(m, b, v)).sum()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.1, 0.8), st.floats(0.01, 100))
def test_monotone_scale_free_and_dual(seed, share, scale):
    b, v, cap, weight, _ = instance(seed)
    budget = float(share * cap.sum())
    got = allocate(b, v, cap, budget, weight)
    assert allocate(b, v, cap, budget * 1.1, weight).objective <= got.objective * (1 + 1e-12)
    np.testing.assert_allclose(
        allocate(b, v, cap, budget, weight * scale).sizes, got.sizes, rtol=1e-8
    )
    back = allocate_for_total(b, v, weight, got.objective * (1 + 1e-12), cap)
    np.testing.assert_allclose(back.sizes, got.sizes, rtol=1e-7)
    assert back.multiplier == pytest.approx(got.multiplier, rel=1e-6)


def test_edge_pairs():
    b, v = np.array([1.0, 0.0, 1.0, 1.0, 2.0]), np.array([3.0, 0.0, 3.0, 3.0, 0.0])
    cap, weight = np.array([50.0, 50, 0, 50, 50]), np.array([1.0, 1, 1, 0, 1])
    got = allocate(b, v, cap, 20, weight)
    assert got.sizes[1:4].tolist() == [0, 0, 0] and (got.sizes[[0, 4]] > 0).all()
    assert got.errors[1] == 0 and got.errors[2] == got.errors[3] == np.inf
    assert got.objective == np.inf  # an important pair without room
    assert np.isfinite(allocate(b, v, cap + 1, 20, weight).objective)
    slack = allocate(b, v, 5.0, 1000, weight)
    assert slack.sizes.tolist() == [5, 0, 5, 0, 5] and slack.multiplier == 0
    none = allocate(b, v, cap, 0, weight)
    assert none.sizes.sum() == 0 and none.objective == np.inf
    assert allocate([], [], [], 3).sizes.size == 0


def test_wide_ranges_and_linear_cost():
    rng = np.random.default_rng(0)
    wide = 10.0 ** rng.uniform(-30, 30, 50)
    got = allocate(np.ones(50), 10.0 ** rng.uniform(-20, 10, 50), 100.0, 500, wide)
    assert got.sizes.sum() == pytest.approx(500, rel=1e-10)
    many = 100_000
    b, v = bernstein_coefficients(1 + rng.gamma(1, 8, many), 0.01)
    start = time.perf_counter()
    got = allocate(b, v, 400.0, 4e6)
    assert got.sizes.sum() == pytest.approx(4e6, rel=1e-10)
    assert time.perf_counter() - start < 20
    assert np.array_equal(got.sizes, allocate(b, v, 400.0, 4e6).sizes)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(0.005, 2.0))
def test_sizes_for_errors_are_least(seed, eps):
    b, v, _, _, _ = instance(seed)
    m = allocate_for_errors(b, v, eps)
    assert (error(m, b, v) <= eps).all()
    assert ((m == 1) | (error(np.maximum(m - 1, 0.5), b, v) > eps * (1 - 1e-14))).all()
    assert allocate_for_errors(0.0, 0.0, 0.1) == 0


def test_coefficients_are_bernsteins():
    b, v = bernstein_coefficients([0.0, 1.0, 9.0], 0.05, [1.0, 1.0, 3.0])
    log = np.log(40)
    np.testing.assert_allclose(b, [0, log / 3, 26 * log / 3])
    np.testing.assert_allclose(v, [0, 0, 26 * log])


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(0, 120))
def test_rounding(seed, budget):
    rng = np.random.default_rng(seed)
    cap = rng.integers(0, 12, 9)
    real = np.minimum(rng.gamma(0.5, 6, 9) * (rng.random(9) < 0.8), cap)
    whole = round_allocation(real, cap, budget)
    assert whole.sum() == min(budget, cap.sum())
    assert (whole >= 0).all() and (whole <= cap).all() and (whole == np.floor(whole)).all()
    live = (real > 0) & (cap >= 1)
    if live.sum() <= budget:
        assert (whole[live] >= 1).all()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.05, 1.0))
def test_rounding_an_optimum_moves_each_pair_by_less_than_one(seed, share):
    b, v, cap, weight, _ = instance(seed)
    cap = np.floor(cap)
    budget = float(np.floor(share * cap.sum()))
    real = allocate(b, v, cap, budget, weight).sizes
    whole = round_allocation(real, cap, budget)
    assert whole.sum() == min(budget, cap.sum())
    if (real >= 1).all():
        assert (np.abs(whole - real) < 1 + 1e-6).all()


def test_rounding_ties_and_extremes():
    assert round_allocation([0.5, 0.5, 0.5, 0.5], 9, 2).tolist() == [1, 1, 0, 0]
    assert round_allocation([1.5, 1.5], 9, 3).tolist() == [2, 1]
    crowd = np.append(np.full(20_000, 1e-6), 1e6)
    whole = round_allocation(crowd, np.append(np.ones(20_000), 2e6), 1e6)
    assert whole.sum() == 1e6 and (whole >= 1).all()
    assert round_allocation(np.zeros(3), 100, 250).sum() == 250


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: allocate([-1.0], [1.0], [1.0], 1), "linear"),
        (lambda: allocate([1.0], [1.0], [1.0], np.nan), "budget"),
        (lambda: allocate(1.0, 1.0, 1.0, 1), "must be"),
        (lambda: allocate_for_errors(1, 1, 0.0), "eps"),
        (lambda: allocate_for_total([1.0], [1.0], 1.0, 0.01, [2.0]), "at least"),
        (lambda: round_allocation([-1.0], 1, 1), "real"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()

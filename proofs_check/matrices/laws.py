"""MS-1 to MS-5 on drawn matrices: scale-free, monotone, closed forms above exact, floors below."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

KINDS = st.sampled_from(sipp_theory.ENTRY_KINDS)
SHARES = st.sampled_from([0.1, 0.5, 0.9])


@st.composite
def matrices(draw: st.DrawFn, most: int = 5) -> np.ndarray:
    """A matrix of one to five rows and columns: entries of mixed size and sign, some 0, not all."""
    rows, columns = draw(st.integers(1, most)), draw(st.integers(1, most))
    entries = st.one_of(
        st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6), st.sampled_from([0.0, 1.0, -1.0, 1e-4])
    )
    values = np.array(draw(st.lists(entries, min_size=rows * columns, max_size=rows * columns)))
    values[draw(st.integers(0, values.size - 1))] = draw(st.sampled_from([1.0, -0.25]))
    return values.reshape(rows, columns)


@law("MS-3")
def probabilities(setting: Setting) -> Result:
    """Laws add up to 1, cover the matrix and nothing else, and do not change with its scale."""

    @given(matrices(), KINDS, SHARES, st.integers(-60, 60))
    def law(matrix: np.ndarray, kind: str, alpha: float, power: int) -> None:
        p = sipp_theory.entry_probabilities(matrix, kind, alpha)
        assert abs(p.sum() - 1) <= 1e-12
        assert np.array_equal(p > 0, matrix != 0)
        assert np.array_equal(p, sipp_theory.entry_probabilities(matrix * 2.0**power, kind, alpha))

    return hold(setting, law)


@law("MS-2", "MS-3")
def closed_above_exact(setting: Setting) -> Result:
    """Closed forms are never below the moments computed from the law, of any scale or side."""

    @given(matrices(), KINDS, SHARES, st.integers(-60, 60))
    def law(matrix: np.ndarray, kind: str, alpha: float, power: int) -> None:
        p = sipp_theory.entry_probabilities(matrix, kind, alpha)
        exact = sipp_theory.draw_moments(matrix, p)
        closed = sipp_theory.closed_moments(matrix, kind, alpha)
        assert closed.variance >= exact.variance * (1 - 1e-9)
        assert closed.span >= exact.span * (1 - 1e-12)
        turned = sipp_theory.draw_moments(matrix.T * 2.0**power, p.T)
        np.testing.assert_allclose(turned.variance, exact.variance, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(turned.span, exact.span, rtol=1e-11)
        np.testing.assert_allclose(turned.norm, exact.norm * 2.0**power, rtol=1e-12)

    return hold(setting, law)


@law("MS-3")
def no_law_beats_l1(setting: Setting) -> Result:
    """No other law has a smaller range or a smaller mean square error than l1."""

    @given(matrices(), st.integers(0, 2**32 - 1))
    def law(matrix: np.ndarray, seed: int) -> None:
        other = np.random.default_rng(seed).gamma(0.5, 1, matrix.shape) + 1e-3
        other = np.where(matrix != 0, other, 0.0)
        other /= other.sum()
        live = matrix != 0
        l1 = sipp_theory.entry_probabilities(matrix, "l1")
        ours = sipp_theory.draw_moments(matrix, l1).span
        assert ours <= sipp_theory.draw_moments(matrix, other).span * (1 + 1e-11)
        square = [(matrix[live] ** 2 / q[live]).sum() for q in (l1, other)]
        assert square[0] <= square[1] * (1 + 1e-12)

    return hold(setting, law)


@law("MS-1")
def monotone_and_inverse(setting: Setting) -> Result:
    """The error falls in draws and rises with the moments; size and failure invert it."""
    positive = st.floats(1e-3, 1e4)

    @given(positive, st.floats(1, 1e4), st.integers(2, 5000), st.integers(1, 10**6),
           st.floats(1e-6, 0.9), st.floats(1, 3))  # fmt: skip
    def law(var: float, span: float, size: int, m: int, delta: float, factor: float) -> None:
        error = sipp_theory.spectral_error(var, span, size, m, delta)
        assert sipp_theory.spectral_error(var, span, size, m * factor, delta) <= error
        assert sipp_theory.spectral_error(var * factor, span, size, m, delta) >= error
        assert sipp_theory.spectral_error(var, span * factor, size, m, delta) >= error
        assert sipp_theory.spectral_error(var, span, 2 * size, m, delta) >= error
        at = sipp_theory.spectral_failure(var, span, size, m, error)
        np.testing.assert_allclose(at, delta, rtol=1e-10)
        eps = min(float(error), 0.9)
        needed = sipp_theory.spectral_size(var, span, size, eps, delta)
        assert sipp_theory.spectral_error(var, span, size, needed, delta) <= eps
        if needed > 1:
            assert sipp_theory.spectral_error(var, span, size, needed - 1, delta) > eps

    return hold(setting, law)


@law("MS-4", "MS-5")
def floors(setting: Setting) -> Result:
    """No rival of that rank, and none of so many entries, is nearer than its floor says."""

    @given(matrices(), st.integers(0, 4), st.integers(0, 12), st.integers(0, 2**32 - 1))
    def law(matrix: np.ndarray, rank: int, kept: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        u, values, v = np.linalg.svd(matrix, full_matrices=False)
        best = (u[:, :rank] * values[:rank]) @ v[:rank]
        nudge = rng.normal(size=(len(matrix), rank)) @ rng.normal(size=(rank, matrix.shape[1]))
        floor = sipp_theory.rank_floor(matrix, rank)
        scale = 1e-9 * float(values[0])
        assert abs(np.linalg.norm(matrix - best, 2) - floor) <= scale
        size = float(rng.uniform(0, 1))
        left, right = rng.normal(size=(len(matrix), rank)), rng.normal(size=(rank, len(matrix.T)))
        for rival in (best * (1 + 0.1 * rng.normal()), nudge, size * (left @ right)):
            assert np.linalg.norm(matrix - rival, 2) >= floor - scale
        under = sipp_theory.sparse_floor(matrix, kept)
        support = np.zeros(matrix.size, dtype=bool)
        support[np.argsort(-np.abs(matrix), axis=None)[:kept]] = True
        for mask in (support, rng.permutation(support)):
            for factor in (1.0, rng.uniform(0.5, 1.5, matrix.shape)):
                rival = np.where(mask.reshape(matrix.shape), matrix * factor, 0.0)
                assert np.linalg.norm(matrix - rival, 2) >= under - scale
        assert sipp_theory.sparse_floor(matrix, kept + 1) <= under

    return hold(setting, law)

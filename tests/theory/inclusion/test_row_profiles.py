"""What four moments say of a row's tail: never too much, and nearly all."""

from __future__ import annotations

import numpy as np
import pytest

import sipp_theory
from sipp_theory.inclusion.draw_loops import open_rows
from sipp_theory.inclusion.row_profiles import add_up, cleared

Y = float(np.log(2 / 0.05))


def _sums(w: np.ndarray, p: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size, sums = np.abs(rows) @ np.abs(w), np.empty((len(rows) + 1, 5))
    index, peaks = np.arange(w.size), np.abs(rows).max(axis=0)
    add_up(1.0, w, p, index, rows, peaks, size, np.zeros((3, w.size)), sums)
    return sums[:-1], size


def _error(side: float, w: np.ndarray, p: np.ndarray, row: np.ndarray) -> tuple[float, float]:
    """Least (K + y)/mu by the plain formula, on ever finer grids, and where."""
    v = side * w * row / p / (np.abs(row) @ np.abs(w))
    mu, width, errors = np.sqrt(2 * Y / (v**2 @ (p * (1 - p)))), 5.0, np.zeros(0)
    for _ in range(5):
        grid = mu * np.geomspace(1 / width, width, 21)[:, None]
        k = (np.logaddexp(np.log1p(-p), np.log(p) + grid * v) - grid * v * p).sum(axis=1)
        errors = (k + Y) / grid[:, 0]
        mu, width = grid[errors.argmin(), 0], width**0.2
    return float(errors.min()), float(mu)


def _instance(seed: int, k: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(3, k)) if seed % 2 else rng.random((3, k))
    w = rng.normal(size=k)
    s = np.max(np.abs(w * rows) / (np.abs(rows) @ np.abs(w))[:, None], axis=0)
    rows /= np.abs(rows).max()
    return w / np.abs(w).max(), np.minimum(0.97, s * rate), rows


def _clears(
    seed: int, k: int, share: float, wrong: int | None = None, rate: float | None = None
) -> list[bool]:
    """Whether rows of an instance are cleared at a share of their errors."""
    w, p, rows = _instance(seed, k, rate or (2.0, 20.0, 100.0)[seed % 3])
    sums, size = _sums(w, p, rows)
    if wrong is not None:
        sums[:, wrong] = 0.0 if wrong else sums[:, 0] / 2
    answers = []
    for x, row in enumerate(rows):
        for side in (1.0, -1.0):
            error, mu = _error(side, w, p, row)
            answers.append(any(
                cleared(side, sums[x], k, size[x], Y, error * share, mu * off)
                for off in (0.5, 1.0, 1.7)
            ))  # fmt: skip
    return answers


@pytest.mark.parametrize("k", [5, 40, 400])
def test_no_row_is_cleared_whose_error_is_larger(k: int) -> None:
    assert not any(answer for seed in range(20) for answer in _clears(seed, k, 1 - 1e-8))


def test_rows_are_cleared_a_little_above_their_error() -> None:
    assert all(answer for seed in range(6) for answer in _clears(seed, 4000, 1.02, rate=60.0))


@pytest.mark.parametrize("wrong", [0, 2])
def test_without_a_part_of_the_moments_too_much_is_cleared(wrong: int) -> None:
    answers = [_clears(seed, 40, 1 - 1e-8, wrong, rate=3.0) for seed in range(20)]
    assert any(answer for each in answers for answer in each)


def test_numbers_beyond_all_range_clear_nothing() -> None:
    w, p, rows = _instance(0, 40, 20.0)
    p[3] = 1e-120
    sums, size = _sums(w, p, rows)
    assert not cleared(1.0, sums[0], 40, size[0], Y, 0.99, 1.0)


def test_the_worst_row_is_the_worst_of_rows_looked_at_alone() -> None:
    rng = np.random.default_rng(7)
    w, a = rng.normal(size=(4, 300)), np.maximum(rng.normal(size=(60, 300)), 0)
    size = np.abs(w) @ a.T
    s = np.stack([np.max(np.abs(x) * a / z[:, None], axis=0) for x, z in zip(w, size, strict=True)])
    alone = np.max([sipp_theory.tail_rate(w, a[x : x + 1], s, 0.3, 0.05) for x in range(60)], 0)
    rate = sipp_theory.tail_rate(w, a, s, 0.3, 0.05)
    np.testing.assert_allclose(rate, alone, rtol=1e-4)
    p = np.minimum(1.0, rate[:, None] * s)
    each = [sipp_theory.tail_error(w, a[x : x + 1], p, 0.05) for x in range(60)]
    np.testing.assert_allclose(sipp_theory.tail_error(w, a, p, 0.05), np.max(each, 0), rtol=1e-11)


@pytest.mark.parametrize("k", [6, 60, 1500])
def test_rows_of_draws_stay_open_below_their_error_and_not_above(k: int) -> None:
    rng = np.random.default_rng(k)
    w, rows = rng.normal(size=(2, k)), rng.normal(size=(5, k))
    w, rows = w / np.abs(w).max(), rows / np.abs(rows).max()
    s, size = np.abs(w) * (rng.random((2, k)) + 1), np.abs(w) @ np.abs(rows).T
    for draws in (3.0, 40.0, 600.0):
        given = np.full((2, 2), draws)
        each = np.array([
            sipp_theory.tail_draws_error(w, rows[x : x + 1], s, given, 0.05) for x in range(5)
        ])  # fmt: skip
        every = sipp_theory.tail_draws_error(w, rows, s, given, 0.05)
        np.testing.assert_allclose(every, each.max(axis=0), rtol=1e-12)
        for x in range(5):
            for share, still in (
                (1 - 1e-8, True),
                (1.1, False if draws == 600 and k > 6 else None),
            ):
                open_ = np.ones((2, 5), dtype=np.bool_)
                open_rows(w, s, rows, size, np.full(2, Y), given, np.arange(2), each[x] * share,
                          0, 2, open_)  # fmt: skip
                if still is not None:
                    assert (open_[:, x] == still).all()


def test_the_worst_row_of_draws_is_the_worst_of_rows_looked_at_alone() -> None:
    rng = np.random.default_rng(8)
    w, a = rng.normal(size=(3, 400)), np.maximum(rng.normal(size=(40, 400)), 0)
    s = np.abs(w) * a.max(axis=0)
    draws = sipp_theory.tail_draws(w, a, s, 0.3, 0.05)
    each = [sipp_theory.tail_draws_error(w, a[x : x + 1], s, draws, 0.05) for x in range(40)]
    error = sipp_theory.tail_draws_error(w, a, s, draws, 0.05)
    np.testing.assert_allclose(error, np.max(each, axis=0), rtol=1e-12)
    assert (error > 0.25).all() and (error <= 0.3).all()

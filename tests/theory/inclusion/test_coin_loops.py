"""The compiled loops of SP-11 against the plain formula, at any tilt, in any number of threads."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import sipp_theory
from sipp_theory.inclusion.coin_moments import moments
from sipp_theory.inclusion.row_profiles import LANES


def _coins(seed: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=k), rng.normal(size=k), rng.random(k) ** rng.choice([0.1, 1, 8])


@pytest.mark.parametrize("k", [1, 3, 64, 600])
@pytest.mark.parametrize("mu", [1e-6, 1.0, 40.0, 1e4, 1e8])
def test_the_log_moment_is_rounded_up_by_little(k: int, mu: float) -> None:
    for seed in range(4):
        w, a, p = _coins(seed, k)
        size = float(np.abs(w * a).sum())
        result = moments(1.0, mu / size, w / p, p, a, np.zeros((11, LANES)))
        with mpmath.workdps(60):
            true = mpmath.mpf(0)
            for x, y, q in zip(w.tolist(), a.tolist(), p.tolist(), strict=True):
                chance = mpmath.mpf(q)
                t = mpmath.mpf(mu) * mpmath.mpf(x) * mpmath.mpf(y) / (chance * mpmath.mpf(size))
                true += mpmath.log(1 - chance + chance * mpmath.exp(t)) - chance * t
            assert result[0] >= true
            assert result[0] - true <= 1e-11 * (1 + abs(float(true)) + mu)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    rng = np.random.default_rng(5)
    w, a = rng.normal(size=(13, 70)), rng.random((9, 70))
    s = np.abs(w) / np.abs(w).sum(axis=1, keepdims=True) * 3
    one, three = (sipp_theory.tail_rate(w, a, s, 0.3, 0.05, threads=n) for n in (1, 3))
    assert (one == three).all() and (one > 0).all()
    p = np.minimum(1, one[:, None] * s)
    delta = np.linspace(0.01, 0.1, 13)
    one, three = (sipp_theory.tail_error(w, a, p, delta, threads=n) for n in (1, 3))
    assert (one == three).all() and (one > 0).all()
    alone = [sipp_theory.tail_error(w[i : i + 1], a, p[i : i + 1], delta[i])[0] for i in range(13)]
    np.testing.assert_allclose(one, alone, rtol=1e-12)
    one, three = (sipp_theory.tail_draws(w, a, s, 0.6, 0.05, threads=n) for n in (1, 3))
    assert (one == three).all() and np.isfinite(one).any()
    one, three = (
        sipp_theory.tail_draws_error(w, a, s, np.full((2, 13), 20.0), 0.05, threads=n)
        for n in (1, 3)
    )
    assert (one == three).all() and (one > 0).all()

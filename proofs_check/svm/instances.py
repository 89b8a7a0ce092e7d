"""Sixteen kinds of data on which sensitivities of support vector machines differ most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sipp_core.runtime import generator

STREAM = 101


class Points(NamedTuple):
    """One problem: X (n, d), y of -1 and 1, weights u."""

    kind: str
    X: np.ndarray
    y: np.ndarray
    u: np.ndarray


def _two(
    rng: np.random.Generator, n: int, d: int = 3, apart: float = 1.0, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    y = np.where(rng.random(n) < share, 1.0, -1.0)
    y[:2] = 1, -1
    X = rng.normal(size=(n, d))
    X[:, 0] += apart * y
    return X, y


def kinds(seed: int, n: int = 24) -> Iterator[Points]:
    """One problem of each kind, of about n points."""
    rng = generator(seed, STREAM)
    ones = np.ones(n)
    X, y = _two(rng, n)
    yield Points("gaussian", X, y, ones)
    yield Points("imbalance", *_two(rng, n, share=0.07), ones)
    X, y = _two(rng, n)
    X[5] *= 50
    yield Points("outlier", X, y, ones)
    X, y = _two(rng, n)
    y[2 : n // 6] *= -1
    yield Points("wrong labels", X, y, ones)
    yield Points("weights", *_two(rng, n), rng.gamma(0.5, 1, n) + 1e-3)
    u = np.where(np.arange(n) % 5 == 4, 0.0, 1.0)
    yield Points("weights of zero", *_two(rng, n), u)
    X, y = _two(rng, n // 2)
    yield Points("duplicates", np.vstack([X, X]), np.r_[y, y], np.ones(2 * (n // 2)))
    X, y = _two(rng, n)
    yield Points("collinear", np.c_[X, 2 * X[:, :1]], y, ones)
    X, y = _two(rng, n)
    yield Points("a constant column", np.c_[X, ones], y, ones)
    yield Points("separable", *_two(rng, n, apart=6), ones)
    X, y = _two(rng, n)
    X = rng.standard_t(2, X.shape)
    X[:, 0] += y
    yield Points("heavy tails", X, y, ones)
    X, y = _two(rng, n)
    yield Points("columns of mixed scale", X * [1e3, 1, 1e-3], y, ones)
    X, y = _two(rng, n)
    yield Points("whole numbers", np.round(X), y, ones)
    yield Points("more columns than points", *_two(rng, 12, d=20), np.ones(12))
    yield Points("no signal", *_two(rng, n, apart=0), ones)
    X, y = _two(rng, n)
    y[:] = -1
    y[0] = 1
    yield Points("one against all", X, y, ones)

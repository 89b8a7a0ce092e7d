"""Coverage of MS-1: the identity, where entrywise draws are counts, and matrices of any shape."""

from __future__ import annotations

import math
from functools import lru_cache, partial

import numpy as np

import sipp_theory
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from sipp_core.pruning import draw_counts
from sipp_core.runtime import generator

COUNT_STREAM, MATRIX_STREAM = 75, 76
TIE = 1e-9


def _truncated(low: int, high: int, mean: float) -> np.ndarray:
    """Poisson probabilities of low to high, as numbers from 0 on."""
    k = np.arange(high + 1)
    logs = k * math.log(mean) - mean - np.array([math.lgamma(n + 1) for n in k])
    return np.where(k >= low, np.exp(logs), 0.0)


def identity_failure(side: int, m: int, eps: float) -> float:
    """Exact chance that m uniform draws of the identity's entries are off by more than eps.

    The error is max_i |side N_i/m - 1|. Multinomial counts are independent Poisson ones given that
    they add up to m, so that the chance of a box is a convolution.

    Claim: MS-1. Source: Levin 1981 (the law).
    """
    low = max(0, math.ceil(m * (1 - eps) / side - TIE))
    high = min(m, math.floor(m * (1 + eps) / side + TIE))
    if high < low:
        return 1.0
    one, law = _truncated(low, high, m / side), np.ones(1)
    for _ in range(side):
        law = np.convolve(law, one)[: m + 1]
    if law.size <= m:
        return 1.0
    total = math.exp(m * math.log(m) - m - math.lgamma(m + 1))
    return float(max(0.0, 1 - law[m] / total))


@lru_cache(maxsize=8)
def _needed(side: int, eps: float, delta: float) -> float:
    """Draws from which on the exact law keeps the promise, to the resolution of its lattice."""
    low, high = 1, 2
    while identity_failure(side, high, eps) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        failing = identity_failure(side, middle, eps) > delta
        low, high = (middle, high) if failing else (low, middle)
    return float(high)


def _off_counts(side: int, m: int, eps: float, seed: int, at: int, block: int, size: int) -> int:
    rng = generator(seed, COUNT_STREAM, at, block)
    counts = rng.multinomial(m, np.full(side, 1 / side), size)
    return int((np.abs(side * counts / m - 1).max(axis=1) > eps + TIE).sum())


@coverage("MS-1")
def identity(setting: Setting) -> list[Experiment]:
    """Draws of the identity's entries, whose spectral error is that of the worst of its counts."""
    experiments = []
    for at, (side, eps, delta) in enumerate([(16, 0.5, 0.1), (4, 0.3, 0.05)]):
        p = np.eye(side) / side
        one = sipp_theory.draw_moments(np.eye(side), p)
        m = sipp_theory.spectral_size(one.variance, one.span, one.dimension, eps, delta)
        count = partial(_off_counts, side, int(m), eps, setting.seed, at)
        experiments.append(Experiment(
            f"Identity of side {side}, eps = {eps}.", delta, count, promised=float(m),
            needed=_needed(side, eps, delta),
        ))  # fmt: skip
    return experiments


def matrix(seed: int) -> np.ndarray:
    """A 6 x 9 matrix of entries of mixed size, like weights of a small layer."""
    return generator(seed, MATRIX_STREAM).standard_t(4, (6, 9))


def _off_norm(
    entries: np.ndarray, p: np.ndarray, m: int, eps: float, seed: int, at: int, block: int,
    size: int,
) -> int:  # fmt: skip
    rng = generator(seed, MATRIX_STREAM, at, block)
    q = np.tile(p.ravel(), (size, 1))
    counts = draw_counts(q, np.full(size, m), rng).reshape(size, *p.shape)
    off = entries * (counts / (m * p) - 1)
    errors = np.linalg.norm(off, 2, axis=(1, 2))
    return int((errors > eps * np.linalg.norm(entries, 2) * (1 + TIE)).sum())


@coverage("MS-1")
def laws_on_a_matrix(setting: Setting) -> list[Experiment]:
    """Every law for drawing entries, at the number of draws that MS-1 asks for."""
    entries, eps, delta, experiments = matrix(setting.seed), 0.7, 0.1, []
    for at, kind in enumerate(sipp_theory.ENTRY_KINDS):
        p = sipp_theory.entry_probabilities(entries, kind)
        one = sipp_theory.draw_moments(entries, p)
        m = sipp_theory.spectral_size(one.variance, one.span, one.dimension, eps, delta)
        count = partial(_off_norm, entries, p, int(m), eps, setting.seed, at)
        experiments.append(Experiment(
            f"6 x 9 entries drawn by {kind}, eps = {eps}: {int(m):,} draws.", delta, count,
            block=256, most=2048,
        ))  # fmt: skip
    return experiments

"""Coverage of SV-3, SV-8 and SV-9: how often sampled coresets miss what is promised."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

import sipp_theory
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.svm.instances import kinds
from sipp_core.runtime import generator

QUERY, EVERYWHERE, NEARBY = 103, 104, 105
DELTA = 0.1


def _two_point_misses(total: int, m: int, eps: float, seed: int, block: int, size: int) -> int:
    """One point of `total` alike carries all of F at the query: its estimate is binomial."""
    rng = generator(seed, QUERY, block)
    share = rng.binomial(m, 1 / total, size) * total / m
    return int((np.abs(share - 1) > eps + 1e-12).sum())


@coverage("SV-3")
def one_query(setting: Setting) -> Experiment:
    """A query at which one point carries F, drawn with its share of S: the worst one there is."""
    total, eps = 20, 0.3
    m = int(sipp_theory.query_coreset_size(float(total), eps, DELTA))
    count = partial(_two_point_misses, total, m, eps, setting.seed)
    return Experiment("A point that carries all of F, S = 20, eps = 0.3.", DELTA, count,
                      promised=m)  # fmt: skip


@lru_cache(maxsize=4)
def _problem(seed: int) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """A small problem, C, and hyperplanes among which the worst for a sample is looked for."""
    points = next(kinds(seed, 40))
    C = 0.02
    rng = generator(seed, EVERYWHERE)
    best = sipp_theory.solve_svm(points.X, points.y, C)
    queries = [np.append(best.w, best.b)]
    for scale in (0.0, 0.01, 0.1, 1.0, 10.0):
        queries += [np.append(scale * rng.normal(size=3), 2 * rng.normal()) for _ in range(20)]
    return points.X, points.y, C, np.array(queries)


def _values(X: np.ndarray, y: np.ndarray, C: float, queries: np.ndarray) -> np.ndarray:
    """(queries, n) each point's c h."""
    return C * np.maximum(1 - y * (queries[:, :-1] @ X.T + queries[:, -1:]), 0)


def _off_everywhere(
    m: int, p: np.ndarray, error: float, problem_seed: int, seed: int, block: int, size: int
) -> int:
    X, y, C, queries = _problem(problem_seed)
    parts, norms = _values(X, y, C, queries), (queries[:, :-1] ** 2).sum(axis=1) / 2
    full = norms + parts.sum(axis=1)
    counts = generator(seed, EVERYWHERE, block).multinomial(m, p, size)
    sampled = norms[:, None] + parts @ (counts / (m * p)).T
    return int((np.abs(sampled / full[:, None] - 1).max(axis=0) > error).sum())


@coverage("SV-8")
def everywhere(setting: Setting) -> Experiment:
    """The worst of a hundred hyperplanes, over coresets drawn by SV-8's scores."""
    X, y, C, _ = _problem(setting.seed)
    scores = sipp_theory.uniform_scores(X, y, C, sipp_theory.solve_svm(X, y, C).dual)
    m = 2000
    error = float(sipp_theory.uniform_error(scores.total, m, DELTA))
    p = scores.scores / scores.scores.sum()
    count = partial(_off_everywhere, m, p, error, setting.seed, setting.seed)
    return Experiment(f"T = {scores.total:.3g}, m = {m}: promised {error:.3g}.", DELTA, count,
                      block=128, most=512)  # fmt: skip


def _off_nearby(
    m: int, p: np.ndarray, error: float, radius: float, problem_seed: int, seed: int, block: int,
    size: int,
) -> int:  # fmt: skip
    X, y, C, queries = _problem(problem_seed)
    rng = generator(problem_seed, NEARBY)
    steps = rng.normal(size=(200, 4))
    steps *= radius / np.linalg.norm(steps, axis=1, keepdims=True)
    at = queries[0]
    active = 1 - y * (X @ at[:-1] + at[-1]) > 0
    r = 1 - y * ((at + steps)[:, :-1] @ X.T + (at + steps)[:, -1:])
    rho = C * (np.maximum(r, 0) - active * r)
    counts = generator(seed, NEARBY, block).multinomial(m, p, size)
    factor = np.divide(counts, m * p, out=np.zeros((size, len(p))), where=p > 0)
    off = rho @ factor.T - rho.sum(axis=1, keepdims=True)
    return int((np.abs(off).max(axis=0) > error).sum())


@coverage("SV-9")
def nearby(setting: Setting) -> Experiment:
    """The worst of two hundred hyperplanes around a reference, over drawn residuals."""
    X, y, C, queries = _problem(setting.seed)
    radius, m = 0.4, 100
    parts = sipp_theory.control_variate(queries[0][:-1], float(queries[0][-1]), X, y, C, radius)
    error = float(sipp_theory.control_variate_error(parts.total, m, DELTA))
    p = parts.scores / parts.scores.sum()
    count = partial(_off_nearby, m, p, error, radius, setting.seed, setting.seed)
    return Experiment(f"T = {parts.total:.3g}, m = {m}: promised {error:.3g}.", DELTA, count,
                      block=128, most=512)  # fmt: skip

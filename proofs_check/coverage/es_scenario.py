"""Coverage of ES-5, both forms, where the uncovered mass of a draw of S is known exactly.

A trial is a draw of S; it fails if the mass that S leaves uncovered exceeds the promise. Bounds are
computed before any trial.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import stats

import sipp_theory
from proofs_check import subjects
from proofs_check.activations import inputs_of_layers, shares_of
from proofs_check.evidence import Experiment
from proofs_check.registry import Setting, check
from sipp_core.plan import generator

STREAM = 72
BETA = 0.05
QUANTILE_DRAWS = 20_000


def _rest_pair(
    points: int, dimension: int, trials: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Uncovered mass and support of draws of S from the law that makes ES-5's inequality equal.

    A point puts a uniform share u on one of d - 1 weights and the rest, 1 - u, on the last: so each
    maximum is set by a point of its own, which is what the theorem's worst case is.
    """
    d = dimension - 1
    which = rng.integers(0, d, (trials, points))
    share = rng.random((trials, points))
    cell = which + d * np.arange(trials)[:, None]
    largest = np.zeros(trials * d)
    np.maximum.at(largest, cell.ravel(), share.ravel())
    largest = largest.reshape(trials, d)
    rest = 1 - share.min(axis=1)
    missed = np.minimum(1.0, 2 - largest - rest[:, None]).mean(axis=1)
    # The point of least u sets the last maximum; it sets its own too if it is alone there.
    least = share.argmin(axis=1)
    both = largest[np.arange(trials), which[np.arange(trials), least]] == share.min(axis=1)
    support = (largest > 0).sum(axis=1) + 1 - both
    return missed, support


def _fails(
    bounds: np.ndarray, points: int, dimension: int, seed: int, stream: int, block: int, trials: int
) -> int:
    """Draws of S whose uncovered mass exceeds the bound of their support."""
    rng = generator(seed, STREAM, stream, block)
    missed, support = _rest_pair(points, dimension, trials, rng)
    return int((missed > bounds[support]).sum())


def _quantile(points: int, dimension: int, beta: float, seed: int) -> float:
    """Mass that more than a share beta of draws of S leave uncovered, with 99% confidence.

    An order statistic at the lower end of its interval: what is surely needed, not what may be.
    """
    rng = generator(seed, STREAM, 99, points, dimension)
    blocks = [_rest_pair(points, dimension, 200, rng)[0] for _ in range(QUANTILE_DRAWS // 200)]
    rank = int(stats.binom.ppf(0.01, QUANTILE_DRAWS, 1 - beta))
    return float(np.sort(np.concatenate(blocks))[rank - 1])


@check("ES-5")
def a_priori_at_its_worst(setting: Setting) -> list[Experiment]:
    """Draws of S that leave more uncovered than promised beforehand, on the law of equality."""
    found = []
    for stream, (n, d, beta) in enumerate(((500, 20, BETA), (1000, 200, BETA), (200, 2, BETA))):
        bound = float(sipp_theory.scenario_violation(n, d, beta))
        count = partial(_fails, np.full(d + 1, bound), n, d, setting.seed, stream)
        found.append(Experiment(
            f"n = {n}, d = {d}: promised {bound:.4f}, mass against its quantile", beta, count,
            block=128, promised=bound, needed=_quantile(n, d, beta, setting.seed),
        ))  # fmt: skip
    return found


@check("ES-5")
def wait_and_judge_at_its_worst(setting: Setting) -> list[Experiment]:
    """Draws of S that leave more uncovered than promised afterwards, on the same law."""
    found = []
    for stream, (n, d) in enumerate(((500, 20), (1000, 200)), 10):
        bounds = np.asarray(sipp_theory.wait_and_judge_violation(n, np.arange(d + 1), BETA))
        count = partial(_fails, bounds, n, d, setting.seed, stream)
        found.append(Experiment(
            f"n = {n}, d = {d}: promised {bounds[d]:.4f} at k = d", BETA, count, block=128,
            promised=float(bounds[d]), needed=_quantile(n, d, BETA, setting.seed),
        ))  # fmt: skip
    return found


def _together_fails(
    bounds: np.ndarray, points: int, seed: int, stream: int, block: int, trials: int
) -> int:
    """The same where all weights but one rise together, so that two points set all maxima."""
    rng = generator(seed, STREAM, stream, block)
    share = rng.random((trials, points))
    missed = 1 - share.max(axis=1) + share.min(axis=1)
    return int((missed > bounds[2]).sum())


@check("ES-5")
def wait_and_judge_where_two_points_matter(setting: Setting) -> Experiment:
    """Draws of S that leave more uncovered than promised afterwards, k = 2 of d = 50."""
    n, d = 200, 50
    bounds = np.asarray(sipp_theory.wait_and_judge_violation(n, np.arange(d + 1), BETA))
    before = float(sipp_theory.scenario_violation(n, d, BETA))
    # The uncovered mass is 1 minus the range of n uniform numbers: Beta(2, n - 1).
    needed = float(stats.beta(2, n - 1).ppf(1 - BETA))
    count = partial(_together_fails, bounds, n, setting.seed, 20)
    says = f"n = {n}: promised {bounds[2]:.4f}, beforehand it was {before:.4f}"
    return Experiment(says, BETA, count, block=128, promised=float(bounds[2]), needed=needed)


def _pool_mass(table: np.ndarray, points: int, rng: np.random.Generator) -> tuple[float, int]:
    """Uncovered share of a pool and the support, for one draw of S with replacement from it."""
    chosen = table[rng.integers(0, len(table), points)]
    largest = chosen.max(axis=0)
    support = np.unique(chosen.argmax(axis=0)[largest > 0]).size
    return float((table > largest).any(axis=1).mean()), support


def _pool_fails(
    table: np.ndarray, bounds: np.ndarray, points: int, seed: int, stream: int, block: int,
    trials: int,
) -> int:  # fmt: skip
    failures = 0
    for trial in range(trials):
        rng = generator(seed, STREAM, stream, block, trial)
        missed, support = _pool_mass(table, points, rng)
        failures += missed > bounds[support]
    return failures


@check("ES-5")
def trained_neurons(setting: Setting) -> list[Experiment]:
    """Draws of S, with replacement from the fresh inputs, that leave more of them uncovered."""
    found = []
    for number, name in enumerate(subjects.names(setting)):
        subject = subjects.subject(setting, name)
        rows = inputs_of_layers(subject, subject.fresh[:2000])
        for pair in subjects.hardest_pairs(subjects.tables(setting, name), 1):
            table = shares_of(subject, rows, pair)
            table = table[:, table.max(axis=0) > 0]
            d = table.shape[1]
            n = 4 * d
            before = float(sipp_theory.scenario_violation(n, d, BETA))
            after = np.asarray(sipp_theory.wait_and_judge_violation(n, np.arange(d + 1), BETA))
            rng = generator(setting.seed, STREAM, 98, number, pair[0])
            missed = [_pool_mass(table, n, rng)[0] for _ in range(200)]
            needed = float(np.quantile(missed, 1 - BETA))
            for form, bounds in (("beforehand", np.full(d + 1, before)), ("afterwards", after)):
                stream = 100 * (number + 1) + 10 * pair[0] + (form == "afterwards")
                found.append(Experiment(
                    f"{name}, layer {pair[0] + 1}, d = {d}, n = {n}, {form}", BETA,
                    partial(_pool_fails, table, bounds, n, setting.seed, stream), block=64,
                    promised=float(bounds[d]), needed=needed,
                ))  # fmt: skip
    return found

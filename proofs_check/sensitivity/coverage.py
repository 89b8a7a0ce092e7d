"""Coverage of ES-4 on laws that satisfy A1 by construction, and of ES-6."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy import stats

import sipp_theory
from proofs_check.instances import trained
from proofs_check.instances.activations import inputs_of_layers, shares_of
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from sipp_core.runtime import generator

STREAM = 71
POINTS = (19, 99)


def _rare_shares(
    edges: int, factor: float, points: int, seed: int, stream: int, block: int, trials: int
) -> int:
    """Trials in which a fresh point has a share that no calibration point comes near.

    A1 holds with equality: of `edges` + 1 weights each but the first has the share 1/(2 edges) with
    probability 1 - exp(-1/K'), independently of the others, and the share 0 otherwise; the first
    takes the rest, at least 1/2. So F_j(M_j/K) = exp(-1/K') for every K > 1, and 0 for the first
    weight if K > 2.
    """
    rng = generator(seed, STREAM, stream, block)
    rate = -math.expm1(-1 / factor)
    # All that matters of |S| independent points is whether one of them shows the edge.
    never = rng.random((trials, edges)) < (1 - rate) ** points
    fresh = rng.random((trials, edges)) < rate
    return int((never & fresh).any(axis=1).sum())


def _least_points(edges: int, factor: float, allowed: float) -> int:
    """Least |S| by the exact law: 1 - (1 - p e^(-|S|/K'))^edges <= allowed."""
    rate = -math.expm1(-1 / factor)
    each = -math.expm1(math.log1p(-allowed) / edges)
    return max(0, math.ceil(factor * math.log(rate / each)))


@coverage("ES-4")
def rare_shares(setting: Setting) -> list[Experiment]:
    """Fresh shares above K s_j, one neuron, where A1 holds with equality."""
    experiments = []
    for stream, (star, delta, rule) in enumerate(
        ((10, 0.8, "corenet"), (10, 0.4, "sipp"), (100, 0.8, "sipp"), (784, 0.4, "corenet"))
    ):
        size = int(sipp_theory.calibration_size(1, star, delta, rule=rule))  # type: ignore[arg-type]
        factor = 3.0 if rule == "sipp" else math.log(star)
        # eta = 1: the claim is delta/8 for the neuron.
        count = partial(_rare_shares, star - 1, factor, size, setting.seed, stream)
        needed = _least_points(star - 1, factor, delta / 8)
        experiments.append(Experiment(
            f"{rule}: {star} edges, {size} points, allowed {delta / 8:g}", delta / 8, count,
            block=2048, promised=size, needed=needed,
        ))  # fmt: skip
    return experiments


def _exceeds(points: int, width: int, seed: int, stream: int, block: int, trials: int) -> int:
    """Trials in which the first share of a fresh Dirichlet point is above that of all others."""
    rng = generator(seed, STREAM, 10, stream, block)
    shares = rng.dirichlet(np.full(width, 0.3), size=(trials, points + 1))[:, :, 0]
    return int((shares[:, -1] > shares[:, :-1].max(axis=1)).sum())


def _exceeds_pool(
    column: np.ndarray, points: int, seed: int, stream: int, block: int, trials: int
) -> int:
    """The same for points drawn without replacement from a pool: exchangeable, not independent."""
    rng = generator(seed, STREAM, 11, stream, block)
    order = rng.random((trials, len(column))).argpartition(points, axis=1)[:, : points + 1]
    shares = column[rng.permuted(order, axis=1)]
    return int((shares[:, -1] > shares[:, :-1].max(axis=1)).sum())


@coverage("ES-6")
def continuous_shares(setting: Setting) -> list[Experiment]:
    """A fresh share above the maximum of n others, for continuous laws: exactly 1/(n+1)."""
    return [
        Experiment(
            f"Dirichlet, n = {n}", float(sipp_theory.exchangeable_violation(n)),
            partial(_exceeds, n, 3, setting.seed, n), block=512,
            promised=float(sipp_theory.exchangeable_violation(n)), needed=1 / (n + 1),
        )
        for n in POINTS
    ]  # fmt: skip


@coverage("ES-6")
def trained_shares(setting: Setting) -> list[Experiment]:
    """A fresh share above the maximum of n others, points in random order, on trained networks."""
    experiments = []
    for number, name in enumerate(trained.names(setting)):
        network = trained.network(setting, name)
        rows = inputs_of_layers(network, network.fresh[:1000])
        pairs = trained.hardest_pairs(trained.tables(setting, name), 1)
        for pair in pairs:
            g = shares_of(network, rows, pair)
            # The weight with the fewest ties: the one that is alive most often.
            column = g[:, int((g > 0).sum(axis=0).argmax())]
            count = partial(_exceeds_pool, column, POINTS[0], setting.seed, 10 * number + pair[0])
            experiments.append(Experiment(
                f"{name}, layer {pair[0] + 1}, n = {POINTS[0]}",
                float(sipp_theory.exchangeable_violation(POINTS[0])), count, block=512,
            ))  # fmt: skip
    return experiments


SCENARIO_STREAM = 72
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
    rng = generator(seed, SCENARIO_STREAM, stream, block)
    missed, support = _rest_pair(points, dimension, trials, rng)
    return int((missed > bounds[support]).sum())


def _quantile(points: int, dimension: int, beta: float, seed: int) -> float:
    """Mass that more than a share beta of draws of S leave uncovered, with 99% confidence.

    An order statistic at the lower end of its interval: what is surely needed, not what may be.
    """
    rng = generator(seed, SCENARIO_STREAM, 99, points, dimension)
    blocks = [_rest_pair(points, dimension, 200, rng)[0] for _ in range(QUANTILE_DRAWS // 200)]
    rank = int(stats.binom.ppf(0.01, QUANTILE_DRAWS, 1 - beta))
    return float(np.sort(np.concatenate(blocks))[rank - 1])


@coverage("ES-5")
def a_priori_at_its_worst(setting: Setting) -> list[Experiment]:
    """Draws of S that leave more uncovered than promised beforehand, on the law of equality."""
    experiments = []
    for stream, (n, d, beta) in enumerate(((500, 20, BETA), (1000, 200, BETA), (200, 2, BETA))):
        bound = float(sipp_theory.scenario_violation(n, d, beta))
        count = partial(_fails, np.full(d + 1, bound), n, d, setting.seed, stream)
        experiments.append(Experiment(
            f"n = {n}, d = {d}: promised {bound:.4f}, mass against its quantile", beta, count,
            block=128, promised=bound, needed=_quantile(n, d, beta, setting.seed),
        ))  # fmt: skip
    return experiments


@coverage("ES-5")
def wait_and_judge_at_its_worst(setting: Setting) -> list[Experiment]:
    """Draws of S that leave more uncovered than promised afterwards, on the same law."""
    experiments = []
    for stream, (n, d) in enumerate(((500, 20), (1000, 200)), 10):
        bounds = np.asarray(sipp_theory.wait_and_judge_violation(n, np.arange(d + 1), BETA))
        count = partial(_fails, bounds, n, d, setting.seed, stream)
        experiments.append(Experiment(
            f"n = {n}, d = {d}: promised {bounds[d]:.4f} at k = d", BETA, count, block=128,
            promised=float(bounds[d]), needed=_quantile(n, d, BETA, setting.seed),
        ))  # fmt: skip
    return experiments


def _together_fails(
    bounds: np.ndarray, points: int, seed: int, stream: int, block: int, trials: int
) -> int:
    """The same where all weights but one rise together, so that two points set all maxima."""
    rng = generator(seed, SCENARIO_STREAM, stream, block)
    share = rng.random((trials, points))
    missed = 1 - share.max(axis=1) + share.min(axis=1)
    return int((missed > bounds[2]).sum())


@coverage("ES-5")
def wait_and_judge_where_two_points_matter(setting: Setting) -> Experiment:
    """Draws of S that leave more uncovered than promised afterwards, k = 2 of d = 50."""
    n, d = 200, 50
    bounds = np.asarray(sipp_theory.wait_and_judge_violation(n, np.arange(d + 1), BETA))
    before = float(sipp_theory.scenario_violation(n, d, BETA))
    # The uncovered mass is 1 minus the range of n uniform numbers: Beta(2, n - 1).
    needed = float(stats.beta(2, n - 1).ppf(1 - BETA))
    count = partial(_together_fails, bounds, n, setting.seed, 20)
    label = f"n = {n}: promised {bounds[2]:.4f}, beforehand it was {before:.4f}"
    return Experiment(label, BETA, count, block=128, promised=float(bounds[2]), needed=needed)


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
        rng = generator(seed, SCENARIO_STREAM, stream, block, trial)
        missed, support = _pool_mass(table, points, rng)
        failures += missed > bounds[support]
    return failures


@coverage("ES-5")
def trained_neurons(setting: Setting) -> list[Experiment]:
    """Draws of S, with replacement from the fresh inputs, that leave more of them uncovered."""
    experiments = []
    for number, name in enumerate(trained.names(setting)):
        network = trained.network(setting, name)
        rows = inputs_of_layers(network, network.fresh[:2000])
        for pair in trained.hardest_pairs(trained.tables(setting, name), 1):
            table = shares_of(network, rows, pair)
            table = table[:, table.max(axis=0) > 0]
            d = table.shape[1]
            n = 4 * d
            before = float(sipp_theory.scenario_violation(n, d, BETA))
            after = np.asarray(sipp_theory.wait_and_judge_violation(n, np.arange(d + 1), BETA))
            rng = generator(setting.seed, SCENARIO_STREAM, 98, number, pair[0])
            missed = [_pool_mass(table, n, rng)[0] for _ in range(200)]
            needed = float(np.quantile(missed, 1 - BETA))
            for form, bounds in (("beforehand", np.full(d + 1, before)), ("afterwards", after)):
                stream = 100 * (number + 1) + 10 * pair[0] + (form == "afterwards")
                experiments.append(Experiment(
                    f"{name}, layer {pair[0] + 1}, d = {d}, n = {n}, {form}", BETA,
                    partial(_pool_fails, table, bounds, n, setting.seed, stream), block=64,
                    promised=float(bounds[d]), needed=needed,
                ))  # fmt: skip
    return experiments

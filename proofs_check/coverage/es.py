"""Coverage of ES-4 on laws that satisfy A1 by construction, and of ES-6."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

import sipp_theory
from proofs_check import subjects
from proofs_check.activations import inputs_of_layers, shares_of
from proofs_check.evidence import Experiment
from proofs_check.registry import Setting, check
from sipp_core.plan import generator

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


@check("ES-4")
def rare_shares(setting: Setting) -> list[Experiment]:
    """Fresh shares above K s_j, one neuron, where A1 holds with equality."""
    found = []
    for stream, (star, delta, rule) in enumerate(
        ((10, 0.8, "corenet"), (10, 0.4, "sipp"), (100, 0.8, "sipp"), (784, 0.4, "corenet"))
    ):
        size = int(sipp_theory.calibration_size(1, star, delta, rule=rule))  # type: ignore[arg-type]
        factor = 3.0 if rule == "sipp" else math.log(star)
        # eta = 1: the claim is delta/8 for the neuron.
        count = partial(_rare_shares, star - 1, factor, size, setting.seed, stream)
        needed = _least_points(star - 1, factor, delta / 8)
        found.append(Experiment(
            f"{rule}: {star} edges, {size} points, allowed {delta / 8:g}", delta / 8, count,
            block=2048, promised=size, needed=needed,
        ))  # fmt: skip
    return found


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


@check("ES-6")
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


@check("ES-6")
def trained_shares(setting: Setting) -> list[Experiment]:
    """A fresh share above the maximum of n others, points in random order, on trained networks."""
    found = []
    for number, name in enumerate(subjects.names(setting)):
        subject = subjects.subject(setting, name)
        rows = inputs_of_layers(subject, subject.fresh[:1000])
        pairs = subjects.hardest_pairs(subjects.tables(setting, name), 1)
        for pair in pairs:
            g = shares_of(subject, rows, pair)
            # The weight with the fewest ties: the one that is alive most often.
            column = g[:, int((g > 0).sum(axis=0).argmax())]
            count = partial(_exceeds_pool, column, POINTS[0], setting.seed, 10 * number + pair[0])
            found.append(Experiment(
                f"{name}, layer {pair[0] + 1}, n = {POINTS[0]}",
                float(sipp_theory.exchangeable_violation(POINTS[0])), count, block=512,
            ))  # fmt: skip
    return found

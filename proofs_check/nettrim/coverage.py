"""Coverage of NT-4: a sparse neuron found again from Gaussian inputs, by linear programming."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import optimize

import sipp_theory
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from sipp_core.runtime import generator

STREAM = 83
NEURONS = ((1, 4), (2, 8))
FAILURE = 0.1
MISSED = 1e-6


def recovers(sparsity: int, weights: int, points: int, rng: np.random.Generator) -> bool:
    """Whether min ||u||_1 over C_0, as a linear program, gives the neuron back."""
    truth = np.zeros(weights)
    where = rng.choice(weights, sparsity, replace=False)
    truth[where] = rng.choice([-1.0, 1.0], sparsity) * rng.uniform(0.5, 2, sparsity)
    rows = rng.normal(size=(points, weights))
    outputs = rows @ truth
    on = outputs > 0
    both = np.hstack([rows, -rows])
    solved = optimize.linprog(
        np.ones(2 * weights), A_ub=both[~on] if (~on).any() else None,
        b_ub=np.zeros(int((~on).sum())) if (~on).any() else None,
        A_eq=both[on] if on.any() else None, b_eq=outputs[on] if on.any() else None,
        bounds=(0, None), method="highs",
    )  # fmt: skip
    if solved.x is None:
        return False
    recovered = solved.x[:weights] - solved.x[weights:]
    return bool(np.abs(recovered - truth).max() <= MISSED)


def _failures(sparsity: int, weights: int, points: int, seed: int, block: int, trials: int) -> int:
    rng = generator(seed, STREAM, sparsity, weights, points, block)
    return sum(not recovers(sparsity, weights, points, rng) for _ in range(trials))


def needed(sparsity: int, weights: int, seed: int, trials: int = 100) -> int:
    """Least P, by bisection, at which at most a share FAILURE of trials fails: no bound used."""
    low, high = 1, 40 * weights
    while high - low > 1:
        middle = (low + high) // 2
        lost = _failures(sparsity, weights, middle, seed, 10**6, trials)
        low, high = (middle, high) if lost > FAILURE * trials else (low, middle)
    return high


@coverage("NT-4")
def gaussian_recovery(setting: Setting) -> list[Experiment]:
    """A sparse neuron is not the program's solution, at the number of inputs that NT-4 asks for."""
    experiments = []
    for sparsity, weights in NEURONS:
        mu = 1 - np.log(FAILURE) / np.log(weights)
        points = int(sipp_theory.recovery_samples(sparsity, weights, mu))
        least = needed(sparsity, weights, setting.seed)
        experiments.append(Experiment(
            f"s = {sparsity}, N = {weights}, P = {points}", FAILURE,
            partial(_failures, sparsity, weights, points, setting.seed),
            block=64, promised=points, needed=least,
        ))  # fmt: skip
    return experiments

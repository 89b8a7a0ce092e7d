"""CT-8 by Monte Carlo: how often a budget is accepted that does not keep CoreNet's sentence."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from scipy import stats
from torch import nn

import sipp_core
import sipp_theory
from proofs_check.instances import trained
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from sipp_core.runtime import generator

STREAM = 97
EPS, DELTA, CONFIDENCE, PAIRS = 0.5, 0.1, 0.8, 38


def _failure(draws: int) -> float:
    """Pr(|2 Bin(m, 1/2)/m - 1| > EPS): how often a neuron of two equal weights leaves."""
    counts = np.arange(draws + 1)
    return float(stats.binom.pmf(counts, draws, 0.5)[np.abs(2 * counts / draws - 1) > EPS].sum())


def _accepted(
    draws: tuple[float, ...], false: float, seed: int, block: int, size: int
) -> int:  # fmt: skip
    """Searches that accept a number of draws, at most `false`, that is not enough."""
    net = nn.Linear(2, 1, bias=False).double()
    torch.nn.init.ones_(net.weight)
    rng, wrong = generator(seed, STREAM, block), 0
    for _ in range(size):
        # One weight or the other is the whole output: 2 Bin(m, 1/2)/m of it is drawn.
        held = torch.from_numpy(np.eye(2)[rng.integers(2, size=PAIRS)])
        held *= torch.from_numpy(rng.random((PAIRS, 1)) + 0.5)
        draw_seed = int(rng.integers(2**31))
        least = sipp_core.least_budget(
            net, 3 * torch.eye(2, dtype=torch.float64), held, eps=EPS, delta=DELTA,
            confidence=CONFIDENCE, draws=draws, seed=draw_seed,
        )  # fmt: skip
        wrong += least.budget <= false
    return wrong


@coverage("CT-8")
def too_few_draws(setting: Setting) -> Experiment:
    """A number of draws is accepted with which a neuron leaves more often than delta."""
    # Among numbers of draws that are not enough, the one that is so by least.
    false = min((m for m in range(2, 40) if _failure(m) > DELTA), key=_failure)
    enough = next(m for m in range(false + 1, 200) if _failure(m) < DELTA / 50)
    level = 1 - CONFIDENCE
    exact = float(
        stats.binom.cdf(_most(DELTA, level), PAIRS, _failure(false))
        * stats.binom.cdf(_most(DELTA, level), PAIRS, _failure(enough))
    )
    return Experiment(
        f"{false} draws fail in {_failure(false):.4f}, {enough} in {_failure(enough):.2g}; "
        f"{PAIRS} pairs, delta {DELTA}, confidence {CONFIDENCE}.",
        level, partial(_accepted, (float(enough), float(false)), float(false), setting.seed),
        block=24, promised=level, needed=exact,
    )  # fmt: skip


def _most(delta: float, level: float) -> int:
    """Most failures that prove delta, by the binomial law alone."""
    counts = np.arange(PAIRS + 1)
    return int(np.flatnonzero(stats.binom.cdf(counts, PAIRS, delta) <= level).max(initial=-1))


def _counts(rates: tuple[float, ...], n: int, seed: int, block: int, size: int) -> np.ndarray:
    return generator(seed, STREAM, 1, block).binomial(n, rates, (size, len(rates)))


def _false_budgets(
    last: np.ndarray, rates: tuple[float, ...], n: int, seed: int, block: int, size: int
) -> int:
    counts = np.minimum(_counts(rates, n, seed, block, size), last.shape[0] - 1)
    return int((last[tuple(counts.T)] >= 1).sum())


@coverage("CT-8")
def false_budgets(setting: Setting) -> Experiment:
    """A budget is accepted that is not enough, among one that is and two that are not."""
    n, delta, alpha, most = 77, 0.05, 0.1, 6
    last = np.empty((most + 1,) * 3, int)
    for counts in np.ndindex(*last.shape):
        last[counts] = sipp_theory.least_budget(counts, [4.0, 2.0, 1.0], n, delta, 1 - alpha).index
    bad = delta * 1.001
    exact = float(stats.binom.cdf(1, n, bad) * stats.binom.cdf(1, n, 0.001))
    count = partial(_false_budgets, last, (0.001, bad, bad), n, setting.seed)
    return Experiment(
        f"n = {n}, delta = {delta}, confidence {1 - alpha:g}.", alpha, count, block=256,
        promised=alpha, needed=exact,
    )  # fmt: skip


def _digits(
    model: nn.Module, train: torch.Tensor, fresh: torch.Tensor, draws: float, seed: int,
    block: int, size: int,
) -> int:  # fmt: skip
    """Searches on a trained network that accept a number of draws known to be too few."""
    rng, wrong = generator(seed, STREAM, 2, block), 0
    for _ in range(size):
        held = fresh[torch.from_numpy(rng.integers(len(fresh), size=PAIRS))]
        least = sipp_core.least_budget(
            model, train, held, eps=0.3, delta=DELTA, confidence=CONFIDENCE, draws=(draws,),
            seed=int(rng.integers(2**31)), allow_repeats=True,
        )  # fmt: skip
        wrong += not least.vacuous
    return wrong


@coverage("CT-8", profile="full")
def trained_network(setting: Setting) -> Experiment:
    """A trained network with so few draws that every eighth pair or more fails."""
    network = trained.network(setting)
    # Draws at which some 13% of 2,000 pairs fail, by the same search from other inputs.
    draws = 2.0**40
    while True:
        tried = sipp_core.least_budget(
            network.model,
            network.train[:256],
            network.train[256:],
            eps=0.3,
            delta=0.9,
            draws=(draws,),
        )
        if tried.failures[0] / tried.n > 0.16:
            break
        draws /= 1.5
    return Experiment(
        f"digits, {draws:.2g} draws, {PAIRS} pairs.", 1 - CONFIDENCE,
        partial(_digits, network.model, network.train[:256], network.fresh, draws, setting.seed),
        block=4,
    )  # fmt: skip

"""Coverage of SP-10: the best of several candidates, and neurons that were dead on all of S."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

import sipp_theory
from proofs_check.instances import trained
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from sipp_core import calibrate
from sipp_core.runtime import Float, generator

STREAM, NEEDED_STREAM = 55, 56
NEEDED_TRIALS = 2_000


def best_errors(shares: Float, q: Float, m: int, tau: int, trials: int, seed: int,
                *stream: int) -> Float:  # fmt: skip
    """Least mean error over the rows among tau candidates of m draws each, many times."""
    rng = generator(seed, *stream)
    least = np.empty(trials)
    chunk = max(1, 2**19 // (tau * q.size))
    for start in range(0, trials, chunk):
        count = min(chunk, trials - start)
        versions = rng.multinomial(m, q, size=count * tau) / (m * q)
        errors = np.abs(versions @ shares.T - 1).mean(axis=1)
        least[start : start + count] = errors.reshape(count, tau).min(axis=1)
    return least


def _above(shares: Float, q: Float, m: int, tau: int, limit: float, seed: int,
           stream: tuple[int, ...], block: int, trials: int) -> int:  # fmt: skip
    errors = best_errors(shares, q, m, tau, trials, seed, STREAM, *stream, block)
    return int((errors > limit * (1 + 1e-9) + 1e-9).sum())


def _best(label: str, shares: Float, s: Float, m: int, delta: float, seed: int,
          stream: tuple[int, ...]) -> Experiment:  # fmt: skip
    """As many candidates as CoreNet++ draws for delta, against the mean error promised on T."""
    tau = int(sipp_theory.candidates(delta))
    q = s / s.sum()
    promise = sipp_theory.best_of_tau(max(1.0, float(s.sum())), m, tau)
    limit = float(promise.mean_error)
    needed = np.quantile(
        best_errors(shares, q, m, tau, NEEDED_TRIALS, seed, NEEDED_STREAM, *stream),
        1 - delta / 4, method="higher",
    )  # fmt: skip
    return Experiment(
        f"{label}, {tau} candidates", delta / 4, partial(_above, shares, q, m, tau, limit, seed,
                                                       stream),
        promised=limit, needed=float(needed),
    )  # fmt: skip


@coverage("SP-10")
def best_on_its_set(setting: Setting) -> list[Experiment]:
    """The best of tau candidates errs on T by at most 10/9 of its root mean square, in the mean."""
    delta = 0.2
    # One draw is M = 1.8 or 0, and 0 misses the promise: no law of one draw fails more often.
    result = [
        _best("one draw of two weights", np.array([[1.0, 0.0]]), np.array([1.0, 0.8]), 1, delta,
              setting.seed, (1, 0)),
    ]  # fmt: skip
    for place, name in enumerate(trained.names(setting)):
        tables = trained.tables(setting, name)
        layer, sign, neuron = trained.hardest_pairs(tables, 1)[0]
        g, s = trained.pair_shares(tables[layer], sign, neuron)
        result.append(
            _best(f"{name}, neuron {neuron}", g[:64], s, 40, delta, setting.seed, (2, place))
        )
    return result


def _all_large(tau: int, chance: float, seed: int, block: int, trials: int) -> int:
    rng = generator(seed, STREAM, 3, block)
    return int((rng.binomial(tau, chance, size=trials) == tau).sum())


@coverage("SP-10")
def markov_attained(setting: Setting) -> Experiment:
    """Candidates that attain Markov: a little over 10/9 of the mean error, or none at all.

    No draw of weights is so bad, which is why Chebyshev does with half as many candidates.
    """
    delta = 0.2
    tau = int(sipp_theory.candidates(delta))
    least = math.ceil(math.log(delta / 4) / math.log(0.9))
    return Experiment(
        f"{tau} candidates, delta/4 = {delta / 4}", delta / 4,
        partial(_all_large, tau, 0.9 - 1e-9, setting.seed), promised=tau, needed=least,
    )  # fmt: skip


def _chosen_fails(q: Float, on_set: Float, fresh: Float, tau: int, eps: float, seed: int,
                  block: int, trials: int) -> int:  # fmt: skip
    picks = generator(seed, STREAM, 4, block).choice(q.size, p=q, size=(trials, tau))
    best = np.abs(on_set / q - 1)[picks].argmin(axis=1)
    chosen = picks[np.arange(trials), best]
    return int((np.abs(fresh / q - 1) > eps)[chosen].sum())


@coverage("SP-10")
def chosen_at_a_fresh_input(setting: Setting) -> Experiment:
    """At a fresh input the chosen candidate fails nearly tau times as often as a single one."""
    q, tau, eps = np.array([0.8, 0.1, 0.1]), 3, 0.6
    on_set, fresh = np.array([0.72, 0.10, 0.18]), np.array([0.85, 0.0, 0.15])
    single = float(q[np.abs(fresh / q - 1) > eps].sum())
    promised = float(sipp_theory.selected_violation(tau, single))
    return Experiment(
        f"best of {tau}, one alone fails with {single:.2f}", promised,
        partial(_chosen_fails, q, on_set, fresh, tau, eps, setting.seed), promised=promised,
        needed=1 - (1 - single) ** tau,
    )  # fmt: skip


def _some_dead(rate: float, points: int, neurons: int, seed: int, block: int, trials: int) -> int:
    rng = generator(seed, STREAM, 5, neurons, block)
    return int((rng.binomial(points, rate, size=(trials, neurons)) == 0).any(axis=1).sum())


@coverage("SP-10")
def dead_on_all_points(setting: Setting) -> list[Experiment]:
    """Neurons alive a little more often than the bound are dead on all of S with chance beta."""
    points, beta = 100, 0.05
    result = []
    for neurons in (1, 20):
        rate = float(sipp_theory.dead_neuron_violation(points, beta, neurons))
        truth = 1 - (1 - (1 - beta) ** (1 / neurons)) ** (1 / points)
        result.append(
            Experiment(
                f"{neurons} neurons, {points} points", beta,
                partial(_some_dead, rate * (1 + 1e-9), points, neurons, setting.seed),
                promised=rate, needed=truth,
            )
        )  # fmt: skip
    return result


def _wakes(alive: np.ndarray, points: int, seed: int, stream: int, block: int, trials: int) -> int:
    """Choose S and x without replacement; count neurons silent on S that fire at x."""
    rng = generator(seed, STREAM, 6, stream, block)
    order = np.argsort(rng.random((trials, alive.size)), axis=1)[:, : points + 1]
    seen = alive[order]
    return int((seen[:, points] & ~seen[:, :points].any(axis=1)).sum())


@coverage("SP-10")
def removed_neuron_wakes(setting: Setting) -> list[Experiment]:
    """One neuron silent on S fires at x with probability at most 1/(n+1), over S and x together."""
    points = 30
    promised = float(sipp_theory.exchangeable_violation(points))
    population = np.arange(points + 1) == 0
    cases = [(f"alive at 1 of {points + 1} points", population)]
    for name in trained.names(setting):
        network = trained.network(setting, name)
        layers = calibrate(network.model, network.train[:400], points=400, seed=setting.seed).layers
        fires = layers[1].points[0].numpy() > 0
        rates = np.abs(fires.mean(axis=0) - 1 / (points + 1))
        cases.append((f"{name}, the neuron alive nearest to 1/{points + 1} of the time",
                      fires[:, int(rates.argmin())]))  # fmt: skip
    return [
        Experiment(
            label, promised, partial(_wakes, alive, points, setting.seed, number), block=512,
            promised=promised, needed=wakes(alive, points),
        )
        for number, (label, alive) in enumerate(cases)
    ]  # fmt: skip


def wakes(alive: np.ndarray, points: int) -> float:
    """Probability of the same, by the hypergeometric law: NaN where it is 0."""
    total, firing = alive.size, int(alive.sum())
    silent = math.comb(total - firing, points) / math.comb(total, points)
    return silent * firing / (total - points) or math.nan

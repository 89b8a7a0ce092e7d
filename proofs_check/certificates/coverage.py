"""Coverage of CT-1 to CT-4 on laws that are known: binomial counts, uniform and tied errors, paths.

What the code under test answers to each outcome is tabled before any trial; a trial draws an
outcome and looks it up. Rates are those at which a certificate fails most often.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Literal

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

import sipp_core
import sipp_theory
from proofs_check.instances import methods, trained
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from sipp_core.methods import Method
from sipp_core.runtime import evaluating, generator

COUNT_STREAM, ERROR_STREAM, SEQUENCE_STREAM, PATH_STREAM = 71, 72, 73, 74
JUST_ABOVE = 1 + 1e-9
Key = tuple[int, ...]
Alternative = Literal["above", "below"]


def _counts(wrong: np.ndarray, rate: float, seed: int, stream: Key, block: int, size: int) -> int:
    """Trials whose count of violations is one at which the certificate is wrong."""
    rng = generator(seed, COUNT_STREAM, *stream, block)
    return int(wrong[rng.binomial(wrong.size - 1, rate, size)].sum())


def _worst_rate(k: int, n: int, alpha: float) -> float:
    """Just above the rate at which k or fewer violations have probability alpha."""
    return float(stats.beta.ppf(1 - alpha, k + 1, n - k)) * JUST_ABOVE


@coverage("CT-1")
def worst_rates(setting: Setting) -> list[Experiment]:
    """CT-1's bound below the true rate, at the rate where that is most likely."""
    experiments = []
    for index, (n, k, alpha) in enumerate([(60, 1, 0.1), (299, 5, 0.05), (20, 0, 0.01)]):
        rate = _worst_rate(k, n, alpha)
        bounds = sipp_theory.violation_bound(np.arange(n + 1), n, 1 - alpha)
        exact = float(stats.binom.cdf(k, n, rate))
        count = partial(_counts, bounds < rate, rate, setting.seed, (1, index))
        experiments.append(Experiment(
            f"n = {n}, rate {rate:.4f}.", alpha, count, promised=alpha, needed=exact
        ))  # fmt: skip
    return experiments


@coverage("CT-1")
def interval_at_its_worst(setting: Setting) -> list[Experiment]:
    """The two-sided interval leaves out the true rate, where both its ends can do so."""
    experiments = []
    for index, (n, alpha) in enumerate([(60, 0.1), (200, 0.05)]):
        k = np.arange(n + 1)
        rates = np.linspace(0.2, 0.8, 601)
        # The exact law of the exact interval finds the rate; no bound has a say in it.
        high = np.append(stats.beta.ppf(1 - alpha / 2, k[:-1] + 1, n - k[:-1]), 1.0)
        low = np.append(0.0, stats.beta.ppf(alpha / 2, k[1:], n - k[1:] + 1))
        outside = (low > rates[:, None]) | (high < rates[:, None])
        exact = (stats.binom.pmf(k, n, rates[:, None]) * outside).sum(axis=1)
        rate = float(rates[exact.argmax()])
        ends = sipp_theory.clopper_pearson(k, n, 1 - alpha)
        wrong = (ends[0] > rate) | (ends[1] < rate)
        count = partial(_counts, wrong, rate, setting.seed, (2, index))
        label = f"n = {n}, rate {rate:.3f}."
        # An interval with all of alpha on each side fails less often than twice alpha.
        experiments.append(Experiment(
            label, alpha, count, most=2000, promised=alpha, needed=float(exact.max())
        ))  # fmt: skip
    return experiments


def _errors(
    rank: int, n: int, delta: float, levels: int, seed: int, stream: Key, block: int, size: int
) -> int:
    """Trials whose rank-th smallest error is exceeded by more than a share delta of all inputs."""
    errors = generator(seed, ERROR_STREAM, *stream, block).random((size, n))
    if levels:
        errors = np.ceil(errors * levels) / levels  # ties; Pr(e <= v) = v at each level
    chosen = np.partition(errors, rank - 1, axis=1)[:, rank - 1]
    return int((1 - chosen > delta * JUST_ABOVE).sum())


@coverage("CT-2")
def order_statistics(setting: Setting) -> list[Experiment]:
    """CT-2's eps is exceeded by more than a share delta of all inputs."""
    experiments = []
    cases = [(77, 0.05, 0.1, 0), (90, 0.05, 0.01, 0), (77, 0.05, 0.1, 20)]
    for index, (n, delta, alpha, levels) in enumerate(cases):
        rank = int(sipp_theory.error_quantile(np.arange(1.0, n + 1), delta, 1 - alpha))
        least = next(r for r in range(1, n + 1) if stats.binom.sf(r - 1, n, 1 - delta) <= alpha)
        # Ties only help: there is no one law to be tight for.
        exact = math.nan if levels else float(stats.binom.sf(least - 1, n, 1 - delta))
        count = partial(_errors, rank, n, delta, levels, setting.seed, (index,))
        law = f"{levels} tied levels" if levels else "a continuous law"
        label = f"n = {n}, delta = {delta}, confidence {1 - alpha:g}, {law}."
        experiments.append(Experiment(label, alpha, count, promised=alpha, needed=exact))
    return experiments


def _sequences(
    last: np.ndarray, first: int, rates: tuple[float, ...], n: int, shared: bool, seed: int,
    stream: Key, block: int, size: int,
) -> int:  # fmt: skip
    """Trials in which a network from `first` on, all of them false, is accepted."""
    rng = generator(seed, SEQUENCE_STREAM, *stream, block)
    if shared:  # the same points: a denser network errs only where a sparser one does
        points = rng.random((size, n, 1))
        counts = (points < np.array(rates)).sum(axis=1)
    else:
        counts = rng.binomial(n, rates, (size, len(rates)))
    return int((last[tuple(np.minimum(counts, last.shape[0] - 1).T)] >= first).sum())


@coverage("CT-3")
def false_networks(setting: Setting) -> list[Experiment]:
    """CT-3 accepts a network that misses (eps, delta), among one good network and three bad."""
    n, delta, alpha, most = 77, 0.05, 0.1, 5
    last = np.empty((most + 1,) * 4, int)
    for counts in itertools.product(range(most + 1), repeat=4):
        last[counts] = sipp_theory.fixed_sequence(counts, n, delta, 1 - alpha).last
    bad = delta * JUST_ABOVE
    rates = (0.001, bad, bad, bad)
    # At most one violation passes; the good network passes nearly always.
    exact = float(stats.binom.cdf(1, n, bad) * stats.binom.cdf(1, n, rates[0]))
    experiments = []
    for index, shared in enumerate((False, True)):
        count = partial(_sequences, last, 1, rates, n, shared, setting.seed, (index,))
        label = (
            f"n = {n}, delta = {delta}, {'the same points' if shared else 'points of their own'}."
        )
        experiments.append(Experiment(label, alpha, count, block=256, promised=alpha, needed=exact))
    return experiments


def _paths(alarm: np.ndarray, rate: float, seed: int, stream: Key, block: int, size: int) -> int:
    """Trials whose running count ever is at a (time, count) of alarm."""
    length = alarm.shape[0]
    points = generator(seed, PATH_STREAM, *stream, block).random((size, length), np.float32)
    counts = (points < rate).cumsum(axis=1, dtype=np.int16)
    return int(alarm[np.arange(length), counts].any(axis=1).sum())


def _states(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, k = np.meshgrid(np.arange(1, length + 1), np.arange(length + 1), indexing="ij")
    return np.minimum(k, n), n, k <= n


@coverage("CT-4")
def alarms(setting: Setting) -> list[Experiment]:
    """The e-value of CT-4 reaches 1/alpha at some time although its null is true."""
    length = 1000 if setting.full else 300
    k, n, possible = _states(length)
    experiments = []
    cases: list[tuple[Alternative, float, float, float]] = [
        ("above", 0.1, 0.1, 0.1),
        ("below", 0.1, 0.1, 0.1),
        ("above", 0.1, 0.02, 0.1),
    ]
    for index, (side, delta, rate, alpha) in enumerate(cases):
        alarm = possible & (sipp_theory.e_value(k, n, delta, side) >= 1 / alpha)
        count = partial(_paths, alarm, rate, setting.seed, (1, index))
        label = f"Evidence {side} {delta}, true rate {rate}, {length} points."
        experiments.append(Experiment(label, alpha, count, block=256))
    return experiments


@coverage("CT-4")
def sequences(setting: Setting) -> list[Experiment]:
    """The confidence sequence of CT-4 leaves out the true rate at some time."""
    length, alpha = 400 if setting.full else 150, 0.1
    k, n, possible = _states(length)
    low, high = sipp_theory.confidence_sequence(k, n, 1 - alpha)
    experiments = []
    for index, rate in enumerate((0.1, 0.5)):
        alarm = possible & ((low > rate) | (high < rate))
        count = partial(_paths, alarm, rate, setting.seed, (2, index))
        label = f"True rate {rate}, confidence {1 - alpha}, {length} points."
        experiments.append(Experiment(label, alpha, count, block=256))
    return experiments


STREAM = 75
# Outputs of one input differ by a rounding from batch to batch.
ROUNDING = 1e-5
# The targets of CT-1 and CT-3: a share of inputs that some network just misses delta = 0.1 by.
BORDERLINE = 0.12
Kind = Literal["CT-1", "CT-2", "CT-3"]


def _population_errors(model: nn.Module, pruned: nn.Module, population: Tensor) -> np.ndarray:
    """|f^(x) - f(x)|/|f(x)| of every input, by other code than the certificate's."""
    with evaluating(model), evaluating(pruned):
        before, after = model(population).double(), pruned(population).double()
    return ((after - before).norm(dim=1) / before.norm(dim=1)).numpy()


def _certificates(
    model: nn.Module, population: Tensor, kind: Kind, pruners: tuple[Method, ...],
    keeps: tuple[float, ...], eps: float, delta: float, confidence: float, sizes: tuple[int, int],
    seed: int, stream: tuple[int, ...], block: int, size: int,
) -> int:  # fmt: skip
    """Trials whose certificate says something false of the population; methods take turns."""
    rng = generator(seed, STREAM, *stream, block)
    wrong = 0
    for trial in range(size):
        picks = [rng.integers(len(population), size=count) for count in sizes]
        calibration, held = (population[torch.from_numpy(rows)] for rows in picks)
        draw_seed, method = int(rng.integers(2**31)), pruners[trial % len(pruners)]
        if kind == "CT-3":
            search = sipp_core.sparsest(model, calibration, held, eps=eps, method=method,
                                       seed=draw_seed, keeps=keeps, allow_repeats=True,
                                       delta=delta, confidence=confidence)  # fmt: skip
            if search.result is None or search.certificate is None:
                continue
            pruned, certificate = search.result.model, search.certificate
        else:
            pruned = sipp_core.prune(
                model, calibration, method=method, keep=keeps[0], seed=draw_seed
            ).model
            certificate = sipp_core.certify(
                model, pruned, held, delta=delta, confidence=confidence,
                eps=eps if kind == "CT-1" else None, allow_repeats=True,
            )  # fmt: skip
        errors = _population_errors(model, pruned, population)
        share = float((errors > certificate.eps * (1 + ROUNDING)).mean())
        wrong += share > certificate.delta * (1 + ROUNDING)
    return wrong


def _names(pruners: tuple[Method, ...]) -> str:
    return ", ".join(one.name for one in pruners)


def _tiny(setting: Setting) -> tuple[nn.Module, Tensor]:
    """A small random network and 2,000 random inputs, in float64."""
    rng = generator(setting.seed, STREAM, 0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
    return net, torch.from_numpy(rng.random((2000, 8)))


def _exceeded(model: nn.Module, population: Tensor, keep: float, share: float) -> float:
    """Error that this share of the population exceeds, in one network pruned to look for it."""
    pruned = sipp_core.prune(model, population[:64], method=methods.PLAIN, keep=keep, seed=1).model
    return float(np.quantile(_population_errors(model, pruned, population), 1 - share))


def _small(setting: Setting, kind: Kind, keeps: tuple[float, ...]) -> Experiment:
    net, population = _tiny(setting)
    eps = _exceeded(net, population, keeps[0], BORDERLINE)
    pruners = (methods.PLAIN,) if kind == "CT-3" and not setting.full else methods.CERTIFIED
    count = partial(_certificates, net, population, kind, pruners, keeps, eps, 0.1, 0.9, (32, 38),
                    setting.seed, (1, int(kind[-1])))  # fmt: skip
    label = f"{_names(pruners)} in turn, 38 inputs held out, delta 0.1, confidence 0.9."
    return Experiment(label, 0.1, count, block=24)


@coverage("CT-1")
def small_bound(setting: Setting) -> Experiment:
    """CT-1 on fresh splits is false of the population; an 8-8-3 network, half of it kept."""
    return _small(setting, "CT-1", (0.5,))


@coverage("CT-2")
def small_quantile(setting: Setting) -> Experiment:
    """CT-2 on fresh splits is false of the population; an 8-8-3 network, half of it kept."""
    return _small(setting, "CT-2", (0.5,))


@coverage("CT-3")
def small_search(setting: Setting) -> Experiment:
    """The network that CT-3 accepts on fresh splits misses its target on the population; 8-8-3."""
    return _small(setting, "CT-3", (0.7, 0.65, 0.6))


def _trained(setting: Setting, kind: Kind, keeps: tuple[float, ...]) -> list[Experiment]:
    experiments = []
    for place, name in enumerate(trained.names(setting)):
        network = trained.network(setting, name)
        population = torch.cat([network.fresh, network.train])[: 4000 if setting.full else 1000]
        pruners = methods.CERTIFIED if setting.full and kind != "CT-3" else (methods.PLAIN,)
        eps = _exceeded(network.model, population, keeps[0], BORDERLINE)
        count = partial(_certificates, network.model, population, kind, pruners, keeps, eps, 0.1,
                        0.8, (64, 45), setting.seed, (2, int(kind[-1]), place))  # fmt: skip
        label = f"{name}, {_names(pruners)}, 45 inputs held out, delta 0.1, confidence 0.8."
        experiments.append(Experiment(label, 0.2, count, block=12))
    return experiments


@coverage("CT-1")
def trained_bound(setting: Setting) -> list[Experiment]:
    """CT-1 on fresh splits is false of the data that they are drawn from; a trained network."""
    return _trained(setting, "CT-1", (0.5,))


@coverage("CT-2")
def trained_quantile(setting: Setting) -> list[Experiment]:
    """CT-2 on fresh splits is false of the data that they are drawn from; a trained network."""
    return _trained(setting, "CT-2", (0.5,))


@coverage("CT-3")
def trained_search(setting: Setting) -> list[Experiment]:
    """The network that CT-3 accepts misses its target on the data; a trained network."""
    return _trained(setting, "CT-3", (0.5, 0.45, 0.4))

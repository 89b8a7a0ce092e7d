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
from scipy import stats

import sipp_theory
from proofs_check.evidence import Experiment
from proofs_check.registry import Setting, check
from sipp_core.plan import generator

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


@check("CT-1")
def worst_rates(setting: Setting) -> list[Experiment]:
    """CT-1's bound below the true rate, at the rate where that is most likely."""
    asked = []
    for index, (n, k, alpha) in enumerate([(60, 1, 0.1), (299, 5, 0.05), (20, 0, 0.01)]):
        rate = _worst_rate(k, n, alpha)
        bounds = sipp_theory.violation_bound(np.arange(n + 1), n, 1 - alpha)
        exact = float(stats.binom.cdf(k, n, rate))
        count = partial(_counts, bounds < rate, rate, setting.seed, (1, index))
        asked.append(Experiment(
            f"n = {n}, rate {rate:.4f}.", alpha, count, promised=alpha, needed=exact
        ))  # fmt: skip
    return asked


@check("CT-1")
def interval_at_its_worst(setting: Setting) -> list[Experiment]:
    """The two-sided interval leaves out the true rate, where both its ends can do so."""
    asked = []
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
        says = f"n = {n}, rate {rate:.3f}."
        # An interval with all of alpha on each side fails less often than twice alpha.
        asked.append(Experiment(
            says, alpha, count, most=2000, promised=alpha, needed=float(exact.max())
        ))  # fmt: skip
    return asked


def _errors(
    rank: int, n: int, delta: float, levels: int, seed: int, stream: Key, block: int, size: int
) -> int:
    """Trials whose rank-th smallest error is exceeded by more than a share delta of all inputs."""
    errors = generator(seed, ERROR_STREAM, *stream, block).random((size, n))
    if levels:
        errors = np.ceil(errors * levels) / levels  # ties; Pr(e <= v) = v at each level
    chosen = np.partition(errors, rank - 1, axis=1)[:, rank - 1]
    return int((1 - chosen > delta * JUST_ABOVE).sum())


@check("CT-2")
def order_statistics(setting: Setting) -> list[Experiment]:
    """CT-2's eps is exceeded by more than a share delta of all inputs."""
    asked = []
    cases = [(77, 0.05, 0.1, 0), (90, 0.05, 0.01, 0), (77, 0.05, 0.1, 20)]
    for index, (n, delta, alpha, levels) in enumerate(cases):
        rank = int(sipp_theory.error_quantile(np.arange(1.0, n + 1), delta, 1 - alpha))
        least = next(r for r in range(1, n + 1) if stats.binom.sf(r - 1, n, 1 - delta) <= alpha)
        # Ties only help: there is no one law to be tight for.
        exact = math.nan if levels else float(stats.binom.sf(least - 1, n, 1 - delta))
        count = partial(_errors, rank, n, delta, levels, setting.seed, (index,))
        law = f"{levels} tied levels" if levels else "a continuous law"
        says = f"n = {n}, delta = {delta}, confidence {1 - alpha:g}, {law}."
        asked.append(Experiment(says, alpha, count, promised=alpha, needed=exact))
    return asked


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


@check("CT-3")
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
    asked = []
    for index, shared in enumerate((False, True)):
        count = partial(_sequences, last, 1, rates, n, shared, setting.seed, (index,))
        says = (
            f"n = {n}, delta = {delta}, {'the same points' if shared else 'points of their own'}."
        )
        asked.append(Experiment(says, alpha, count, block=256, promised=alpha, needed=exact))
    return asked


def _paths(alarm: np.ndarray, rate: float, seed: int, stream: Key, block: int, size: int) -> int:
    """Trials whose running count ever is at a (time, count) of alarm."""
    length = alarm.shape[0]
    points = generator(seed, PATH_STREAM, *stream, block).random((size, length), np.float32)
    counts = (points < rate).cumsum(axis=1, dtype=np.int16)
    return int(alarm[np.arange(length), counts].any(axis=1).sum())


def _states(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, k = np.meshgrid(np.arange(1, length + 1), np.arange(length + 1), indexing="ij")
    return np.minimum(k, n), n, k <= n


@check("CT-4")
def alarms(setting: Setting) -> list[Experiment]:
    """The e-value of CT-4 reaches 1/alpha at some time although its null is true."""
    length = 1000 if setting.full else 300
    k, n, possible = _states(length)
    asked = []
    cases: list[tuple[Alternative, float, float, float]] = [
        ("above", 0.1, 0.1, 0.1),
        ("below", 0.1, 0.1, 0.1),
        ("above", 0.1, 0.02, 0.1),
    ]
    for index, (side, delta, rate, alpha) in enumerate(cases):
        alarm = possible & (sipp_theory.e_value(k, n, delta, side) >= 1 / alpha)
        count = partial(_paths, alarm, rate, setting.seed, (1, index))
        says = f"Evidence {side} {delta}, true rate {rate}, {length} points."
        asked.append(Experiment(says, alpha, count, block=256))
    return asked


@check("CT-4")
def sequences(setting: Setting) -> list[Experiment]:
    """The confidence sequence of CT-4 leaves out the true rate at some time."""
    length, alpha = 400 if setting.full else 150, 0.1
    k, n, possible = _states(length)
    low, high = sipp_theory.confidence_sequence(k, n, 1 - alpha)
    asked = []
    for index, rate in enumerate((0.1, 0.5)):
        alarm = possible & ((low > rate) | (high < rate))
        count = partial(_paths, alarm, rate, setting.seed, (2, index))
        says = f"True rate {rate}, confidence {1 - alpha}, {length} points."
        asked.append(Experiment(says, alpha, count, block=256))
    return asked

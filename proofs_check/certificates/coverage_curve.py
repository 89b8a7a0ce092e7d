"""Coverage of CT-5 to CT-7 on laws that are known: uniform errors, three outcomes, groups."""

from __future__ import annotations

from functools import partial

import numpy as np

import sipp_theory
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from sipp_core.runtime import generator

BAND_STREAM, DROP_STREAM, GROUP_STREAM = 77, 78, 79
Key = tuple[int, ...]


def _crossed(shares: np.ndarray, levels: int, seed: int, stream: Key, block: int, size: int) -> int:
    """Trials in which some e_(r) is exceeded by more than the share that the band gives it."""
    n = len(shares)
    errors = generator(seed, BAND_STREAM, *stream, block).random((size, n))
    if levels:
        errors = np.ceil(errors * levels) / levels  # ties; Pr(e <= v) = v at each level
    errors.sort(axis=1)
    return int((1 - errors > shares * (1 + 1e-12)).any(axis=1).sum())


@coverage("CT-5")
def curves(setting: Setting) -> list[Experiment]:
    """Some point of CT-5's curve is false: more inputs exceed e_(r) than its share says."""
    asked = []
    cases = [(20, 0.1, 0), (200, 0.1, 0), (100, 0.05, 0), (100, 0.1, 25)]
    for index, (n, alpha, levels) in enumerate(cases):
        shares = sipp_theory.simultaneous_band(n, 1 - alpha).shares
        count = partial(_crossed, shares, levels, setting.seed, (index,))
        law = f"{levels} tied levels" if levels else "a continuous law"
        asked.append(Experiment(f"n = {n}, confidence {1 - alpha:g}, {law}.", alpha, count))
    return asked


def _drops(
    wrong: np.ndarray, rates: tuple[float, float], seed: int, stream: Key, block: int, size: int
) -> int:
    """Trials whose counts of broken and mended points give a bound below the drop."""
    n = len(wrong) - 1
    rng = generator(seed, DROP_STREAM, *stream, block)
    counts = rng.multinomial(n, (*rates, 1 - sum(rates)), size)
    return int(wrong[counts[:, 0], counts[:, 1]].sum())


@coverage("CT-6")
def drops(setting: Setting) -> list[Experiment]:
    """The drop in accuracy exceeds its bound, or the accuracy is below its own."""
    asked = []
    cases = [(60, 0.1, (0.1, 0.0)), (150, 0.1, (0.06, 0.05)), (60, 0.2, (0.25, 0.02))]
    for index, (n, alpha, rates) in enumerate(cases):
        lost, won = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        possible = lost + won <= n
        bounds = sipp_theory.accuracy_drop(
            np.where(possible, lost, 0), np.where(possible, won, 0), n, 1 - alpha
        )
        wrong = possible & (bounds < rates[0] - rates[1])
        count = partial(_drops, wrong, rates, setting.seed, (0, index))
        says = f"n = {n}, broken {rates[0]}, mended {rates[1]}, confidence {1 - alpha:g}."
        # Half of alpha is for each limit, and the two rarely fail together.
        asked.append(Experiment(says, alpha, count))
    n, alpha, rate = 77, 0.1, 0.9
    bounds = sipp_theory.accuracy_bound(np.arange(n + 1), n, 1 - alpha)
    wrong = np.broadcast_to((bounds > rate)[:, None], (n + 1, n + 1))
    count = partial(_drops, wrong, (rate, 0.0), setting.seed, (1,))
    asked.append(Experiment(f"n = {n}, accuracy {rate}, confidence {1 - alpha:g}.", alpha, count))
    return asked


def _groups(
    wrong: tuple[np.ndarray, ...], rates: tuple[float, ...], seed: int, block: int, size: int
) -> int:
    """Trials in which the bound of any group is below that group's rate."""
    rng = generator(seed, GROUP_STREAM, block)
    fails = np.zeros(size, bool)
    for table, rate in zip(wrong, rates, strict=True):
        fails |= table[rng.binomial(len(table) - 1, rate, size)]
    return int(fails.sum())


@coverage("CT-7")
def groups(setting: Setting) -> Experiment:
    """Some group of eight violates more often than its bound says, at its own worst rate."""
    alpha, sizes, each = 0.2, (40, 55, 60, 80, 100, 120, 150, 200), 0.2 / 8
    level = sipp_theory.family_confidence(1 - alpha, len(sizes))
    # Just above the rate at which one violation is as improbable as a group's share of alpha.
    rates = tuple(float(sipp_theory.violation_bound(1, n, 1 - each)) * (1 + 1e-9) for n in sizes)
    wrong = tuple(
        np.asarray(sipp_theory.violation_bound(np.arange(n + 1), n, level)) < rate
        for n, rate in zip(sizes, rates, strict=True)
    )
    count = partial(_groups, wrong, rates, setting.seed)
    exact = 1 - (1 - each) ** len(sizes)  # independent groups, each failing with all of its level
    says = f"Groups of {sizes} points, confidence {1 - alpha:g}."
    return Experiment(says, alpha, count, promised=alpha, needed=exact)

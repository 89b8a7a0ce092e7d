"""Coverage of CT-5 to CT-7 on laws that are known and on a network with a population."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import sipp_core
import sipp_theory
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from sipp_core.runtime import evaluating, generator

BAND_STREAM, DROP_STREAM, GROUP_STREAM, CERTIFICATE_STREAM = 77, 78, 79, 80
# Outputs of one input differ by a rounding from batch to batch.
ROUNDING = 1e-5
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
    experiments = []
    cases = [(20, 0.1, 0), (200, 0.1, 0), (100, 0.05, 0), (100, 0.1, 25)]
    for index, (n, alpha, levels) in enumerate(cases):
        shares = sipp_theory.simultaneous_band(n, 1 - alpha).shares
        count = partial(_crossed, shares, levels, setting.seed, (index,))
        law = f"{levels} tied levels" if levels else "a continuous law"
        experiments.append(Experiment(f"n = {n}, confidence {1 - alpha:g}, {law}.", alpha, count))
    return experiments


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
    experiments = []
    cases = [(60, 0.1, (0.1, 0.0)), (150, 0.1, (0.06, 0.05)), (60, 0.2, (0.25, 0.02))]
    for index, (n, alpha, rates) in enumerate(cases):
        lost, won = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        possible = lost + won <= n
        bounds = sipp_theory.accuracy_drop(
            np.where(possible, lost, 0), np.where(possible, won, 0), n, 1 - alpha
        )
        wrong = possible & (bounds < rates[0] - rates[1])
        count = partial(_drops, wrong, rates, setting.seed, (0, index))
        label = f"n = {n}, broken {rates[0]}, mended {rates[1]}, confidence {1 - alpha:g}."
        # Half of alpha is for each limit, and the two rarely fail together.
        experiments.append(Experiment(label, alpha, count))
    n, alpha, rate = 77, 0.1, 0.9
    bounds = sipp_theory.accuracy_bound(np.arange(n + 1), n, 1 - alpha)
    wrong = np.broadcast_to((bounds > rate)[:, None], (n + 1, n + 1))
    count = partial(_drops, wrong, (rate, 0.0), setting.seed, (1,))
    experiments.append(
        Experiment(f"n = {n}, accuracy {rate}, confidence {1 - alpha:g}.", alpha, count)
    )
    return experiments


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
    label = f"Groups of {sizes} points, confidence {1 - alpha:g}."
    return Experiment(label, alpha, count, promised=alpha, needed=exact)


def _outputs(network: nn.Module, population: Tensor) -> Tensor:
    with evaluating(network):
        return network(population).double()


def _false(
    kind: str, certificate: sipp_core.Certificate, errors: np.ndarray, right: np.ndarray,
    groups: np.ndarray,
) -> bool:  # fmt: skip
    """Whether a certificate says something false of a population; (N,), (2, N), (N,)."""

    def drop(which: np.ndarray) -> float:
        return float(right[0, which].mean() - right[1, which].mean())

    everyone = np.ones(len(errors), bool)
    if kind == "CT-5":
        eps, delta = np.array(certificate.curve.eps), np.array(certificate.curve.delta)
        beyond = (errors > eps[:, None] * (1 + ROUNDING)).mean(axis=1)
        return bool((beyond > delta + 1e-12).any())
    if kind == "CT-6":
        assert certificate.accuracy is not None
        return drop(everyone) > certificate.accuracy.drop + 1e-12
    for group in certificate.groups:
        mine = groups == int(group.name)
        assert group.accuracy is not None
        if drop(mine) > group.accuracy.drop + 1e-12:
            return True
    return False


def _certificates(
    kind: str, model: nn.Module, pruned: nn.Module, population: Tensor, labels: Tensor,
    confidence: float, held: int, seed: int, block: int, size: int,
) -> int:  # fmt: skip
    """Trials whose certificate, from held-out inputs drawn anew, is false of the population."""
    rng = generator(seed, CERTIFICATE_STREAM, int(kind[-1]), block)
    before, after = _outputs(model, population), _outputs(pruned, population)
    errors = ((after - before).norm(dim=1) / before.norm(dim=1)).numpy()
    right = np.stack([(t.argmax(1) == labels).numpy() for t in (before, after)])
    wrong = 0
    for _ in range(size):
        rows = torch.from_numpy(rng.integers(len(population), size=held))
        certificate = sipp_core.certify(
            model, pruned, population[rows], labels=labels[rows], groups="class",
            confidence=confidence,
        )  # fmt: skip
        wrong += _false(kind, certificate, errors, right, labels.numpy())
    return wrong


def _small(setting: Setting, kind: str, held: int) -> Experiment:
    """A small network of three classes, noise on its weights, labels that it mostly gets right."""
    rng = generator(setting.seed, CERTIFICATE_STREAM, 0)

    def network(weights: list[np.ndarray]) -> nn.Module:
        net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double()
        with torch.no_grad():
            for parameter, value in zip(net.parameters(), weights, strict=True):
                parameter.copy_(torch.from_numpy(value))
        return net

    weights = [rng.normal(size=s) for s in ((8, 8), (8,), (3, 8), (3,))]
    model = network(weights)
    pruned = network([w + 0.3 * rng.normal(size=w.shape) for w in weights])
    population = torch.from_numpy(rng.normal(size=(2000, 8)))
    noisy = _outputs(model, population) + torch.from_numpy(rng.normal(size=(2000, 3)))
    count = partial(_certificates, kind, model, pruned, population, noisy.argmax(1), 0.9, held,
                    setting.seed)  # fmt: skip
    return Experiment(f"{held} inputs held out of 2,000, confidence 0.9.", 0.1, count, block=64)


@coverage("CT-5")
def certified_curves(setting: Setting) -> Experiment:
    """Some point of a certificate's curve is false of the population; an 8-8-3 network."""
    return _small(setting, "CT-5", 60)


@coverage("CT-6")
def certified_drops(setting: Setting) -> Experiment:
    """A certificate's bound on the drop in accuracy is false of the population; 8-8-3."""
    return _small(setting, "CT-6", 60)


@coverage("CT-7")
def certified_groups(setting: Setting) -> Experiment:
    """The bound on the drop of some class is false of the population; an 8-8-3 network."""
    return _small(setting, "CT-7", 90)

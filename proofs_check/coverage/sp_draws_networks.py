"""Coverage of SP-2 to SP-5x on trained networks, beside what the trials need.

The worst calibration input of the neurons and signs of largest S_sum is looked at. SP-2's delta is
that of the whole network; it is asked at the same printed (eps, delta) as the others, and what is
counted against delta is what it promises one neuron many times over.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

import sipp_theory
from proofs_check import subjects
from proofs_check.coverage import neuron_experiment
from proofs_check.evidence import Experiment
from proofs_check.monte_carlo.needed import Needed, needed_size
from proofs_check.registry import Setting, check

# Failures at the needed size: its standard deviation is then some 1.4%.
FAILURES = 1000
CLAIMS = ("SP-2", "SP-3", "SP-4", "SP-5", "SP-5x")
QUICK = ((0.3, 0.05),)
FULL = ((0.1, 0.05), (0.3, 0.01))


@lru_cache(maxsize=256)
def _needed(
    setting: Setting, name: str, pair: tuple[int, int, int], eps: float, delta: float
) -> Needed:
    """Draws that the trials need at a pair; no bound has a say, so all claims share it."""
    layer, sign, neuron = pair
    g, s = subjects.pair_shares(subjects.tables(setting, name)[layer], sign, neuron)
    trials = int(FAILURES / delta)
    return needed_size(g, s, eps=eps, delta=delta, trials=trials, seed=setting.seed)


def _size(
    claim: str, g: np.ndarray, s: np.ndarray, eps: float, delta: float, found: subjects.Subject
) -> float:
    """What a claim asks for at one sign of one neuron."""
    total, q = max(1.0, float(s.sum())), s / s.sum()
    if claim == "SP-2":
        size = sipp_theory.corenet_size(total, eps, delta, found.eta, found.eta_star)
    elif claim == "SP-3":
        size = sipp_theory.bernstein_size(total, eps, delta)
    elif claim == "SP-4":
        size = sipp_theory.kl_size(total, eps, delta)
    elif claim == "SP-5":
        size = sipp_theory.cramer_size(g, q, eps, delta)
    else:
        size = sipp_theory.exact_size(g, q, eps, delta)
    return float(size)


def _trials(setting: Setting, claim: str, name: str, pairs: int) -> list[Experiment]:
    """Experiments of one claim on one network, each with what is promised and what is needed."""
    found, tables = subjects.subject(setting, name), subjects.tables(setting, name)
    asked: list[Experiment] = []
    for pair in subjects.hardest_pairs(tables, pairs):
        layer, sign, neuron = pair
        g, s = subjects.pair_shares(tables[layer], sign, neuron)
        for eps, delta in QUICK if name == "digits" else FULL:
            size = _size(claim, g, s, eps, delta, found)
            needed = _needed(setting, name, pair, eps, delta).size
            where = (
                f"{name}, layer {layer + 1}, neuron {neuron} {'+-'[sign]}, "
                f"eps = {eps}, delta = {delta}"
            )
            asked.append(
                neuron_experiment(
                    where, g, s, scheme="draws", size=size, eps=eps, delta=delta,
                    seed=setting.seed, needed=needed,
                    stream=(10, CLAIMS.index(claim), layer, sign, neuron, int(1000 * eps)),
                )
            )  # fmt: skip
    return asked


@check("SP-2")
def corenet_digits(setting: Setting) -> list[Experiment]:
    """SP-2 on the hardest sign of a neuron of each layer of the digits network."""
    return _trials(setting, "SP-2", "digits", 1)


@check("SP-3")
def bernstein_digits(setting: Setting) -> list[Experiment]:
    """SP-3 on the hardest sign of a neuron of each layer of the digits network."""
    return _trials(setting, "SP-3", "digits", 1)


@check("SP-4")
def chernoff_digits(setting: Setting) -> list[Experiment]:
    """SP-4 on the hardest sign of a neuron of each layer of the digits network."""
    return _trials(setting, "SP-4", "digits", 1)


@check("SP-5")
def cramer_digits(setting: Setting) -> list[Experiment]:
    """SP-5 on the hardest sign of a neuron of each layer of the digits network."""
    return _trials(setting, "SP-5", "digits", 1)


@check("SP-5x")
def exact_digits(setting: Setting) -> list[Experiment]:
    """SP-5x on the hardest sign of a neuron of each layer of the digits network."""
    return _trials(setting, "SP-5x", "digits", 1)


@check("SP-2", profile="full")
def corenet_mnist(setting: Setting) -> list[Experiment]:
    """SP-2 on the hardest signs of neurons of each layer of LeNet-300-100 on MNIST."""
    return _trials(setting, "SP-2", "mnist", 2)


@check("SP-3", profile="full")
def bernstein_mnist(setting: Setting) -> list[Experiment]:
    """SP-3 on the hardest signs of neurons of each layer of LeNet-300-100 on MNIST."""
    return _trials(setting, "SP-3", "mnist", 2)


@check("SP-4", profile="full")
def chernoff_mnist(setting: Setting) -> list[Experiment]:
    """SP-4 on the hardest signs of neurons of each layer of LeNet-300-100 on MNIST."""
    return _trials(setting, "SP-4", "mnist", 2)


@check("SP-5", profile="full")
def cramer_mnist(setting: Setting) -> list[Experiment]:
    """SP-5 on the hardest signs of neurons of each layer of LeNet-300-100 on MNIST."""
    return _trials(setting, "SP-5", "mnist", 2)


@check("SP-5x", profile="full")
def exact_mnist(setting: Setting) -> list[Experiment]:
    """SP-5x on the hardest signs of neurons of each layer of LeNet-300-100 on MNIST."""
    return _trials(setting, "SP-5x", "mnist", 2)

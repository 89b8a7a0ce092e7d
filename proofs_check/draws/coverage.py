"""Coverage of SP-2 to SP-5x: draws with replacement, on instances made for the purpose."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

import sipp_theory
from proofs_check.instances import trained
from proofs_check.kinds.coverage import neuron_experiment, two_point
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.monte_carlo.needed import Needed, needed_size
from proofs_check.monte_carlo.neuron_check import OF_A_SIGN, known_neuron
from sipp_core.runtime import generator
from sipp_theory import Bound

# A network for which the 3 delta/(8 eta) that SP-2 promises one neuron can still be sampled.
ETA, ETA_STAR, NETWORK_DELTA = 100, 10_000, 0.7
SYNTHETIC_STREAM = 61


def on_two_points(
    setting: Setting, size: float, eps: float, delta: float, stream: int, span: int = 9
) -> Experiment:
    """Trials of a size on the two-point instance, whose draws pay M or nothing."""
    shares, scores = two_point(span)
    return neuron_experiment(
        f"{span} weights that pay all or nothing, eps = {eps}, delta = {delta}", shares, scores,
        scheme="draws", size=size, eps=eps, delta=delta, seed=setting.seed, stream=(stream,),
    )  # fmt: skip


def synthetic(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares of 12 weights at 30 inputs, uneven, and their sensitivities."""
    shares = generator(seed, SYNTHETIC_STREAM).dirichlet(np.full(12, 0.4), 30)
    return shares, shares.max(axis=0)


@lru_cache(maxsize=8)
def _needed(seed: int, eps: float, delta: float) -> float:
    """Draws that the trials need there; no bound has a say, so all claims share it."""
    trials = int(1000 / delta)
    return needed_size(*synthetic(seed), eps=eps, delta=delta, trials=trials, seed=seed).size


def on_synthetic(setting: Setting, size: float, eps: float, delta: float, at: int) -> Experiment:
    """Trials of a size on the synthetic neuron at its worst input, beside what they need."""
    shares, scores = synthetic(setting.seed)
    needed = _needed(setting.seed, eps, delta)
    return neuron_experiment(
        f"12 weights at 30 inputs, eps = {eps}, delta = {delta}", shares, scores, scheme="draws",
        size=size, eps=eps, delta=delta, seed=setting.seed, stream=(2, at), needed=needed,
    )  # fmt: skip


@coverage("SP-2")
def corenet_falls_short_by_its_factor(setting: Setting) -> Experiment:
    """SP-2 at a fresh input whose shares are K times the sensitivities, which attains M = K S."""
    span, eps = 60, 0.2
    shares, _ = two_point(span)
    factor = math.log(ETA * ETA_STAR)
    scores = np.full(span, 1 / factor)
    size = float(
        sipp_theory.corenet_size(scores.sum(), eps, NETWORK_DELTA, eta=ETA, eta_star=ETA_STAR)
    )
    return neuron_experiment(
        f"60 weights, K = {factor:.1f}, eps = {eps}, 3 delta/(8 eta) of one neuron",
        shares, scores, scheme="draws", size=size, eps=eps,
        delta=3 * NETWORK_DELTA / (8 * ETA), seed=setting.seed, stream=(3,),
    )  # fmt: skip


@coverage("SP-3")
def bernstein_two_point(setting: Setting) -> Experiment:
    """Draws as many as SP-3 asks for, on the two-point instance that attains Chernoff's bound."""
    size = float(sipp_theory.bernstein_size(9.0, 0.2, 0.05))
    return on_two_points(setting, size, 0.2, 0.05, 1)


@coverage("SP-3")
def bernstein_beyond_calibration(setting: Setting) -> Experiment:
    """SP-3 with C = 3 at a fresh input whose shares are three times the sensitivities."""
    size = float(sipp_theory.bernstein_size(3.0, 0.3, 0.02, 3.0))
    shares, scores = two_point(9, 3)
    return neuron_experiment(
        "9 weights of sensitivity 1/3, eps = 0.3, delta = 0.02", shares, scores, scheme="draws",
        size=size, eps=0.3, delta=0.02, seed=setting.seed, stream=(4,),
    )  # fmt: skip


@coverage("SP-3")
def bernstein_synthetic(setting: Setting) -> Experiment:
    """Draws as many as SP-3 asks for, at the worst input of a synthetic neuron."""
    total = float(synthetic(setting.seed)[1].sum())
    size = float(sipp_theory.bernstein_size(total, 0.2, 0.02))
    return on_synthetic(setting, size, 0.2, 0.02, 3)


@coverage("SP-4")
def chernoff_two_point(setting: Setting) -> Experiment:
    """Draws as many as SP-4 asks for, on the two-point instance that attains it."""
    size = float(sipp_theory.kl_size(9.0, 0.3, 0.02))
    return on_two_points(setting, size, 0.3, 0.02, 5)


@coverage("SP-4")
def chernoff_synthetic(setting: Setting) -> Experiment:
    """Draws as many as SP-4 asks for, at the worst input of a synthetic neuron."""
    total = float(synthetic(setting.seed)[1].sum())
    size = float(sipp_theory.kl_size(total, 0.2, 0.02))
    return on_synthetic(setting, size, 0.2, 0.02, 4)


@coverage("SP-5")
def cramer_two_point(setting: Setting) -> Experiment:
    """Draws as many as SP-5 asks for, on the two-point instance, where it is SP-4."""
    shares, scores = two_point(9)
    size = float(sipp_theory.cramer_size(shares, scores / scores.sum(), 0.3, 0.02))
    return on_two_points(setting, size, 0.3, 0.02, 6)


@coverage("SP-5")
def cramer_synthetic(setting: Setting) -> Experiment:
    """Draws as many as SP-5 asks for, at the worst input of a synthetic neuron."""
    shares, s = synthetic(setting.seed)
    size = float(sipp_theory.cramer_size(shares, s / s.sum(), 0.2, 0.02))
    return on_synthetic(setting, size, 0.2, 0.02, 5)


@coverage("SP-5x")
def exact_two_point(setting: Setting) -> Experiment:
    """Draws as many as SP-5x asks for, on the two-point instance, to the promised delta itself."""
    shares, scores = two_point(9)
    size = float(sipp_theory.exact_size(shares, scores / scores.sum(), 0.3, 0.02))
    return on_two_points(setting, size, 0.3, 0.02, 7)


@coverage("SP-5x")
def exact_synthetic(setting: Setting) -> Experiment:
    """Draws as many as SP-5x asks for, at the worst input of a synthetic neuron."""
    shares, s = synthetic(setting.seed)
    size = float(sipp_theory.exact_size(shares, s / s.sum(), 0.2, 0.02))
    return on_synthetic(setting, size, 0.2, 0.02, 6)


# Failures at the needed size: its standard deviation is then some 1.4%.
FAILURES = 1000
QUICK = ((0.3, 0.05),)
FULL = ((0.1, 0.05), (0.3, 0.01))


@lru_cache(maxsize=256)
def _needed_on_network(
    setting: Setting, name: str, pair: tuple[int, int, int], eps: float, delta: float
) -> Needed:
    """Draws that the trials need at a pair; no bound has a say, so all claims share it."""
    layer, sign, neuron = pair
    g, s = trained.pair_shares(trained.tables(setting, name)[layer], sign, neuron)
    trials = int(FAILURES / delta)
    return needed_size(g, s, eps=eps, delta=delta, trials=trials, seed=setting.seed)


def _trials(setting: Setting, name: str, bound: Bound) -> list[Experiment]:
    """Experiments of one bound on one network, each with what is promised and what is needed."""
    network, tables = trained.network(setting, name), trained.tables(setting, name)
    place = OF_A_SIGN.index(bound)
    experiments: list[Experiment] = []
    for pair in trained.hardest_pairs(tables, 1 if name == "digits" else 2):
        layer, sign, neuron = pair
        g, s = trained.pair_shares(tables[layer], sign, neuron)
        known = known_neuron(g, s, float(s.sum()), network.eta, network.eta_star)
        for eps, delta in QUICK if name == "digits" else FULL:
            experiments.append(
                neuron_experiment(
                    f"{name}, layer {layer + 1}, neuron {neuron} {'+-'[sign]}, "
                    f"eps = {eps}, delta = {delta}",
                    g, s, scheme="draws", size=float(bound.size(known, eps, delta)), eps=eps,
                    delta=delta, seed=setting.seed, stream=(10, place, *pair, int(1000 * eps)),
                    needed=_needed_on_network(setting, name, pair, eps, delta).size,
                )
            )  # fmt: skip
    return experiments


for _bound in OF_A_SIGN:
    trained.on_networks(
        coverage, "chernoff" if _bound.name == "kl" else _bound.name, (_bound.claim,),
        lambda setting, network, bound=_bound: _trials(setting, network, bound),
        f"{_bound.claim} on the hardest sign of a neuron of each layer of the digits network.",
        f"{_bound.claim} on the hardest signs of neurons of each layer of LeNet-300-100 on MNIST.",
    )  # fmt: skip

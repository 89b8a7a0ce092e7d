"""Coverage of SP-11: both signs of a neuron at once, by coins, coupled coins and draws."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from scipy import stats
from torch import nn

import sipp_theory
from proofs_check.instances import trained
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.monte_carlo.neuron import TIE
from sipp_core import prune
from sipp_core.methods import SippPoisson, SippRand
from sipp_core.pruning import LayerPlan, draw
from sipp_core.runtime import generator

STREAM, EQUAL = 57, 400


def _fails(p: float, eps: float) -> float:
    """Chance that EQUAL weights, half of them negative, miss eps at a rate, by two binomials."""
    half = EQUAL // 2
    law = stats.binom.pmf(np.arange(half + 1), half, p)
    difference = np.convolve(law, law[::-1])
    return float(difference[np.abs(np.arange(-half, half + 1)) / (EQUAL * p) > eps + TIE].sum())


def _needed(eps: float, delta: float) -> float:
    """Least rate of a grid at which they fail with at most delta, then between it and the last."""
    rates = np.geomspace(0.05, 1, 400)
    first = next(i for i, p in enumerate(rates) if _fails(p, eps) <= delta)
    low, high = float(rates[max(first - 1, 0)]), float(rates[first])
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _fails(middle, eps) <= delta else (middle, high)
    return high


def _coins(h: np.ndarray, p: np.ndarray, eps: float, seed: int, stream: tuple[int, ...],
           block: int, trials: int) -> int:  # fmt: skip
    rng = generator(seed, STREAM, *stream, block)
    kept = rng.random((trials, h.size)) < p
    return int((np.abs((kept / p - 1) @ h) > eps + TIE).sum())


@coverage("SP-11")
def equal_weights_of_both_signs(setting: Setting) -> list[Experiment]:
    """Equal weights of both signs, where the law is that of two binomials: coins of their own."""
    eps, delta, experiments = 0.06, 0.05, []
    w = np.where(np.arange(EQUAL) % 2, -1.0, 1.0)[None]
    needed = _needed(eps, delta)
    for number, exact in enumerate((False, True)):
        rate = float(
            sipp_theory.tail_rate(w, np.ones((1, EQUAL)), w * w, eps, delta, exact=exact)[0]
        )
        p = np.full(EQUAL, min(1.0, rate))
        experiments.append(Experiment(
            f"{EQUAL} weights, half of them negative, {'exact' if exact else 'Chernoff'}", delta,
            partial(_coins, w[0] / EQUAL, p, eps, setting.seed, (1, number)),
            promised=rate, needed=needed,
        ))  # fmt: skip
    return experiments


def _missing(plan: LayerPlan, weight: np.ndarray, rows: np.ndarray, row: int, seed: int,
             stream: tuple[int, ...], block: int, trials: int) -> int:  # fmt: skip
    """Neurons that miss their promise at a row; all of a layer are trials."""
    failures: list[np.ndarray] = []
    size = np.abs(weight) @ np.abs(rows[row])
    for start in range(0, trials, len(weight)):
        multiplier = draw(plan, generator(seed, STREAM, *stream, block, start))
        moved = np.abs((weight * (multiplier - 1)) @ rows[row])
        failures.append(moved > (plan.eps.max(axis=0) + TIE) * size)
    return int(np.concatenate(failures)[:trials].sum())


def _pruned(label: str, rows: np.ndarray, weight: np.ndarray, delta: float, seed: int,
            stream: tuple[int, ...], **given: object) -> Experiment:  # fmt: skip
    """A layer of equal neurons, pruned by `prune`, at the row where most of a few draws fail."""
    copies = 64
    layer = nn.Linear(weight.size, copies, bias=False, dtype=torch.float64)
    layer.weight.data[:] = torch.from_numpy(weight)
    plan = prune(layer, torch.from_numpy(rows), delta=delta, **given).plans[0]  # type: ignore[arg-type]
    table = np.repeat(weight[None], copies, axis=0)
    pilot = [_missing(plan, table, rows, row, seed, (*stream, 0), 0, 640)
             for row in range(len(rows))]  # fmt: skip
    count = partial(_missing, plan, table, rows, int(np.argmax(pilot)), seed, (*stream, 1))
    return Experiment(label, delta, count, most=20_000)


@coverage("SP-11")
def pruned_layers(setting: Setting) -> list[Experiment]:
    """What `prune` promises by the neuron's tail holds: signed inputs, coins, draws, budget."""
    rng = generator(setting.seed, STREAM, 2)
    pairs = np.array([[0.951, 0.049, -0.951, -0.049]])
    # Neighbours push against each other: pivotal sampling, which keeps one of two, would add up.
    against = np.where(np.arange(40) % 2, -1.0, 1.0)[None] * np.ones((2, 1))
    plain, signed = rng.random((12, 30)) + 0.05, rng.normal(size=(12, 30))
    weight = rng.normal(size=30)
    cases = [
        ("one input of both signs", pairs, np.ones(4), {"eps": 0.2, "bound": "neuron-exact"}, 0.1),
        ("neighbours against each other", against, np.ones(40), {"keep": 0.5}, 0.002),
        ("activations of one sign, coupled", plain, weight, {"eps": 0.4}, 0.1),
        ("activations of both signs", signed, weight, {"eps": 0.4}, 0.1),
        ("a budget", signed, weight, {"keep": 0.6}, 0.1),
    ]
    experiments = []
    for number, (label, rows, w, given, delta) in enumerate(cases):
        named: dict[str, object] = {"bound": "neuron", "method": SippPoisson()} | given
        experiments.append(_pruned(label, rows, w, delta, setting.seed, (3, number), **named))
    drawn = {"method": SippRand(), "bound": "neuron", "eps": 0.5}
    equal = np.where(np.arange(120) % 2, -1.0, 1.0)
    experiments.append(
        _pruned("draws from each sign", np.abs(rng.normal(size=(6, 120))) + 0.2, equal, 0.1,
                setting.seed, (4,), **drawn)
    )  # fmt: skip
    return experiments


@coverage("SP-11")
def rows_not_kept(setting: Setting) -> Experiment:
    """Where calibration did not keep every row, what is promised holds at the others too."""
    # Eleven inputs lie on a weight that is kept for certain, and would ask for nothing more.
    rows = np.full((12, 24), 1e-3)
    rows[:, 0], rows[-1] = 1.0, 0.5
    return _pruned("one row kept of twelve", rows, np.ones(24), 0.1, setting.seed, (5,),
                   method=SippPoisson(), bound="neuron-exact", eps=0.5, points=1)  # fmt: skip


@coverage("SP-11")
def neurons_of_a_network(setting: Setting) -> list[Experiment]:
    """Neurons of a trained network at the worst of the calibration inputs, all coins their own."""
    eps, delta, experiments = 0.2, 0.05, []
    for place, name in enumerate(trained.names(setting)):
        for layer, table in enumerate(trained.tables(setting, name)):
            ((part, rows),) = table.groups()
            weight, s = table.weight[part], table.sensitivity[part]
            neuron = int(np.argmax((weight != 0).sum(axis=1)))
            w, a, s = weight[neuron : neuron + 1], rows, s[neuron : neuron + 1]
            for number, exact in enumerate((False, True)):
                rate = float(sipp_theory.tail_rate(w, a, s, eps, delta, exact=exact)[0])
                p = np.where(s[0] > 0, np.minimum(1.0, rate * s[0]), 1.0)
                size = np.abs(a) @ np.abs(w[0])
                h = a[size > 0] * w[0] / size[size > 0, None]
                worst = int(np.argmax(h**2 @ ((1 - p) / p)))
                experiments.append(Experiment(
                    f"{name}, layer {layer + 1}, neuron {neuron}, "
                    f"{'exact' if exact else 'Chernoff'}", delta,
                    partial(_coins, h[worst], p, eps, setting.seed, (6, place, layer, number)),
                    promised=rate,
                ))  # fmt: skip
    return experiments

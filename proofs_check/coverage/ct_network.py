"""Coverage of whole certificates: calibrate, prune and certify on fresh splits, again and again.

The population is a finite set of inputs drawn from with replacement, so that the share of it that
a pruned network gets wrong is known exactly; the certificate's share or eps is held against it.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

import sipp_core
from proofs_check import subjects
from proofs_check.evidence import Experiment
from proofs_check.registry import Setting, check
from sipp_core.plan import generator
from sipp_core.running import evaluating

STREAM = 75
# Outputs of one input differ by a rounding from batch to batch.
ROUNDING = 1e-5
# The targets of CT-1 and CT-3: a share of inputs that some network just misses delta = 0.1 by.
BORDERLINE = 0.12
METHODS = ("sipp-poisson", "sipp-det", "corenet", "sipp-rand")
Kind = Literal["CT-1", "CT-2", "CT-3"]


def _population_errors(model: nn.Module, pruned: nn.Module, population: Tensor) -> np.ndarray:
    """|f^(x) - f(x)|/|f(x)| of every input, by other code than the certificate's."""
    with evaluating(model), evaluating(pruned):
        before, after = model(population).double(), pruned(population).double()
    return ((after - before).norm(dim=1) / before.norm(dim=1)).numpy()


def _certificates(
    model: nn.Module, population: Tensor, kind: Kind, methods: tuple[str, ...],
    keeps: tuple[float, ...], eps: float, delta: float, confidence: float, sizes: tuple[int, int],
    seed: int, stream: tuple[int, ...], block: int, size: int,
) -> int:  # fmt: skip
    """Trials whose certificate says something false of the population; methods take turns."""
    rng = generator(seed, STREAM, *stream, block)
    wrong = 0
    for trial in range(size):
        picks = [rng.integers(len(population), size=count) for count in sizes]
        calibration, held = (population[torch.from_numpy(rows)] for rows in picks)
        dice, method = int(rng.integers(2**31)), methods[trial % len(methods)]
        if kind == "CT-3":
            found = sipp_core.sparsest(model, calibration, held, eps=eps, method=method, seed=dice,
                                       keeps=keeps, allow_repeats=True, delta=delta,
                                       confidence=confidence)  # fmt: skip
            if found.result is None or found.certificate is None:
                continue
            pruned, certificate = found.result.model, found.certificate
        else:
            pruned = sipp_core.prune(
                model, calibration, method=method, keep=keeps[0], seed=dice
            ).model
            certificate = sipp_core.certify(
                model, pruned, held, delta=delta, confidence=confidence,
                eps=eps if kind == "CT-1" else None, allow_repeats=True,
            )  # fmt: skip
        errors = _population_errors(model, pruned, population)
        share = float((errors > certificate.eps * (1 + ROUNDING)).mean())
        wrong += share > certificate.delta * (1 + ROUNDING)
    return wrong


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
    pruned = sipp_core.prune(model, population[:64], method="sipp-det", keep=keep, seed=1).model
    return float(np.quantile(_population_errors(model, pruned, population), 1 - share))


def _small(setting: Setting, kind: Kind, keeps: tuple[float, ...]) -> Experiment:
    net, population = _tiny(setting)
    eps = _exceeded(net, population, keeps[0], BORDERLINE)
    methods = ("sipp-det",) if kind == "CT-3" and not setting.full else METHODS
    count = partial(_certificates, net, population, kind, methods, keeps, eps, 0.1, 0.9, (32, 38),
                    setting.seed, (1, int(kind[-1])))  # fmt: skip
    says = f"{', '.join(methods)} in turn, 38 inputs held out, delta 0.1, confidence 0.9."
    return Experiment(says, 0.1, count, block=24)


@check("CT-1")
def small_bound(setting: Setting) -> Experiment:
    """CT-1 on fresh splits is false of the population; an 8-8-3 network, half of it kept."""
    return _small(setting, "CT-1", (0.5,))


@check("CT-2")
def small_quantile(setting: Setting) -> Experiment:
    """CT-2 on fresh splits is false of the population; an 8-8-3 network, half of it kept."""
    return _small(setting, "CT-2", (0.5,))


@check("CT-3")
def small_search(setting: Setting) -> Experiment:
    """The network that CT-3 accepts on fresh splits misses its target on the population; 8-8-3."""
    return _small(setting, "CT-3", (0.7, 0.65, 0.6))


def _trained(setting: Setting, kind: Kind, keeps: tuple[float, ...]) -> list[Experiment]:
    asked = []
    for place, name in enumerate(subjects.names(setting)):
        found = subjects.subject(setting, name)
        population = torch.cat([found.fresh, found.train])[: 4000 if setting.full else 1000]
        methods = METHODS if setting.full and kind != "CT-3" else ("sipp-det",)
        eps = _exceeded(found.model, population, keeps[0], BORDERLINE)
        count = partial(_certificates, found.model, population, kind, methods, keeps, eps, 0.1,
                        0.8, (64, 45), setting.seed, (2, int(kind[-1]), place))  # fmt: skip
        says = f"{name}, {', '.join(methods)}, 45 inputs held out, delta 0.1, confidence 0.8."
        asked.append(Experiment(says, 0.2, count, block=12))
    return asked


@check("CT-1")
def trained_bound(setting: Setting) -> list[Experiment]:
    """CT-1 on fresh splits is false of the data that they are drawn from; a trained network."""
    return _trained(setting, "CT-1", (0.5,))


@check("CT-2")
def trained_quantile(setting: Setting) -> list[Experiment]:
    """CT-2 on fresh splits is false of the data that they are drawn from; a trained network."""
    return _trained(setting, "CT-2", (0.5,))


@check("CT-3")
def trained_search(setting: Setting) -> list[Experiment]:
    """The network that CT-3 accepts misses its target on the data; a trained network."""
    return _trained(setting, "CT-3", (0.5, 0.45, 0.4))

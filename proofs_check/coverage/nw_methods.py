"""NW-3 and NW-5 through the pruner: every method, at the errors that the network needs."""

from __future__ import annotations

from functools import partial

import numpy as np

import sipp_core
import sipp_theory
from proofs_check import subjects
from proofs_check.evidence import Experiment
from proofs_check.monte_carlo.drawn_network import activations, parts, sensitivities
from proofs_check.monte_carlo.neuron import TIE
from proofs_check.registry import Setting, check
from sipp_core.plan import Float, LayerPlan, draw, generator

METHOD_STREAM = 64
EPS, DELTA = 0.5, 0.1
# corenet++ chooses among draws and has no plan that could be drawn again.
METHODS = ("sipp-rand", "sipp-poisson", "sipp-det", "sipp-hybrid", "corenet", "corenet+")


def leaving(
    plans: tuple[LayerPlan, ...], weights: tuple[Float, ...], biases: tuple[Float, ...], x: Float,
    eps: float, seed: int, stream: int, block: int, trials: int,
) -> int:  # fmt: skip
    """Copies drawn from the plans whose output leaves 1 +- eps at an input drawn for each.

    Args:
        plans: one a layer.
        weights: one (out, in) float64 array a layer.
        biases: one (out,) array a layer.
        x: (n, in) inputs.
        eps: relative error of every output entry.
        seed: seed of the run.
        stream: whole number that tells this experiment from others.
        block: number of the block.
        trials: copies.

    Returns:
        The number of copies.

    Claim: NW-3, NW-5. Source: [OWN] count.
    """
    fails = 0
    for trial in range(trials):
        rng = generator(seed, METHOD_STREAM, stream, block, trial)
        row = x[rng.integers(len(x))][None]
        copy = tuple(w * draw(plan, rng) for w, plan in zip(weights, plans, strict=True))
        truth = activations(weights, biases, row)[-1]
        off = np.abs(activations(copy, biases, row)[-1] - truth)
        fails += bool((off > (eps + TIE) * np.abs(truth)).any())
    return fails


def _methods(setting: Setting, name: str) -> list[Experiment]:
    found = subjects.subject(setting, name)
    weights, biases = tuple(found.weights), tuple(found.biases)
    inputs = found.train[: subjects.CALIBRATION]
    x = inputs.double().flatten(1).numpy()
    rows = activations(weights, biases, x)
    deltas = np.stack(
        [
            sipp_theory.delta_ratio(*parts(w, a), b).max(axis=1)
            for w, b, a in zip(weights, biases, rows, strict=False)
        ]
    )
    hats = deltas[:, np.argmin(np.log(deltas).sum(axis=0))]
    covered = (deltas <= hats[:, None]).all(axis=0)
    # The pruner takes one error for all layers: the smallest that the split gives any of them.
    eps = float(sipp_theory.log_split(EPS, hats).min())
    each = DELTA / (2 * found.eta)
    total = sum(w.size for w in weights)
    live = sum(int((sensitivities(w, a) > 0).sum()) for w, a in zip(weights, rows, strict=False))
    experiments = []
    for stream, method in enumerate(METHODS):
        result = sipp_core.prune(
            found.model, inputs, method=method, eps=eps, delta=each, seed=setting.seed
        )
        count = partial(
            leaving, result.plans, weights, biases, x[covered], EPS, setting.seed, stream
        )
        experiments.append(
            Experiment(
                f"{name}, {method}, eps = {EPS}, {eps:.2g} in each neuron: "
                f"{result.nnz_after} of {live} live weights are kept (of {total}).",
                DELTA, count, block=32,
            )
        )  # fmt: skip
    return experiments


@check("NW-3", "NW-5")
def methods_on_digits(setting: Setting) -> list[Experiment]:
    """Each method, asked for the errors that the network theorem needs, where it cancels least."""
    return _methods(setting, "digits")


@check("NW-3", "NW-5", profile="full")
def methods_on_mnist(setting: Setting) -> list[Experiment]:
    """Each method on LeNet-300-100, asked for the errors that the network theorem needs."""
    return _methods(setting, "mnist")

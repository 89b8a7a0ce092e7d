"""NW-1 to NW-5 at network level: how often a drawn network's output leaves its error."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

import sipp_core
import sipp_theory
from proofs_check.instances import trained
from proofs_check.instances.methods import DRAWN_FROM_A_PLAN
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.monte_carlo.drawn_network import (
    DrawnNetwork,
    activations,
    failures,
    needed_total,
    parts,
    sensitivities,
)
from proofs_check.monte_carlo.neuron import TIE
from sipp_core.pruning import LayerPlan, draw
from sipp_core.runtime import Bool, Float, generator

EPS, DELTA, METHOD_STREAM = 0.5, 0.1, 64
# Draws for each unit of S_sum from which the search for what is needed comes down.
START = 1e9


def _cancelling() -> tuple[tuple[Float, ...], tuple[Float, ...], Float, Float]:
    """A network whose Deltas are known: 1 in the hidden layer, 199 at the output, at any input.

    Two inputs that swap the roles of the neurons: every share moves, yet z+ and z- of the output
    stay as they are, so that A2 holds with any parameter. A1 holds because each share is at its
    largest half of the time.
    """
    first = np.array([[3.0, 3, 1, 1], [1, 1, 3, 3], [3, 3, 1, 1], [1, 1, 3, 3]])
    last = np.array([[1.0, 1.0, -0.99, -0.99]])
    x = np.array([[1.0, 1, 0.1, 0.1], [0.1, 0.1, 1, 1]])
    return (first, last), (np.zeros(4), np.zeros(1)), x, np.array([1.0, 199.0])


def _network(
    weights: tuple[Float, ...], biases: tuple[Float, ...], x: Float, limits: Float
) -> DrawnNetwork:
    """The network with draws by the sensitivities over x, sizes still to come."""
    q = []
    for w, a in zip(weights, activations(weights, biases, x), strict=False):
        s = sensitivities(w, a)
        total = s.sum(axis=-1, keepdims=True)
        q.append(np.divide(s, total, out=np.zeros_like(s), where=total > 0))
    zero = tuple(np.zeros((2, len(w))) for w in weights)
    return DrawnNetwork(weights, biases, tuple(q), zero, x, limits)


def _sums(net: DrawnNetwork, x: Float) -> list[Float]:
    """S_sum of each sign of each neuron, one (2, out) array a layer."""
    rows = activations(net.weights, net.biases, x)
    return [sensitivities(w, a).sum(axis=-1) for w, a in zip(net.weights, rows, strict=False)]


def _bernstein(sums: list[Float], errors: Float, delta: float) -> tuple[Float, ...]:
    """SP-3's draws at each layer's error, delta shared among all signs of all neurons."""
    each = delta / (2 * sum(s.shape[1] for s in sums))
    sizes = []
    for s, eps in zip(sums, errors, strict=True):
        size = sipp_theory.bernstein_size(np.maximum(s, 1.0), float(eps), each)
        sizes.append(np.where(s > 0, size, 0.0))
    return tuple(sizes)


def _experiment(
    label: str, net: DrawnNetwork, sums: list[Float], sizes: tuple[Float, ...], stream: int,
    setting: Setting,
    *, block: int = 256, copies: int = 200, steps: int = 14,
) -> Experiment:  # fmt: skip
    ready = replace(net, sizes=sizes)
    # What the truth needs is looked for at two divisions among the neurons: as the bound divides
    # the draws, and as if no layer blew errors up.
    plain = replace(net, sizes=tuple(np.ceil(START * s) for s in sums))
    needed = min(
        needed_total(one, DELTA, setting.seed, copies=copies, steps=steps) for one in (ready, plain)
    )
    count = partial(failures, ready, setting.seed, (stream,))
    return Experiment(label, DELTA, count, block=block, promised=ready.total, needed=needed)


@coverage("NW-1")
def errors_compose(setting: Setting) -> Experiment:
    """Drawn to known errors in each layer, the output stays within what NW-1 composes."""
    weights, biases, x, ratios = _cancelling()
    errors = np.array([0.004, 0.002])
    limit = float(sipp_theory.compose(errors, ratios)[-1])
    net = _network(weights, biases, x, np.full(len(x), limit))
    sizes = _bernstein(_sums(net, x), errors, DELTA)
    return _experiment(
        f"Cancelling network, eps_l = {errors.tolist()}, u_2 = {limit:.4g}.",
        net,
        _sums(net, x),
        sizes,
        1,
        setting,
    )


@coverage("NW-2")
def corenet_split_holds(setting: Setting) -> Experiment:
    """Drawn to the errors of CoreNet's split, the output stays within eps."""
    weights, biases, x, ratios = _cancelling()
    net = _network(weights, biases, x, np.full(len(x), EPS))
    sizes = _bernstein(_sums(net, x), sipp_theory.corenet_split(EPS, ratios), DELTA)
    return _experiment(f"Cancelling network, eps = {EPS}.", net, _sums(net, x), sizes, 2, setting)


@coverage("NW-3")
def log_split_holds(setting: Setting) -> Experiment:
    """Drawn to the errors of the logarithmic split, the output stays within eps."""
    weights, biases, x, ratios = _cancelling()
    net = _network(weights, biases, x, np.full(len(x), EPS))
    sizes = _bernstein(_sums(net, x), sipp_theory.log_split(EPS, ratios), DELTA)
    return _experiment(f"Cancelling network, eps = {EPS}.", net, _sums(net, x), sizes, 3, setting)


@coverage("NW-5")
def network_theorem_holds(setting: Setting) -> Experiment:
    """Drawn as often as NW-5 asks for, where A1 and A2 hold by construction, it is within eps."""
    weights, biases, x, ratios = _cancelling()
    net = _network(weights, biases, x, np.full(len(x), EPS))
    eta, star = 5, 4
    hats = [float(sipp_theory.delta_hat([d], eta, star, DELTA)) for d in ratios]
    size = sipp_theory.corenet_network_size(_sums(net, x), hats, EPS, DELTA, eta, star)
    return _experiment(
        f"Cancelling network, eps = {EPS}, {size.nnz:.3g} nonzeros promised of 20 weights.",
        net, _sums(net, x), size.sizes, 5, setting, steps=24,
    )  # fmt: skip


@coverage("NW-5")
def network_theorem_without_kappa(setting: Setting) -> Experiment:
    """NW-5 with the true Deltas in the place of their estimates: what kappa alone costs."""
    weights, biases, x, ratios = _cancelling()
    net = _network(weights, biases, x, np.full(len(x), EPS))
    size = sipp_theory.corenet_network_size(_sums(net, x), ratios, EPS, DELTA, 5, 4)
    return _experiment(
        f"Cancelling network, eps = {EPS}.", net, _sums(net, x), size.sizes, 6, setting, steps=24
    )


def _least_cancelling(
    weights: tuple[Float, ...], biases: tuple[Float, ...], x: Float
) -> tuple[Float, Bool]:
    """Each layer's Delta at the input of least cancellation, and the inputs with none larger.

    At the medians of the layers more draws would be needed than int64 can count.

    Shapes: x (n, in); returns (layers,) and (n,).
    """
    rows = activations(weights, biases, x)
    deltas = np.stack(
        [
            sipp_theory.delta_ratio(*parts(w, a), b).max(axis=1)
            for w, b, a in zip(weights, biases, rows, strict=False)
        ]
    )
    hats = deltas[:, np.argmin(np.log(deltas).sum(axis=0))]
    return hats, np.all(deltas <= hats[:, None], axis=0)


def _trained(setting: Setting, name: str) -> Experiment:
    """NW-3 on a trained network, at the input of least cancellation and all with no more of it."""
    network = trained.network(setting, name)
    weights, biases = tuple(network.weights), tuple(network.biases)
    x = network.train[: 500 if name == "mnist" else 256].double().flatten(1).numpy()
    hats, covered = _least_cancelling(weights, biases, x)
    net = _network(weights, biases, x, np.full(len(x), EPS))
    # S are the inputs themselves, so that the sensitivities cover them with factor 1.
    sums = _sums(net, x)
    sizes = _bernstein(sums, sipp_theory.log_split(EPS, hats), DELTA)
    at = DrawnNetwork(weights, biases, net.probabilities, sizes, x[covered], net.limits[covered])
    count = sum(w.size for w in weights)
    return _experiment(
        f"{name}: {count} weights, eps = {EPS}, Delta = {', '.join(f'{d:.3g}' for d in hats)}; "
        f"{int(covered.sum())} of {len(x)} inputs have no larger ones.",
        at, sums, sizes, 7 if name == "digits" else 8, setting,
        block=64 if name == "digits" else 16, copies=30, steps=14,
    )  # fmt: skip


trained.on_networks(
    coverage, "log_split_on", ("NW-3",), _trained,
    "The trained network, drawn to the errors of the logarithmic split where it cancels least.",
    "LeNet-300-100, drawn to the errors of the logarithmic split where it cancels least.",
)  # fmt: skip


def leaving(
    plans: tuple[LayerPlan, ...], weights: tuple[Float, ...], biases: tuple[Float, ...], x: Float,
    eps: float, seed: int, stream: int, block: int, trials: int,
) -> int:  # fmt: skip
    """Copies drawn from the plans whose output leaves 1 +- eps at an input drawn for each.

    Shapes: x (n, in).

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
    """NW-3 kept by each method's own plan, in place of draws that the check makes itself."""
    network = trained.network(setting, name)
    weights, biases = tuple(network.weights), tuple(network.biases)
    inputs = network.train[: trained.CALIBRATION]
    x = inputs.double().flatten(1).numpy()
    rows = activations(weights, biases, x)
    hats, covered = _least_cancelling(weights, biases, x)
    # The pruner takes one error for all layers: the smallest that the split gives any of them.
    eps = float(sipp_theory.log_split(EPS, hats).min())
    each = DELTA / (2 * network.eta)
    total = sum(w.size for w in weights)
    live = sum(int((sensitivities(w, a) > 0).sum()) for w, a in zip(weights, rows, strict=False))
    experiments = []
    for stream, method in enumerate(DRAWN_FROM_A_PLAN):
        result = sipp_core.prune(
            network.model, inputs, method=method, eps=eps, delta=each, seed=setting.seed
        )
        count = partial(
            leaving, result.plans, weights, biases, x[covered], EPS, setting.seed, stream
        )
        experiments.append(
            Experiment(
                f"{name}, {method.name}, eps = {EPS}, {eps:.2g} in each neuron: "
                f"{result.nnz_after} of {live} live weights are kept (of {total}).",
                DELTA, count, block=32,
            )
        )  # fmt: skip
    return experiments


trained.on_networks(
    coverage, "methods_on", ("NW-3", "NW-5"), _methods,
    "Each method, at the errors that the network theorem needs, where it cancels least.",
    "Each method on LeNet-300-100, at the errors that the network theorem needs.",
)  # fmt: skip

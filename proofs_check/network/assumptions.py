"""A2 on trained networks: is Delta_i subexponential, as NW-4 and NW-5 need?

Two ways to refute it. Hill's estimator trusts a Pareto tail beyond its threshold: a subexponential
law has all moments, so a whole interval below 2 contradicts it. The other trusts no model of the
tail: under A2 a fresh input passes NW-4's Delta^ with probability delta/(8 eta), but for an S as
rare as that; fresh inputs are counted.
"""

from __future__ import annotations

import numpy as np
from scipy import special, stats

import sipp_theory
from proofs_check.instances import trained
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, assumption
from proofs_check.ledger.sequential import FAMILY_ERROR, LEVEL, holm
from proofs_check.monte_carlo.drawn_network import activations, parts
from sipp_core.runtime import Float

# A law with a tail index below 2 has no variance; a subexponential one has every moment.
FINITE = 2.0
SHARE = 0.1
# Small, so that a bad S is no excuse: it has a chance of delta/(8 eta) under A2.
DELTA = 1e-5
GRID = 60


def _deltas(network: trained.TrainedNetwork, x: Float) -> list[Float]:
    """Delta_i(x) of every neuron, (n, out) a layer."""
    weights, biases = tuple(network.weights), tuple(network.biases)
    rows = activations(weights, biases, x)
    return [
        np.asarray(sipp_theory.delta_ratio(*parts(w, a), b))
        for w, b, a in zip(weights, biases, rows, strict=False)
    ]


def _picture(
    samples: Float, estimate: sipp_theory.TailEstimate, lam: float
) -> dict[str, list[float]]:
    """Empirical tail, Hill's fit, and the heaviest tail that A2 would admit, on a common t."""
    n, centre = samples.size, float(samples.mean())
    t = np.geomspace(1.0, float(samples[np.isfinite(samples)].max()), GRID)
    over = np.maximum(t - centre, 0.0)
    # Chernoff at both ends of the range of s: e^(-t^2/(2 lam^2)) up to lam, e^(-t/(2 lam)) beyond.
    envelope = np.exp(-np.where(over <= lam, over**2 / (2 * lam**2), over / (2 * lam)))
    fit = np.minimum(1.0, estimate.k / n * (t / estimate.threshold) ** -estimate.index)
    share = (samples[None, :] > t[:, None]).mean(axis=1)
    return {
        "t": t.tolist(),
        "share_above_t": share.tolist(),
        "subexponential_envelope": np.maximum(envelope, 1e-300).tolist(),
        "hill_fit": fit.tolist(),
    }


def _tail_index(setting: Setting, name: str) -> Result:
    network = trained.network(setting, name)
    layers = _deltas(network, network.fresh.double().flatten(1).numpy())
    where = [(layer, i) for layer, d in enumerate(layers) for i in range(d.shape[1])]
    n = len(layers[0])
    k = max(10, int(SHARE * n))
    sure = 1 - FAMILY_ERROR / len(where)
    estimates = [sipp_theory.hill_tail_index(layers[at][:, i], k, sure) for at, i in where]
    indices = np.array([one.index for one in estimates])
    # Sum of k exponential log ratios: Gamma(k) under the index 2, larger for heavier tails.
    p_values = special.gammaincc(k, FINITE * k / np.maximum(indices, 1e-9))
    refuted = holm(p_values.tolist())
    worst = int(np.argmin([one.high for one in estimates]))
    at, neuron = where[worst]
    samples, one = layers[at][:, neuron], estimates[worst]
    ratios = [d.mean(axis=0) / np.median(d, axis=0) for d in layers]
    text = (
        f"{name}: tail index below {FINITE:g} in {sum(refuted)} of {len(where)} neurons (Holm at "
        f"{FAMILY_ERROR:g}), median index {np.median(indices):.2f}; worst: layer {at + 1}, neuron "
        f"{neuron}, index {one.index:.2f} in [{one.low:.2f}, {one.high:.2f}] (Bonferroni; {k} "
        f"largest of {n}), mean {samples.mean():.4g}, median {np.median(samples):.3g}; largest "
        f"mean/median a layer: {', '.join(f'{r.max():.3g}' for r in ratios)}; largest mean a "
        f"layer: {', '.join(f'{d.mean(axis=0).max():.4g}' for d in layers)}"
    )
    lam = float(np.log(network.eta * network.eta_star) / 2)
    series = _picture(samples, one, lam)
    if any(refuted):
        raise Refuted(f"infinite variance: {text}", series)
    return Result(text, cases=len(where), series=series)


def _promise_of_nw4(setting: Setting, name: str) -> Result:
    network = trained.network(setting, name)
    eta, star = network.eta, network.eta_star
    points = int(sipp_theory.calibration_size(eta, star, DELTA, rule="corenet"))
    # S comes from the inputs that the network was not trained on, so that it is one law for both.
    x = network.fresh.double().flatten(1).numpy()
    x = x[np.random.default_rng([setting.seed, 7]).permutation(len(x))]
    old, new = _deltas(network, x[:points]), _deltas(network, x[points:])
    # S fails with delta/(8 eta); where it does not, so does each fresh input.
    n, promised = len(new[0]), DELTA / (8 * eta)
    lines, p_values = [], []
    for at, (seen, fresh) in enumerate(zip(old, new, strict=True)):
        hat = float(sipp_theory.delta_hat(seen.mean(axis=0), eta, star, DELTA))
        above = int((fresh.max(axis=1) > hat).sum())
        p_values.append(min(1.0, promised + float(stats.binom.sf(above - 1, n, promised))))
        lines.append(f"layer {at + 1}: Delta^ {hat:.4g} passed by {above} of {n}")
    text = (
        f"{name}: {'; '.join(lines)} fresh inputs; promised {promised:.2g} of them for all but "
        f"as rare an S (delta = {DELTA:g}); least "
        f"p-value {min(p_values):.2g}"
    )
    if min(p_values) <= LEVEL / len(p_values):
        raise Refuted(text)
    return Result(text, cases=n)


trained.on_networks(
    assumption, "tail_on", ("A2",), _tail_index,
    "Tail index of every neuron's Delta on digits: an interval below 2 refutes A2.",
    "Tail index of every neuron's Delta on LeNet-300-100: an interval below 2 refutes A2.",
)  # fmt: skip


trained.on_networks(
    assumption, "allowance_on", ("A2",), _promise_of_nw4,
    "Fresh digits whose Delta passes Delta^: under A2 a share of delta/(8 eta) at most.",
    "Fresh MNIST digits whose Delta passes Delta^: under A2 a share of delta/(8 eta) at most.",
)  # fmt: skip

"""NW-1 to NW-7 at 50 digits, in fractions, and by brute force."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath as mp
import numpy as np

import sipp_theory
from proofs_check.instances import trained
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from proofs_check.monte_carlo.drawn_network import activations, parts
from sipp_core.runtime import generator

RATIOS = ([1.0], [2.0, 5.0], [1.0, 1.0, 1.0], [1499.0, 235.0, 79.0], [3.5, 1e9, 1.25, 17.0])
NETWORKS = [(1, 1), (1, 2), (3, 5), (410, 784), (202, 128), (10**6, 10**5)]
DELTAS = (0.5, 0.05, 1e-3, 1e-12)
ORACLE_STREAM = 63


def _exact_kappa(eta: int, star: int, delta: float) -> Any:
    lam = mp.log(mp.mpf(eta) * star) / 2
    log = mp.log(8 * mp.mpf(eta) * star / mp.mpf(delta))
    return mp.sqrt(2 * lam) * (1 + mp.sqrt(2 * lam) * log)


@oracle("NW-4")
def kappa_and_delta_hat(setting: Setting) -> Result:
    """Kappa, and Delta^ = largest mean + kappa, at 50 digits, from above."""
    means = [3.0, 5.25, 1.0]
    with mp.workdps(DIGITS):
        for eta, star in NETWORKS:
            for delta in DELTAS:
                at = {"eta": eta, "eta_star": star, "delta": delta}
                truth = _exact_kappa(eta, star, delta)
                close(float(sipp_theory.kappa(eta, star, delta)), truth, at, safe="above")
                hat = float(sipp_theory.delta_hat(means, eta, star, delta))
                close(hat, truth + mp.mpf(5.25), at, safe="above")
    infinite = float(sipp_theory.delta_hat([1.0, np.inf], 4, 5, 0.1))
    close(infinite, mp.inf, {"means": "one infinite"})
    return Result(cases=2 * len(NETWORKS) * len(DELTAS) + 1)


@oracle("NW-1")
def cancellation_ratio(setting: Setting) -> Result:
    """Delta = max(1, (z+ + z-)/|z + b|) in fractions, from above; the bias counts."""
    rng, cases = generator(setting.seed, ORACLE_STREAM, 1), 200
    for _ in range(cases):
        plus, minus = (float(v) for v in rng.integers(0, 50, 2) / 8)
        bias = float(rng.integers(-40, 40) / 8) * float(rng.random() < 0.7)
        total = abs(Fraction(plus) - Fraction(minus) + Fraction(bias))
        both = Fraction(plus) + Fraction(minus)
        truth = mp.mpf(1) if both == 0 else mp.inf
        if both and total:
            with mp.workdps(DIGITS):
                ratio = max(Fraction(1), both / total)
                truth = mp.mpf(ratio.numerator) / ratio.denominator
        computed = float(sipp_theory.delta_ratio(plus, minus, bias))
        close(computed, truth, {"positive": plus, "negative": minus, "bias": bias}, safe="above")
    return Result(cases=cases)


def _composed(errors: list[float], ratios: list[float]) -> list[Fraction]:
    u, composed = Fraction(0), []
    for eps, ratio in zip(errors, ratios, strict=True):
        e = Fraction(eps)
        u = Fraction(ratio) * (u + e + u * e)
        composed.append(u)
    return composed


@oracle("NW-1")
def composition(setting: Setting) -> Result:
    """u_l = Delta_l (u_{l-1} + eps_l + u_{l-1} eps_l) in fractions, from above; no word past 1."""
    cases = 0
    for ratios in RATIOS:
        for scale in (1e-9, 1e-3, 0.2):
            errors = [scale / (1 + layer) for layer in range(len(ratios))]
            computed = sipp_theory.compose(errors, ratios)
            over = False
            for value, exact in zip(computed, _composed(errors, ratios), strict=True):
                with mp.workdps(DIGITS):
                    truth = mp.inf if over else mp.mpf(exact.numerator) / exact.denominator
                    at = {"errors": errors, "delta_hats": ratios}
                    close(float(value), truth, at, safe="above")
                over = over or exact > 1
                cases += 1
    return Result(cases=cases)


@oracle("NW-2", "NW-3")
def splits(setting: Setting) -> Result:
    """Both splits at 50 digits, from below."""
    cases = 0
    with mp.workdps(DIGITS):
        for ratios in RATIOS:
            costs = [10.0 ** (3 * layer - 4) for layer in range(len(ratios))]
            roots = [mp.cbrt(mp.mpf(c)) for c in costs]
            for eps in (1e-9, 0.1, 0.5, 1.0):
                growth = [mp.fprod(mp.mpf(r) for r in ratios[at:]) for at in range(len(ratios))]
                half = mp.mpf(eps) / (2 * len(ratios))
                log = mp.log(1 + mp.mpf(eps))
                pairs = (
                    (sipp_theory.corenet_split(eps, ratios), [half] * len(ratios)),
                    (sipp_theory.log_split(eps, ratios), [log / len(ratios)] * len(ratios)),
                    (
                        sipp_theory.log_split(eps, ratios, costs),
                        [log * root / mp.fsum(roots) for root in roots],
                    ),
                )
                for split, shares in pairs:
                    for value, share, factor in zip(split, shares, growth, strict=True):
                        at = {"eps": eps, "delta_hats": ratios}
                        close(float(value), share / factor, at, safe="below")
                        cases += 1
    return Result(cases=cases)


def _network_size(
    sums: list[np.ndarray], hats: list[float], eps: float, delta: float, eta: int, star: int
) -> tuple[list[list[Any]], Any]:
    """NW-5 written down as THEORY has it."""
    layers, sizes, nnz = len(hats), [], mp.mpf(0)
    for at, total in enumerate(sums):
        growth = mp.fprod(mp.mpf(h) for h in hats[at:])
        factor = 32 * layers**2 * growth**2 * mp.log(mp.mpf(eta) * star)
        factor *= mp.log(8 * mp.mpf(eta) / mp.mpf(delta)) / mp.mpf(eps) ** 2
        sizes.append([factor * mp.mpf(float(s)) for s in total.ravel()])
        nnz += mp.fsum(mp.ceil(size) + 1 for size in sizes[-1] if size > 0)
    return sizes, nnz


@oracle("NW-5")
def network_size(setting: Setting) -> Result:
    """Draws and nonzeros of NW-5 at 50 digits, from above; 8/eps_l^2 of SP-2 at NW-2's eps_l."""
    sums = [np.array([[9.0, 0.0], [4.0, 1.0]]), np.array([[2.5, 3.0]])]
    cases = 0
    with mp.workdps(DIGITS):
        for hats in ([4.0, 2.0], [1.0, 1.0], [227.5, 1499.0]):
            for eps, delta in ((0.3, 0.05), (1.0, 1e-6)):
                at = {"delta_hats": hats, "eps": eps, "delta": delta}
                got = sipp_theory.corenet_network_size(sums, hats, eps, delta, 3, 5)
                sizes, nnz = _network_size(sums, hats, eps, delta, 3, 5)
                for values, truths in zip(got.sizes, sizes, strict=True):
                    for value, truth in zip(values.ravel(), truths, strict=True):
                        # A size is whole: at most one draw and rounding above the formula.
                        if not truth <= value <= truth * (1 + mp.mpf("1e-12")) + 1:
                            raise Refuted(f"size {value}, formula {mp.nstr(truth, 20)} at {at}")
                        cases += 1
                close(got.nnz, nnz, at, safe="above", relative=1e-9)
                for s, eps_l, values in zip(sums, got.errors, got.sizes, strict=True):
                    sp2 = 8 * s * float(mp.log(15) * mp.log(24 / mp.mpf(delta))) / eps_l**2
                    if not np.allclose(values, np.ceil(sp2), rtol=1e-9, atol=1):
                        raise Refuted(f"NW-5 {values.tolist()}, SP-2 {sp2.tolist()} at {at}")
    bound = sipp_theory.corenet_network_size_bound(
        [[784, 0], [300]], 452, [2, 3], 0.3, 0.05, 410, 784
    )
    least = [np.array([452.0, 0.0]), np.array([300.0])]
    with mp.workdps(DIGITS):
        _, nnz = _network_size(least, [2, 3], 0.3, 0.05, 410, 784)
        close(bound.nnz, nnz, {"form": "instance-independent"}, safe="above", relative=1e-9)
    return Result(cases=cases + 1)


def _on_trained(setting: Setting, name: str) -> Result:
    network, tables = trained.network(setting, name), trained.tables(setting, name)
    weights, biases = tuple(network.weights), tuple(network.biases)
    x = network.train[: trained.CALIBRATION].double().flatten(1).numpy()
    rows = activations(weights, biases, x)
    eta, star, eps, delta = network.eta, network.eta_star, 0.5, 0.05
    hats = [
        float(
            sipp_theory.delta_hat(
                sipp_theory.delta_ratio(*parts(w, a), b).mean(axis=0), eta, star, delta
            )
        )
        for w, b, a in zip(weights, biases, rows, strict=False)
    ]
    sums = [np.where(t.total > 0, np.maximum(t.total, 1.0), 0.0) for t in tables]
    size = sipp_theory.corenet_network_size(sums, hats, eps, delta, eta, star)
    with mp.workdps(DIGITS):
        _, nnz = _network_size(sums, hats, eps, delta, eta, star)
        close(size.nnz, nnz, {"network": name}, safe="above", relative=1e-9)
    count = float(sum(w.size for w in weights))
    return Result(
        f"{name}: at eps = {eps}, delta = {delta} NW-5 promises {size.nnz:.3g} nonzeros of "
        f"{count:.0f} weights: {'vacuous' if size.nnz > count else 'not vacuous'}; Delta^ = "
        f"{', '.join(f'{h:.4g}' for h in hats)}, of which kappa = "
        f"{float(sipp_theory.kappa(eta, star, delta)):.4g}",
        cases=1, promised=size.nnz, needed=count,
    )  # fmt: skip


trained.on_networks(
    oracle, "network_size_on", ("NW-5",), _on_trained,
    "Nonzeros that NW-5 promises on the network trained on digits, beside the weights it has.",
    "Nonzeros that NW-5 promises on LeNet-300-100, beside the weights it has.",
)  # fmt: skip


@oracle("NW-6")
def hill_by_brute_force(setting: Setting) -> Result:
    """Hill's index and its interval from sorted logarithms and the Gamma law at 50 digits."""
    rng, cases = generator(setting.seed, ORACLE_STREAM, 2), 0
    for n, k, confidence in ((5, 1, 0.5), (5, 4, 0.9), (40, 7, 0.95), (200, 60, 0.999)):
        samples = rng.pareto(1.2, n) + rng.random()
        computed = sipp_theory.hill_tail_index(rng.permutation(samples), k, confidence)
        with mp.workdps(DIGITS):
            top = sorted((mp.mpf(float(v)) for v in samples), reverse=True)
            total = mp.fsum(mp.log(v / top[k]) for v in top[:k])
            at = {"n": n, "k": k}
            close(computed.index, k / total, at)
            close(computed.threshold, top[k], at)
            # alpha * total is Gamma(k): each end has half of the rest of the confidence.
            half = (1 - mp.mpf(confidence)) / 2
            low = mp.gammainc(k, 0, mp.mpf(computed.low) * total, regularized=True)
            high = mp.gammainc(k, mp.mpf(computed.high) * total, mp.inf, regularized=True)
            close(float(low), half, at | {"end": "low"}, relative=1e-9)
            close(float(high), half, at | {"end": "high"}, relative=1e-9)
        cases += 4
    return Result(cases=cases)


@oracle("NW-7")
def propagation_on_digits(setting: Setting) -> Result:
    """A third of the trained network's weights kept at random: the bound at every fresh input."""
    network = trained.network(setting, "digits")
    weights, biases = tuple(network.weights), tuple(network.biases)
    rng = generator(setting.seed, ORACLE_STREAM, 3)
    pruned = tuple(w * (rng.random(w.shape) < 1 / 3) * 3 for w in weights)
    x = network.fresh.double().flatten(1).numpy()
    bounds = sipp_theory.absolute_propagation(weights, pruned, list(biases), x)
    box = sipp_theory.interval_propagation(
        weights, pruned, list(biases), x.min(axis=0), x.max(axis=0)
    )
    moved = np.empty(0)
    for layer in range(len(weights)):
        cut = layer + 1
        moved = np.abs(
            activations(pruned[:cut], biases[:cut], x)[-1]
            - activations(weights[:cut], biases[:cut], x)[-1]
        )
        for limit, what in ((bounds[layer], "input"), (box[layer], "box")):
            if (moved > limit * (1 + 1e-12)).any():
                raise Refuted(f"layer {layer + 1} moves beyond the bound per {what}")
        if layer == 0 and not np.allclose(bounds[0], moved, rtol=1e-9, atol=1e-12):
            raise Refuted("the bound of the first layer is not the error itself")
    ratio = float(np.median(box[-1]) / np.median(moved))
    return Result(
        f"per input; over the box of all inputs the bound is {ratio:.3g} times the median error",
        cases=moved.size, promised=float(np.median(bounds[-1])), needed=float(np.median(moved)),
    )  # fmt: skip

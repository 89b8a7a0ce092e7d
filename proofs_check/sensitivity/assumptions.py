"""A1, i.i.d. sampling and non-negative activations on trained networks."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

import sipp_theory
from proofs_check.instances import trained
from proofs_check.instances.activations import inputs_of_layers, shares_of
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, assumption
from sipp_core.runtime import generator

CONFIDENCE = 0.99
NEURONS = 16
POINTS = 4000
DELTA = 0.1
PERMUTATIONS = 9999
# Below this share of live inputs nearly all ranks are ties.
ALIVE = 0.1


def _split(
    setting: Setting, name: str
) -> tuple[trained.TrainedNetwork, list[np.ndarray], list[np.ndarray]]:
    """A network and the activations of two disjoint sets of inputs: trained on, and fresh."""
    network = trained.network(setting, name)
    order = generator(setting.seed, 73, 1).permutation(len(network.train))[:POINTS]
    train = inputs_of_layers(network, network.train[order])
    return network, train, inputs_of_layers(network, network.fresh[:POINTS])


def _neurons(network: trained.TrainedNetwork, layer: int) -> range:
    count = len(network.weights[layer])
    return range(0, count, max(1, count // NEURONS))


def _least_factor(rate: float) -> float:
    """Least K' with 1 - rate <= exp(-1/K')."""
    if rate <= 0:
        return math.inf
    return -1 / math.log1p(-rate) if rate < 1 else 0.0


def _pair_numbers(
    first: np.ndarray, second: np.ndarray, size: int, assumed: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Per live weight: how many points of either set have g_j > M_j/K, and the least K at K'.

    M_j is the maximum over the first set. The true one can only be larger, so that F_j(M_j/K) is no
    smaller than what is counted: where A1 fails by this count, it fails. The last number counts
    points of the second set with a share above K times its maximum over `size` points.
    """
    largest = first.max(axis=0)
    alive = largest > 0
    limit = largest[alive] / assumed
    quantile = np.quantile(second[:, alive], math.exp(-1 / assumed), axis=0, method="lower")
    with np.errstate(divide="ignore"):
        least = largest[alive] / quantile
    above = [(part[:, alive] > limit).sum(axis=0) for part in (first, second)]
    missed = int((second > assumed * first[:size].max(axis=0)).any(axis=1).sum())
    return above[0], above[1], least, missed


@assumption("A1")
def cdf_condition(setting: Setting) -> Result:
    """The least K' (K = ln(eta eta*)) and the least K with F_j(M_j/K) <= exp(-1/K')."""
    lines, refuted, cases = [], False, 0
    series: dict[str, list[float]] = {}
    for name in trained.names(setting):
        network, train, fresh = _split(setting, name)
        eta, star = network.eta, network.eta_star
        assumed = float(sipp_theory.assumption_factors(eta, star)[0])
        size = min(len(train[0]), int(sipp_theory.calibration_size(eta, star, DELTA)))
        n = len(fresh[0])
        for layer in range(len(network.weights)):
            pairs = [(layer, sign, i) for i in _neurons(network, layer) for sign in (0, 1)]
            numbers = [
                _pair_numbers(
                    shares_of(network, train, pair), shares_of(network, fresh, pair), size, assumed
                )
                for pair in pairs
            ]
            seen, above, least = (np.concatenate([x[k] for x in numbers]) for k in range(3))
            # The worst weight is chosen on the first set and measured on the second.
            worst = int(above[int(seen.argmin())])
            rates = stats.binomtest(worst, n).proportion_ci(CONFIDENCE)
            low, high = _least_factor(rates.high), _least_factor(rates.low)
            each = np.array([_least_factor(rate) for rate in above / n])
            missed = sum(x[3] for x in numbers) / (n * len(pairs))
            lines.append(
                f"{name} layer {layer + 1}: K' of the worst weight in [{low:.4g}, {high:.4g}] (99% "
                f"interval), assumed {assumed:.1f} (CoreNet) or 3 (SiPP); too small for "
                f"{np.mean(each > assumed):.1%} and {np.mean(each > 3):.1%} of the weights; at K' "
                f"= {assumed:.1f} the median least K is {np.median(least):.3g}, and none will do "
                f"for {np.mean(np.isinf(least)):.1%}; so from |S| = {size} points "
                f"{missed:.2%} of fresh inputs, a neuron and sign, have a share above K s_j, "
                f"promised {DELTA / (8 * eta):.2g}"
            )
            refuted |= low > assumed
            cases += above.size
            series[f"{name} layer {layer + 1} least K'"] = np.quantile(
                np.minimum(each, n), np.linspace(0, 1, 101)
            ).tolist()
            series[f"{name} layer {layer + 1} assumed K'"] = [assumed, 3.0]
    if refuted:
        raise Refuted("; ".join(lines), series)
    return Result("; ".join(lines), cases=cases, series=series)


def _ranks(rows: list[np.ndarray], network: trained.TrainedNetwork, edges: int) -> np.ndarray:
    """Ranks of g_j(x) over all points, one column a weight; weights spread over all layers."""
    columns = []
    for layer in range(len(rows)):
        for i in _neurons(network, layer):
            g = shares_of(network, rows, (layer, i % 2, i))
            alive = np.flatnonzero((g > 0).mean(axis=0) > ALIVE)[:edges]
            columns.append(stats.rankdata(g[:, alive], axis=0))
    return np.concatenate(columns, axis=1)


@assumption("A-iid")
def exchangeability(setting: Setting) -> Result:
    """The largest shift of ranks of g_j from calibration to fresh inputs, against permutations."""
    lines: list[str] = []
    refuted: list[str] = []
    series: dict[str, list[float]] = {}
    for number, name in enumerate(trained.names(setting)):
        network, train, fresh = _split(setting, name)
        size = min(1000, len(train[0]), len(fresh[0]))
        rows = [np.concatenate([a[:size], b[:size]]) for a, b in zip(train, fresh, strict=True)]
        ranks = _ranks(rows, network, 4)
        ranks = (ranks - ranks.mean(axis=0)) / ranks.std(axis=0)
        rng = generator(setting.seed, 73, 2, number)
        labels = np.repeat([1.0, -1.0], size)
        shifts = np.abs(labels @ ranks) / math.sqrt(2 * size)
        count = PERMUTATIONS if setting.full else 999
        largest = np.concatenate([
            np.abs(rng.permuted(np.tile(labels, (100, 1)), axis=1) @ ranks).max(axis=1)
            for _ in range(count // 100 + 1)
        ])[:count] / math.sqrt(2 * size)  # fmt: skip
        p = (1 + int((largest >= shifts.max() - 1e-9).sum())) / (count + 1)
        pixels = rows[0][:, (rows[0] > 0).mean(axis=0) > ALIVE]
        raw = stats.rankdata(pixels, axis=0)
        raw = np.abs(labels @ (raw - raw.mean(axis=0)) / raw.std(axis=0)) / math.sqrt(2 * size)
        beaten = (ranks[size:] > ranks[:size].max(axis=0)).mean() * (size + 1)
        text = (
            f"{name}: largest of {shifts.size} shifts {shifts.max():.2f} standard deviations, "
            f"permutation p = {p:.3g} (the inputs alone, without a network: {raw.max():.2f}); new "
            f"inputs beat the record of {size} others {beaten:.2f} times as often as ES-6 says"
        )
        lines.append(text)
        series[f"{name} shifts"] = np.sort(shifts).tolist()
        series[f"{name} permuted largest"] = np.quantile(largest, [0.05, 0.5, 0.95, 0.99]).tolist()
        if p <= 1 / (count + 1):
            refuted.append(text)
    if refuted:
        raise Refuted(
            f"calibration and fresh inputs are not exchangeable: {'; '.join(refuted)}", series
        )
    return Result("; ".join(lines), cases=len(lines), series=series)


@assumption("A-nonnegative")
def signs_of_activations(setting: Setting) -> Result:
    """The least activation that enters any layer; where some are negative a row counts as two."""
    lines, least = [], []
    for name in trained.names(setting):
        _, train, fresh = _split(setting, name)
        both = [np.concatenate(pair) for pair in zip(train, fresh, strict=True)]
        least += [float(rows.min()) for rows in both]
        lines.append(f"{name}: least activation {', '.join(f'{rows.min():g}' for rows in both)}")
    if min(least) < 0:
        raise Refuted("; ".join(lines))
    # Elsewhere, as after tanh, the code takes a+ and a- for two points.
    weight, rows = np.array([[1.0, 2.0, -1.0]]), np.array([[1.0, -1.0, 3.0]])
    split = np.concatenate([np.maximum(rows, 0), np.maximum(-rows, 0)])
    if not np.array_equal(
        sipp_theory.sensitivity(weight, rows), sipp_theory.sensitivity(weight, split)
    ):
        raise Refuted(f"sensitivity({weight.tolist()}, {rows.tolist()}) does not split the signs")
    return Result("; ".join(lines), cases=len(least), series={"least activation": least})

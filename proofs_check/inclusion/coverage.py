"""Coverage of SP-8: independent inclusion, and inclusion coupled to a fixed count."""

from __future__ import annotations

import numpy as np
from scipy import stats

import sipp_theory
from proofs_check.instances import trained
from proofs_check.kinds.coverage import neuron_experiment
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.monte_carlo.failures import estimates_at
from proofs_check.monte_carlo.needed import needed_size
from proofs_check.monte_carlo.neuron import TIE
from proofs_check.monte_carlo.neuron_check import INCLUSION_OF_A_SIGN
from proofs_check.monte_carlo.pair import Scheme, make_pair

EQUAL = 2_000
NEEDED_TRIALS, NEEDED_STREAM = 4_096, 52
SCHEMES: tuple[tuple[str, Scheme], ...] = (
    ("bernstein", "inclusion"),
    ("cramer", "coupled"),
    ("exact", "inclusion"),
)


def binomial_rate(weights: int, eps: float, delta: float) -> float:
    """Least rate with a failure probability of at most delta, by the binomial law.

    With n equal weights z^/z = Bin(n, p)/(n p), p = c/n; an error that equals eps is no failure.
    """
    rate = np.geomspace(1.0, weights, 4_000)
    law = stats.binom(weights, np.minimum(rate / weights, 1 - 1e-15))
    failing = law.sf(np.floor(rate * (1 + eps) + TIE)) + law.cdf(
        np.ceil(rate * (1 - eps) - TIE) - 1
    )
    return float(rate[np.argmax(failing <= delta)])


def coupled_rate(rows: np.ndarray, eps: float, delta: float, seed: int) -> float:
    """Rate at which pivotal sampling fails at the first input with probability delta, by trials."""
    pair = make_pair(rows[:1], rows.max(axis=0))
    low, high = 1.0, float(1 / pair.scores.min())
    while high / low > 1.02:
        rate = float(np.sqrt(low * high))
        estimates = estimates_at(pair, 0, "coupled", rate, NEEDED_TRIALS, seed, NEEDED_STREAM)
        enough = (np.abs(estimates - 1) > eps + TIE).mean() <= delta
        low, high = (low, rate) if enough else (rate, high)
    return high


@coverage("SP-8")
def equal_weights(setting: Setting) -> list[Experiment]:
    """Many equal weights, where the law is binomial: each bound's rate, weights independent."""
    eps, delta, shares = 0.25, 0.05, np.full((1, EQUAL), 1 / EQUAL)
    needed = binomial_rate(EQUAL, eps, delta)
    return [
        neuron_experiment(
            f"{EQUAL} equal weights, bound {bound}", shares, shares[0], scheme="inclusion",
            size=float(sipp_theory.inclusion_rate(shares[0], eps, delta, shares=shares,
                                                  bound=bound)),
            eps=eps, delta=delta, seed=setting.seed, stream=(1, number), needed=needed,
        )
        for number, bound in enumerate(INCLUSION_OF_A_SIGN)
    ]  # fmt: skip


@coverage("SP-8")
def uncovered_input(setting: Setting) -> list[Experiment]:
    """A fresh input on which each live weight has C times its sensitivity, the worst allowed."""
    eps, delta, cover, live = 0.3, 0.05, 4, 500
    # Every weight has s_j = 1/(C live); at the fresh input `live` of them share z equally.
    s = np.full(cover * live, 1 / (cover * live))
    fresh = np.zeros((1, s.size))
    fresh[0, ::cover] = 1 / live
    needed = cover * binomial_rate(live, eps, delta)
    result = []
    for number, bound in enumerate(("bernstein", "kl")):
        rate = float(
            sipp_theory.inclusion_rate(s, eps, delta, coverage_factor=float(cover), bound=bound)
        )
        result.append(
            neuron_experiment(
                f"C = {cover}, bound {bound}", fresh, s, scheme="inclusion", size=rate, eps=eps,
                delta=delta, seed=setting.seed, stream=(2, number), needed=needed,
            )
        )  # fmt: skip
    return result


def far_apart(weights: int, inputs: int) -> np.ndarray:
    """Equal weights, each live at one input of several, neighbours at different ones.

    Those that meet in pivotal sampling are neighbours, so that at one input the coins of the live
    weights are all but independent: the instance that gains least from the coupling.
    """
    rows = np.zeros((inputs, weights))
    rows[np.arange(weights) % inputs, np.arange(weights)] = inputs / weights
    return rows


@coverage("SP-8")
def coupled(setting: Setting) -> list[Experiment]:
    """Weights coupled by pivotal sampling, live at inputs of their own so that it gains nothing."""
    eps, delta, rows = 0.3, 0.05, far_apart(600, 4)
    needed = coupled_rate(rows, eps, delta, setting.seed)
    result = []
    for number, bound in enumerate(("bernstein", "kl", "cramer")):
        s = rows.max(axis=0)
        rate = float(sipp_theory.inclusion_rate(s, eps, delta, shares=rows, bound=bound))
        result.append(
            neuron_experiment(
                f"600 weights live at 4 inputs, bound {bound}", rows, s, scheme="coupled",
                size=rate, eps=eps, delta=delta, seed=setting.seed, stream=(3, number),
                needed=needed,
            )
        )  # fmt: skip
    return result


@coverage("SP-8")
def trained_network(setting: Setting) -> list[Experiment]:
    """The pairs of largest S_sum of a trained network, at the worst of the calibration inputs."""
    eps, delta, result = 0.2, 0.05, []
    trials = 40_000 if setting.full else 4_000
    for place, name in enumerate(trained.names(setting)):
        tables = trained.tables(setting, name)
        pairs = trained.hardest_pairs(tables, 1)
        for layer, sign, neuron in pairs if setting.full else pairs[:1]:
            g, s = trained.pair_shares(tables[layer], sign, neuron)
            needed = needed_size(
                g, s, eps=eps, delta=delta, scheme="inclusion", trials=trials, seed=setting.seed
            ).size
            for number, (bound, scheme) in enumerate(SCHEMES):
                rate = float(sipp_theory.inclusion_rate(s, eps, delta, shares=g, bound=bound))
                result.append(
                    neuron_experiment(
                        f"{name}, layer {layer + 1}, neuron {neuron}, {bound}, {scheme}", g, s,
                        scheme=scheme, size=rate, eps=eps, delta=delta, seed=setting.seed,
                        stream=(4, place, layer, number), needed=needed,
                    )
                )  # fmt: skip
    return result

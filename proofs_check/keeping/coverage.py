"""Coverage of SP-7, the better of drawing and dropping, and of SP-9, both signs at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

import sipp_theory
from proofs_check.instances import trained
from proofs_check.kinds.coverage import neuron_experiment, two_point
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.monte_carlo.failures import estimates_at
from proofs_check.monte_carlo.neuron import TIE
from proofs_check.monte_carlo.pair import Pair, make_pair
from sipp_core.methods import SippPoisson
from sipp_core.pruning import Table, draw, prune
from sipp_core.runtime import generator

SIGNS_STREAM, NEEDED_STREAM, HALVES_STREAM = 53, 54, 55
NEEDED_TRIALS = 20_000


def _hybrid(label: str, g: np.ndarray, s: np.ndarray, m: int, delta: float, seed: int,
            stream: tuple[int, ...]) -> Experiment:  # fmt: skip
    """Draw m times or keep as many weights as m draws leave, as the hybrid decides."""
    q = s / s.sum()
    kept = round(float(sipp_theory.expected_distinct(q, m)))
    drawn = sipp_theory.exact_error(g, q, m, delta)
    dropped = sipp_theory.deterministic_error(
        sipp_theory.dropped_share(g, sipp_theory.keep_most_sensitive(s, kept))
    )
    choice = sipp_theory.hybrid_error(drawn, dropped)
    drops = bool(choice.deterministic)
    # A share of 0 may be dropped with a promise of 0, which no rounding meets.
    return neuron_experiment(
        f"{label}, {'dropped' if drops else 'drawn'}", g, s,
        scheme="dropping" if drops else "draws",
        size=kept if drops else m, eps=max(float(choice.error), TIE), delta=delta, seed=seed,
        stream=stream,
    )  # fmt: skip


@coverage("SP-7")
def hybrid(setting: Setting) -> list[Experiment]:
    """Whichever of drawing and dropping promises less keeps that promise, by SP-5x or by SP-6."""
    # Each half of the weights is live at one of two inputs: a draw is 2 or 0.
    halves = np.kron(np.eye(2), np.full(200, 1 / 200))
    dominant = np.array([[0.9, 0.05, 0.03, 0.02], [0.85, 0.02, 0.1, 0.03]])
    result = [
        _hybrid("two halves of 400 weights", halves, halves.max(axis=0), 300, 0.05, setting.seed,
                (1, 0)),
        _hybrid("one dominant weight", dominant, dominant.max(axis=0), 9, 0.05, setting.seed,
                (1, 1)),
    ]  # fmt: skip
    for place, name in enumerate(trained.names(setting)):
        tables = trained.tables(setting, name)
        layer, sign, neuron = trained.hardest_pairs(tables, 1)[0]
        g, s = trained.pair_shares(tables[layer], sign, neuron)
        result.append(
            _hybrid(f"{name}, neuron {neuron}", g, s, 2 * s.size, 0.05, setting.seed, (2, place))
        )
    return result


@dataclass(frozen=True, eq=False)
class Signed:
    """Both signs of one neuron at one input.

    Attributes:
        pairs: (positive, negative), one row each.
        parts: (z+, z-) at that input.
        draws: of each sign, 0 for one that is kept as it is.

    Claim: SP-9. Source: [OWN].
    """

    pairs: tuple[Pair, Pair]
    parts: tuple[float, float]
    draws: tuple[int, int]

    def errors(self, trials: int, seed: int, *stream: int) -> np.ndarray:
        """|z^ - z| of many pruned versions, both signs drawn independently."""
        total = np.zeros(trials)
        for sign, (pair, part, m) in enumerate(
            zip(self.pairs, self.parts, self.draws, strict=True)
        ):
            if m:
                estimates = estimates_at(pair, 0, "draws", m, trials, seed, *stream, sign)
                total += (1 - 2 * sign) * part * (estimates - 1)
        return np.abs(total)


def _misses(neuron: Signed, limit: float, seed: int, stream: tuple[int, ...], block: int,
            trials: int) -> int:  # fmt: skip
    errors = neuron.errors(trials, seed, SIGNS_STREAM, *stream, block)
    return int((errors > limit + TIE * sum(neuron.parts)).sum())


def _both(label: str, neuron: Signed, eps: tuple[float, float], delta: float, seed: int,
          stream: tuple[int, ...]) -> Experiment:  # fmt: skip
    """Hold the joined promise against the error of z; both are relative to |z|."""
    value = abs(neuron.parts[0] - neuron.parts[1])
    promised = float(sipp_theory.combine_signs(eps[0], sum(neuron.parts) / value, eps[1]))
    seen = neuron.errors(NEEDED_TRIALS, seed, NEEDED_STREAM, *stream) / value
    return Experiment(
        label, delta, partial(_misses, neuron, promised * value, seed, stream),
        promised=promised, needed=float(np.quantile(seen, 1 - delta, method="higher")),
    )  # fmt: skip


def _row(g: np.ndarray, s: np.ndarray) -> Pair:
    return make_pair(g[:1], s)


@coverage("SP-9")
def both_signs(setting: Setting) -> list[Experiment]:
    """Both signs of a neuron pruned at once: z errs by at most eps z~, delta shared by the two."""
    shares, scores = two_point(9)
    eps, delta = 0.25, 0.05
    one = _row(shares, scores)
    m = int(sipp_theory.kl_size(9.0, eps, delta / 2))
    few = int(sipp_theory.kl_size(9.0, 2 * eps, delta / 2))
    sure = 150
    alone = float(sipp_theory.exact_error(shares, scores / scores.sum(), sure, delta))
    result = [
        _both("Delta = 5, both by SP-4", Signed((one, one), (3.0, 2.0), (m, m)), (eps, eps), delta,
              setting.seed, (1, 0)),
        _both("Delta = 5, errors of eps and 2 eps", Signed((one, one), (2.0, 3.0), (m, few)),
              (eps, 2 * eps), delta, setting.seed, (1, 1)),
        _both("the other sign is exact", Signed((one, one), (3.0, 2.0), (sure, 0)), (alone, 0.0),
              delta, setting.seed, (1, 2)),
    ]  # fmt: skip
    for place, name in enumerate(trained.names(setting)):
        tables = trained.tables(setting, name)
        for layer, _, neuron in trained.hardest_pairs(tables, 1)[: None if setting.full else 1]:
            signed, sums = network_neuron(tables[layer], neuron, eps, delta / 2)
            result.append(
                _both(f"{name}, layer {layer + 1}, neuron {neuron}, both SP-3, Delta = {sums:.1f}",
                      signed, (eps, eps), delta, setting.seed, (2, place, layer))
            )  # fmt: skip
    return result


@coverage("SP-9")
def signed_input(setting: Setting) -> Experiment:
    """An input of both signs is two rows, so a neuron of one sign has two promises to keep there.

    Every neuron of the layer is the same one, pruned on its own: each is a trial.
    """
    eps, delta, copies = 0.2, 0.1, 200
    inputs = torch.tensor([[0.951, 0.049, -0.951, -0.049]])
    layer = nn.Linear(4, copies, bias=False)
    nn.init.ones_(layer.weight)
    plan = prune(layer, inputs, method=SippPoisson(), eps=eps, delta=delta, bound="exact").plans[0]
    row = inputs[0].double().numpy()

    def misses(block: int, trials: int) -> int:
        failures = 0
        for first in range(0, trials, copies):
            rng = generator(setting.seed, HALVES_STREAM, block, first)
            error = np.abs((draw(plan, rng) - 1) @ row)[: trials - first]
            failures += int((error > (eps + TIE) * np.abs(row).sum()).sum())
        return failures

    return Experiment("weights of 1 at (.951, .049, -.951, -.049), SP-5x", delta, misses, most=4000)


def network_neuron(table: Table, neuron: int, eps: float, delta: float) -> tuple[Signed, float]:
    """Both signs of a network's neuron at the input of median cancellation, sizes by SP-3."""
    weight = table.weight[neuron]
    points = table.statistics.points[0].numpy().astype(np.float64)
    terms = [points * np.maximum(sign * weight, 0) for sign in (1, -1)]
    parts = np.stack([t.sum(axis=1) for t in terms])
    live = np.flatnonzero((parts > 0).all(axis=0))
    ratio = parts.sum(axis=0)[live] / np.abs(parts[0] - parts[1])[live]
    row = int(live[np.argsort(ratio)[live.size // 2]])
    pairs, draws = [], []
    for sign, term in enumerate(terms):
        rows = parts[sign] > 0
        g = term[rows] / parts[sign][rows, None]
        s = g.max(axis=0)
        pairs.append(make_pair(term[row : row + 1] / parts[sign, row], s))
        draws.append(int(sipp_theory.bernstein_size(max(1.0, float(s.sum())), eps, delta)))
    plus, minus = (float(x) for x in parts[:, row])
    signed = Signed((pairs[0], pairs[1]), (plus, minus), (draws[0], draws[1]))
    return signed, (plus + minus) / math.fabs(plus - minus)

"""Masks that pruning is compared with: by magnitude, by chance, by Wanda and by SNIP.

Each is a rule for a number of weights and, where it makes sense, one for an error. A mask promises
what SP-6 says of the weights it drops, whatever they were chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import sipp_theory
from sipp_core.methods import uniform
from sipp_core.pruning import fewest, planning, ranking
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import Table
from sipp_core.runtime.numbers import Float, generator
from sipp_core.sensitivity.statistics import LayerStatistics

# Draws count their candidates in the third place, so no draw shares these dice.
MASK_STREAM = (0, 0, 0)
# What calibration must have been asked for: statistic, argument of `calibrate`.
NEEDS = {
    "wanda": ("energy", "statistics={'energy'}"),
    "snip": ("saliency", "statistics={'gradients'}"),
}


def missing(method: str, layers: Sequence[LayerStatistics]) -> str | None:
    """Say which argument of `calibrate` a method would have needed."""
    statistic, argument = NEEDS.get(method, ("name", ""))
    return argument if any(getattr(layer, statistic) is None for layer in layers) else None


def _masks(
    tables: Sequence[Table], ranked: Sequence[Float], budget: float, shown: Sequence[Float]
) -> list[LayerPlan]:
    masks = ranking.largest(ranked, budget)
    return [planning.mask_plan(t, m, s) for t, m, s in zip(tables, masks, shown, strict=True)]


def magnitude(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Keep the weights of largest magnitude, of the layer or of all layers.

    Claim: SP-6. Source: Han et al. 2015, arXiv 1506.02626 (the method).
    """
    scores = [np.abs(t.weight) for t in tables]
    return _masks(tables, scores, budget, scores)


def by_magnitude(table: Table, eps: float) -> LayerPlan:
    """Keep the fewest weights of largest magnitude with which SP-6 promises eps.

    Claim: SP-6. Source: Han et al. 2015, arXiv 1506.02626 (the method); [SP] (the promise).
    """
    return fewest.dropping(table, np.abs(table.weight), eps)


def random(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Keep a set of nonzero weights chosen uniformly among all sets of that size, unscaled.

    Ranking by independent uniform numbers gives every set the same chance. The promise is SP-6's
    for the set that was drawn, at most 1: little or nothing.

    Claim: SP-6. Source: Frankle and Carbin 2019, arXiv 1803.03635 (the control).
    """
    # Numbers in (0, 1]: none is 0, which would stand for a weight that is not there.
    scores = [
        np.where(t.weight != 0, 1 - generator(*_dice(t)).random(t.weight.shape), 0.0)
        for t in tables
    ]
    return _masks(tables, scores, budget, scores)


def _dice(table: Table) -> tuple[int, ...]:
    seed, layer = table.dice
    return (seed, *MASK_STREAM, layer)


def wanda_scores(table: Table) -> Float:
    """Score each weight by |w_ij| ||a_j||_2, the norm over all rows of calibration.

    Shapes: returns (out, fan_in) float64.
    """
    energy = table.statistics.energy
    assert energy is not None, "calibrated without energy"
    norms = np.sqrt(energy.cpu().numpy())
    return np.abs(table.weight) * np.repeat(norms, table.weight.shape[0] // len(norms), axis=0)


def wanda(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Keep each output neuron's weights of largest |w_ij| ||a_j||_2, the same share of every row.

    Weights are compared within their row and nowhere else, as in the paper; under scope "global"
    too, which therefore differs in rounding alone.

    Claim: SP-6. Source: Sun et al. 2023, arXiv 2306.11695 (the method).
    """
    scores = [wanda_scores(t) for t in tables]
    widths = np.concatenate([np.full(len(s), s.shape[1]) for s in scores]).astype(np.float64)
    room = np.concatenate([(s > 0).sum(axis=1) for s in scores])
    sizes = sipp_theory.round_allocation(budget * widths / widths.sum(), room, budget)
    rows = np.split(sizes, np.cumsum([len(s) for s in scores])[:-1])
    return [
        planning.mask_plan(t, ranking.largest_per_row(s, n), s)
        for t, s, n in zip(tables, scores, rows, strict=True)
    ]


def by_wanda(table: Table, eps: float) -> LayerPlan:
    """Keep the fewest weights of largest Wanda score with which SP-6 promises eps.

    Claim: SP-6. Source: Sun et al. 2023, arXiv 2306.11695 (the method); [SP] (the promise).
    """
    return fewest.dropping(table, wanda_scores(table), eps)


def _saliency(table: Table) -> Float:
    found = table.statistics.saliency
    assert found is not None, "calibrated without gradients"
    return found.cpu().numpy()


def snip(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Keep the weights of largest connection sensitivity |w dL/dw|, normalised over the scope.

    The paper ranks all layers together, scope "global". Dividing by the sum changes no order; it
    is done so that a plan's scores are those of the paper.

    Claim: SP-6. Source: Lee, Ajanthan and Torr 2019, arXiv 1810.02340 (the method).
    """
    scores = [_saliency(t) for t in tables]
    total = sum(float(s.sum()) for s in scores) or 1.0
    return _masks(tables, scores, budget, [s / total for s in scores])


def by_snip(table: Table, eps: float) -> LayerPlan:
    """Keep the fewest weights of largest connection sensitivity with which SP-6 promises eps.

    Claim: SP-6. Source: Lee et al. 2019, arXiv 1810.02340 (the method); [SP] (the promise).
    """
    return fewest.dropping(table, _saliency(table), eps)


BUDGET_RULES: dict[str, Callable[[Sequence[Table], float], list[LayerPlan]]] = {
    "magnitude": magnitude,
    "uniform": uniform.by_budget,
    "random": random,
    "wanda": wanda,
    "snip": snip,
}
GUARANTEE_RULES: dict[str, Callable[[Table, float], LayerPlan]] = {
    "magnitude": by_magnitude,
    "uniform": uniform.by_eps,
    "wanda": by_wanda,
    "snip": by_snip,
}

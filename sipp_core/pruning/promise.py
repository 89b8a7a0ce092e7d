"""What a choice of draws, rates or dropped weights promises each neuron, by the chosen bound.

Works on one layer's tables: arrays over (sign, neuron), with the sign index 0 for positive weights.
Instance-exact bounds (cramer, exact) look at the activation rows kept by calibration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import sipp_theory
from sipp_core.runtime.numbers import Bool, Float
from sipp_core.sensitivity.statistics import LayerStatistics
from sipp_theory.inclusion import poisson_rate

INSTANCE_BOUNDS = ("cramer", "exact")
BOUNDS = ("corenet", "bernstein", "kl", "cramer", "exact")


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers of one layer that planning works on, float64 on the CPU.

    Attributes:
        statistics: what calibration learnt.
        weight: (out, fan_in) weights.
        sensitivity: (out, fan_in) s.
        total: (2, out) S_sum per sign, 0 for a pair that never fired.
        support: (2, out) weights with s > 0.
        failure: failure probability of a neuron at one input; of the network for bound corenet.
        delta: (2, out) failure probability of each sign: `failure` shared by the live signs.
        coverage_factor: C.
        bound: which bound promises.
        eta: number of neurons of the network.
        eta_star: widest layer, the input width included.
        dice: the user's seed and the layer's place, for what is chosen at random while planning.

    Claim: none (plumbing).
    """

    statistics: LayerStatistics
    weight: Float
    sensitivity: Float
    total: Float
    support: Float
    failure: float
    delta: Float
    coverage_factor: float
    bound: str
    eta: int
    eta_star: int
    dice: tuple[int, int] = (0, 0)

    @property
    def dead(self) -> Bool:
        """Pairs that never fired."""
        return self.total == 0

    def sign(self, index: int) -> Bool:
        """Mask of the nonzero weights of a sign."""
        return self.weight > 0 if index == 0 else self.weight < 0

    def shares(self, sign: int, neuron: int, columns: Bool | NDArray[np.intp]) -> Float:
        """Shares g_j(x) of one pair's weights at the kept points, live rows only.

        No rows are left if the pair lives only on activation rows that were not kept.
        """
        points = self.statistics.points
        group = neuron // (self.weight.shape[0] // points.shape[0])
        weight = np.abs(self.weight[neuron, columns])
        rows = points[group].numpy()[:, columns] * weight
        sums = rows.sum(axis=1)
        return rows[sums > 0] / sums[sums > 0, None]


def make_table(
    statistics: LayerStatistics,
    *,
    delta: float,
    coverage_factor: float,
    bound: str,
    eta: int,
    eta_star: int,
    dice: tuple[int, int] = (0, 0),
) -> Table:
    """Collect the planning numbers of one layer.

    Args:
        statistics: what calibration learnt of the layer.
        delta: failure probability of one neuron at one input, in (0, 1).
        coverage_factor: C with g_j <= C s_j, >= 1.
        bound: one of BOUNDS.
        eta: number of neurons of the network.
        eta_star: widest layer, the input width included.
        dice: the user's seed and the layer's place.

    Returns:
        The table.

    Claim: none (plumbing).

    Example:
        >>> import torch; from torch import nn; from sipp_core import calibrate
        >>> stats = calibrate(nn.Linear(2, 3), torch.ones(4, 2)).layers[0]
        >>> table = make_table(
        ...     stats, delta=0.1, coverage_factor=1.0, bound="kl", eta=3, eta_star=2)
        >>> table.total.shape
        (2, 3)
    """
    weight = statistics.layer.weight.double().cpu().numpy()
    s = statistics.sensitivity.double().cpu().numpy()
    signs = (weight > 0, weight < 0)
    total = np.stack([np.where(mask, s, 0.0).sum(axis=1) for mask in signs])
    support = np.stack([(mask & (s > 0)).sum(axis=1) for mask in signs]).astype(np.float64)
    # ES-2 says a live pair has S_sum >= 1; rounding of single shares may leave it just below.
    total = np.where(total > 0, np.maximum(total, 1.0), 0.0)
    live = np.maximum((total > 0).sum(axis=0), 1)
    return Table(
        statistics=statistics,
        weight=weight,
        sensitivity=s,
        total=total,
        support=support,
        failure=delta,
        delta=np.broadcast_to(delta / live, total.shape),
        coverage_factor=coverage_factor,
        bound=bound,
        eta=eta,
        eta_star=eta_star,
        dice=dice,
    )


def draws_error(table: Table, scores: Float, draws: Float, joint: bool = False) -> Float:
    """Error promised to each pair for its number of draws in proportion to scores.

    With other scores than s, one draw lies in [0, M z] for M = C max_j s_j/q_j (S_sum if q = s/S).

    Shapes: scores (out, fan_in), draws (2, out); returns (2, out) float64.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x. Source: see `sipp_theory.error`.
    """
    spans = span(table, scores, joint)
    # A weight that was seen to fire and is never drawn: nothing can be promised.
    biased = np.isinf(spans)
    live = (table.total > 0) & (draws > 0) & ~biased
    eps = np.where(table.total > 0, np.where(biased & (draws > 0), np.inf, 1.0), 0.0)
    if table.bound in INSTANCE_BOUNDS:
        for sign, neuron in np.argwhere(live):
            shares, q = outcomes(table, scores, sign, neuron, joint)
            if len(shares) == 0:
                continue
            m = float(draws[sign, neuron])
            eps[sign, neuron] = sipp_theory.error(
                table.bound, shares=shares, probabilities=q, m=m, delta=table.delta[sign, neuron]
            )
        return eps
    if table.bound == "corenet":
        return np.where(
            live,
            sipp_theory.error(
                "corenet", sensitivity_sum=np.where(live, spans, 0), m=np.maximum(draws, 1),
                delta=table.failure, eta=table.eta, eta_star=table.eta_star,
            ),
            eps,
        )  # fmt: skip
    promised = sipp_theory.error(
        table.bound,
        sensitivity_sum=np.where(live, spans, 0.0),
        m=np.maximum(draws, 1),
        delta=table.delta,
        coverage_factor=table.coverage_factor,
    )
    return np.where(live, promised, eps)


def outcomes(
    table: Table, scores: Float, sign: int, neuron: int, joint: bool = False
) -> tuple[Float, Float]:
    """Shares of what a draw may bring one pair at the kept points, and with what chance.

    Shapes: scores (out, fan_in); returns (n, k).

    Claim: SP-5, SP-5x. Source: [OWN].
    """
    mine = table.sign(sign)[neuron]
    columns = mine & (scores[neuron] > 0)
    shares, chance = table.shares(sign, neuron, columns), scores[neuron, columns]
    if not joint:
        return shares, chance / chance.sum()
    if (mine & (table.sensitivity[neuron] > 0) & ~columns).any():  # never drawn: nothing to say
        shares = shares[:0]
    chance = chance / np.where(table.weight != 0, scores, 0.0).sum()
    shares = np.column_stack([shares, np.zeros(len(shares))])
    return shares, np.append(chance, max(0.0, 1 - float(chance.sum())))


def span(table: Table, scores: Float, joint: bool = False) -> Float:
    """Largest value of one draw over z, per pair and before C: max_j s_j/q_j; S_sum if q = s/S.

    Shapes: scores (out, fan_in); returns (2, out) float64.

    Claim: SP-1. Source: [SP] arXiv 1910.05422; any other q [OWN].
    """
    result = np.zeros_like(table.total)
    whole = np.where(table.weight != 0, scores, 0.0).sum()
    for sign in (0, 1):
        mask = table.sign(sign) & (table.sensitivity > 0)
        part = np.where(table.sign(sign), scores, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(mask, table.sensitivity / part, 0.0).max(axis=1, initial=0.0)
            result[sign] = ratio * (whole if joint else part.sum(axis=1))
    return np.where(table.total > 0, np.maximum(result, 1.0), 0.0)


def inclusion_errors(table: Table, rates: Float) -> Float:
    """Error promised to each pair by Poisson inclusion at its rate.

    Shapes: rates (2, out); returns (2, out) float64.

    Claim: SP-8. Source: [OWN].
    """
    eps = np.where(table.total > 0, 1.0, 0.0)
    for sign, neuron in np.argwhere((table.total > 0) & (rates > 0)):
        columns = table.sign(sign)[neuron] & (table.sensitivity[neuron] > 0)
        s = table.sensitivity[neuron, columns]
        shares, bound = None, table.bound
        if bound in INSTANCE_BOUNDS:
            shares = table.shares(sign, neuron, columns)
            if len(shares) == 0:
                shares, bound = None, "bernstein"
        eps[sign, neuron] = poisson_rate.inclusion_error(
            s,
            float(rates[sign, neuron]),
            float(table.delta[sign, neuron]),
            shares=shares,
            coverage_factor=table.coverage_factor,
            bound=bound,
        )
    return eps


def dropped_errors(table: Table, kept: Bool) -> Float:
    """Error promised to each pair when the weights outside `kept` are dropped.

    G_D = max_x sum_{j in D} g_j(x) with an instance-exact bound, else the sum of s_j times C; at
    most 1, since dropping everything leaves z^ = 0.

    Shapes: kept (out, fan_in) bool; returns (2, out) float64.

    Claim: SP-6. Source: [SP] arXiv 1910.05422 (the sum); [OWN] (the maximum).
    """
    eps = np.zeros_like(table.total)
    for sign in (0, 1):
        dropped = table.sign(sign) & ~kept & (table.sensitivity > 0)
        eps[sign] = np.where(dropped, table.sensitivity, 0.0).sum(axis=1) * table.coverage_factor
        if table.bound in INSTANCE_BOUNDS:
            for neuron in np.flatnonzero((table.total[sign] > 0) & dropped.any(axis=1)):
                columns = table.sign(sign)[neuron]
                shares = table.shares(sign, int(neuron), columns)
                if len(shares):
                    eps[sign, neuron] = shares[:, dropped[neuron, columns]].sum(axis=1).max()
    return np.minimum(np.nextafter(eps, np.inf) * (eps > 0), 1.0)

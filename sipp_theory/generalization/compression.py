"""Generalization by compression: Arora et al.'s theorem (GN-1) and CoreNet's corollary (GN-2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.network.cancellation import checked_ratios, log_growth
from sipp_theory.network.network import NetworkSize, compose, corenet_network_size
from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float

FLOAT32 = 2.0**32
FLOAT32_ROUNDING = 2.0**-24


@dataclass(frozen=True)
class CorenetGeneralization:
    """CoreNet's generalization bound with every factor that goes into it.

    Attributes:
        bound: margin_loss + exceptions + penalty, rounded up; vacuous from 1 on, +inf where weights
            are too coarse for NW-5.
        margin_loss: L^_gamma of the network before pruning.
        exceptions: share of the points at which the compressed network may be off by more; 0 where
            it is the network itself.
        penalty: sqrt(nats/(2n)).
        n: number of points.
        eps: relative output error in NW-5, min(1, gamma/(2 max ||f||)).
        size: NW-5's draws, layer by layer, and its number of nonzeros.
        weights: number of weights that the network has, biases left out.
        parameters: weights of the compressed network, the smaller of `size.nnz` and `weights`.
        value_nats: ln(levels) for each parameter and each bias.
        position_nats: for which weights these are: parameters times ln(e weights/parameters); 0
            where all are kept.
        other_nats: for the number of parameters, the choices and delta.
        log2_factors: (name, log2) of the factors of NW-5's penalty squared; they add up to
            `log2_penalty`, whole sizes and the cap at `weights` left out.
        vacuous: whether the bound is 1 or more.

    Claim: GN-2. Source: [CN] arXiv 1804.05345, corollary 5, with explicit constants [OWN].
    """

    bound: float
    margin_loss: float
    exceptions: float
    penalty: float
    n: float
    eps: float
    size: NetworkSize
    weights: float
    parameters: float
    value_nats: float
    position_nats: float
    other_nats: float
    log2_factors: tuple[tuple[str, float], ...]
    vacuous: bool

    @property
    def log2_penalty(self) -> float:
        """Sum of the log2 of all factors: log2 of the squared penalty that NW-5 alone asks for."""
        return float(sum(share for _, share in self.log2_factors))

    @property
    def largest_factor(self) -> str:
        """Name of the factor that does most to make the bound vacuous."""
        return max(self.log2_factors, key=lambda item: item[1])[0]


def compression_bound(
    *,
    margin_loss: ArrayLike,
    exceptions: ArrayLike,
    parameters: ArrayLike,
    levels: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
    choices: ArrayLike = 1,
) -> Float:
    """Upper bound on the true error of a compressed network of q parameters with r values each.

    L_0(f^) <= L^_gamma(f) + xi + sqrt((q ln r + ln(choices) + ln(1/delta))/(2n)), where each class
    of f^ is within gamma/2 of f except at a share xi of the points. Hoeffding's inequality for the
    r^q networks that there are; the first two terms bound what f^ errs on the points. The list of
    networks must be fixed before the points are seen: positions of the parameters that were chosen
    on them belong into the list (r = values times places). gamma may be chosen afterwards at no
    price if the list does not depend on it; else choices is the number of lists.

    Args:
        margin_loss: L^_gamma(f), in [0, 1]; any shape.
        exceptions: xi, in [0, 1]; broadcasts.
        parameters: q, whole, >= 0; broadcasts.
        levels: r, values of each parameter, whole, >= 1; broadcasts.
        n: number of i.i.d. points, whole, >= 1; broadcasts.
        delta: failure probability over the points, in (0, 1); broadcasts.
        choices: lists (values of gamma, ratios, ...) fixed before and chosen among, whole, >= 1;
            broadcasts.

    Returns:
        float64 array, an error rate, rounded up, not cut off: vacuous if >= 1.

    Raises:
        ValueError: an argument out of range; the message names it and the value.

    Claim: GN-1. Source: [AR] arXiv 1802.05296, Theorem 2.1; gamma/2 and choices [OWN].

    Example:
        >>> given = dict(margin_loss=0.02, exceptions=0.0, levels=16, n=60_000, delta=0.05)
        >>> round(float(compression_bound(parameters=500, **given)), 4)
        0.1276
    """
    loss = numeric.in_unit("margin_loss", margin_loss) + numeric.in_unit("exceptions", exceptions)
    count = numeric.integer_at_least("parameters", parameters, 0)
    nats = count * np.log(numeric.integer_at_least("levels", levels, 1))
    nats = nats + np.log(numeric.integer_at_least("choices", choices, 1))
    nats = nats - np.log(numeric.probability("delta", delta))
    points = numeric.integer_at_least("n", n, 1)
    return ((loss + np.sqrt(nats / (2 * points))) * (1 + 16 * UNIT))[()]


def corenet_generalization(
    sensitivity_sums: Sequence[ArrayLike],
    delta_hats: ArrayLike,
    *,
    largest_output: float,
    gamma: float,
    margin_loss: float,
    n: float,
    weights: float,
    biases: float,
    delta: float,
    failure: float,
    eta: float,
    eta_star: float,
    levels: float = FLOAT32,
    rounding: float = FLOAT32_ROUNDING,
    choices: float = 1,
) -> CorenetGeneralization:
    """CoreNet's generalization bound, through its network theorem and GN-1, all constants shown.

    With eps = gamma/(2 max ||f||), NW-5 gives a pruned network whose every output is within gamma/2
    at each point with probability 1 - failure. So some draw is off at no more than failure n of the
    points (the mean is), which is a network with q = min(nnz, weights) nonzeros out of r levels.
    There are at most r^q (e weights/q)^q of these, or r^weights, for each q and choice of biases;
    naming q costs ln(weights + 1). The list is then the same for every gamma, so gamma may be
    chosen on the data. Rounding a weight to its level adds to the error of each sign of each
    neuron, for which NW-2 leaves room; where it is too little, nothing is promised. Where NW-5 asks
    for more weights than there are, the network itself is the one that is coded, its weights being
    among the levels. Assumes A1 and A2 at the points, as NW-5 does.

    Args:
        sensitivity_sums: one array a layer, any shape: S_sum of each neuron and sign, 0 or >= 1.
        delta_hats: (L,) Delta^_l >= 1, +inf allowed (then vacuous).
        largest_output: max of ||f(x)|| over the points, > 0; any norm that bounds each output.
        gamma: margin, > 0, in the unit of the outputs.
        margin_loss: L^_gamma(f) on the points, in [0, 1].
        n: number of i.i.d. points, whole, >= 1.
        weights: number of weights of the network, whole, >= 1.
        biases: number of its other parameters, which are kept as they are and are learnt all the
            same, whole, >= 0.
        delta: failure probability over the points, in (0, 1).
        failure: failure probability of the pruned network at one point, in (0, 1); below 1/n no
            point is excepted.
        eta: number of neurons of the network, >= 1.
        eta_star: largest layer width, the input's included, >= 1.
        levels: r, values of each weight, whole, >= 1; 2^32 for float32.
        rounding: relative error of rounding a weight to one of them, in [0, 1).
        choices: lists of networks fixed before and chosen among, whole, >= 1.

    Returns:
        CorenetGeneralization; `largest_factor` says what makes it vacuous.

    Raises:
        ValueError: an argument out of range; the message names it and the value.

    Claim: GN-2. Source: [CN] arXiv 1804.05345, corollary 5; positions, levels and q [OWN].

    Example:
        >>> result = corenet_generalization(
        ...     [[[9.0, 4.0]]], [3.0], largest_output=10.0, gamma=1.0, margin_loss=0.03, n=60_000,
        ...     weights=20, biases=1, delta=0.05, failure=1e-5, eta=1, eta_star=10)
        >>> result.parameters, round(result.bound, 4), result.largest_factor
        (20.0, 0.0927, '(2 max ||f|| / gamma)^2')
    """
    checks = {"largest_output": largest_output, "gamma": gamma}
    output, margin = (float(binomial.positive(k, v)) for k, v in checks.items())
    points = float(numeric.integer_at_least("n", n, 1))
    total = float(numeric.integer_at_least("weights", weights, 1))
    share = float(numeric.probability("failure", failure))
    coarse = float(numeric.at_least("rounding", rounding, 0.0))
    values = float(numeric.integer_at_least("levels", levels, 1))
    eps = min(1.0, float(numeric.down(margin / (2 * output))))
    size = corenet_network_size(sensitivity_sums, delta_hats, eps, share, eta, eta_star)
    ratios = checked_ratios("delta_hats", delta_hats)
    kept = min(size.nnz, total)
    value, position = _network_nats(kept, total, values)
    value += float(numeric.integer_at_least("biases", biases, 0) * np.log(values))
    other = _other_nats(total, delta, choices)
    pruned = size.nnz < total
    exceptions = float(np.floor(share * points) / points) if pruned else 0.0
    penalty = float(np.sqrt((value + position + other) / (2 * points)))
    loss = float(numeric.in_unit("margin_loss", margin_loss))
    fits = compose(size.errors + coarse * (1 + size.errors), ratios)[-1] <= eps
    bound = (loss + exceptions + penalty) * (1 + 64 * UNIT) if fits or not pruned else np.inf
    nats = (value + position + other) / kept if kept > 0 else 1.0
    return CorenetGeneralization(
        bound, loss, exceptions, penalty, points, eps, size, total, kept, value, position, other,
        _factors(sensitivity_sums, ratios, eps, share, eta, eta_star, nats, points),
        not bound < 1,
    )  # fmt: skip


def _network_nats(kept: float, total: float, levels: float) -> tuple[float, float]:
    """Logarithms of the number of values, and of places, of `kept` nonzeros among all weights."""
    if kept == 0:
        return 0.0, 0.0
    value, position = kept * float(np.log(levels)), kept * (1 + float(np.log(total / kept)))
    # All weights with their values are a list of their own, which needs no places.
    everything = total * float(np.log(levels))
    return (everything, 0.0) if everything <= value + position else (value, position)


def _other_nats(total: float, delta: float, choices: float) -> float:
    several = float(numeric.integer_at_least("choices", choices, 1))
    return float(np.log(total + 1) + np.log(several) - np.log(numeric.probability("delta", delta)))


def _factors(
    sums: Sequence[ArrayLike], ratios: Float, eps: float, failure: float, eta: float,
    eta_star: float, nats: float, points: float,
) -> tuple[tuple[str, float], ...]:  # fmt: skip
    """Factors of 32 L^2 sum_l Delta_l->^2 S_l K ln(8 eta/failure)/eps^2 nats/(2n), as log2."""
    totals = np.array([float(numeric.sensitivity_sum(value).sum()) for value in sums])
    growth = np.where(totals > 0, 2 * log_growth(ratios), -np.inf)
    top = growth.max()
    with np.errstate(divide="ignore", invalid="ignore"):
        weighed = totals * np.exp(np.where(growth == top, 0.0, growth - top))
        mean = (top + np.log(weighed.sum() / totals.sum())) / np.log(2) if totals.any() else 0.0
        widths = np.log(eta) + np.log(eta_star)
        factors = {
            "32": 32.0,
            "L^2": len(ratios) ** 2,
            "(2 max ||f|| / gamma)^2": eps**-2,
            "sum of S": totals.sum(),
            "ln(eta eta*)": widths,
            "ln(8 eta / failure)": np.log(8 * eta / failure),
            "nats a weight": nats,
            "1 / (2 n)": 1 / (2 * points),
        }
        logs = {name: float(np.log2(value)) for name, value in factors.items()}
    return (*logs.items(), ("mean Delta^2", float(mean)))

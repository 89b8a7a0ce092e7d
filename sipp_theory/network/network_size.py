"""CoreNet's network theorem (NW-5): the draws of every neuron and sign for one network error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.network.cancellation import checked_ratios, log_growth
from sipp_theory.network.network import checked_network_error, corenet_split
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float
from sipp_theory.sensitivity.sensitivity import sensitivity_sum_bound


@dataclass(frozen=True)
class NetworkSize:
    """CoreNet's network theorem, layer by layer.

    Attributes:
        errors: (L,) float64, the error eps_l of each neuron and sign (NW-2).
        sizes: one float64 array a layer, of the shape given: draws for each neuron and sign.
        nnz: bound on the number of nonzero weights, sum of (size + 1) over live pairs; may be +inf.
        vacuous: whether a factor is infinite, so that nothing is promised.

    Claim: NW-5. Source: [CN] arXiv 1804.05345, theorem 4.
    """

    errors: Float
    sizes: tuple[Float, ...]
    nnz: float
    vacuous: bool


def corenet_network_size(
    sensitivity_sums: Sequence[ArrayLike],
    delta_hats: ArrayLike,
    eps: float,
    delta: float,
    eta: float,
    eta_star: float,
) -> NetworkSize:
    """CoreNet's network theorem: draws for each neuron and sign, and a bound on the nonzeros.

    m = ceil(32 L^2 (prod_{k>=l} Delta^_k)^2 S_sum K ln(8 eta/delta)/eps^2), K = ln(eta eta*);
    Pr(f^(x) in (1 +- eps) f(x) entrywise) >= 1 - delta and nnz <= sum (m + 1), under A1, A2 and eps
    <= 1.

    Args:
        sensitivity_sums: one array a layer, any shape (say (out, 2)): S_sum of each neuron and
            sign, 0 (dead: no draw, no nonzero) or >= 1.
        delta_hats: (L,) Delta^_l >= 1, +inf allowed (then vacuous).
        eps: relative error wanted of the output, in (0, 1].
        delta: failure probability of the network, in (0, 1).
        eta: number of neurons of the network, >= 1.
        eta_star: largest layer width, the input's included, >= 1.

    Returns:
        NetworkSize(errors, sizes, nnz, vacuous). Vacuous here means infinite; whether a layer asks
        for more draws than it has weights is for the caller to say.

    Raises:
        ValueError: a value out of range, or lists of different length.

    Claim: NW-5. Source: [CN] arXiv 1804.05345, theorem 4.

    Example:
        >>> size = corenet_network_size([[[9.0, 4.0]]], [3.0], 0.5, 0.1, 1, 10)
        >>> size.sizes[0].tolist(), size.nnz
        ([[104614.0, 46495.0]], 151111.0)
    """
    ratios = checked_ratios("delta_hats", delta_hats)
    if ratios.shape != (len(sensitivity_sums),):
        raise ValueError(
            f"delta_hats must have one entry for each of the {len(sensitivity_sums)} layers; "
            f"found shape {ratios.shape}"
        )
    wanted = float(checked_network_error(eps))
    share = float(numeric.probability("delta", delta))
    neurons = float(numeric.at_least("eta", eta, 1))
    factor = np.log(neurons) + np.log(float(numeric.at_least("eta_star", eta_star, 1)))
    constant = 32 * len(ratios) ** 2 * factor * np.log(8 * neurons / share) / wanted**2
    growth = 2 * log_growth(ratios)
    sizes: list[Float] = []
    for layer, value in enumerate(sensitivity_sums):
        total = numeric.sensitivity_sum(value)
        with np.errstate(over="ignore", invalid="ignore"):
            size = np.ceil(total * constant * np.exp(growth[layer]) * (1 + 1e-13))
        sizes.append(np.where(total > 0, size, 0.0))
    nnz = float(sum(np.where(s > 0, s + 1, 0.0).sum() for s in sizes))
    return NetworkSize(corenet_split(eps, ratios), tuple(sizes), nnz, not np.isfinite(nnz))


def corenet_network_size_bound(
    fan_in: Sequence[ArrayLike],
    points: int,
    delta_hats: ArrayLike,
    eps: float,
    delta: float,
    eta: float,
    eta_star: float,
) -> NetworkSize:
    """The instance-independent form of CoreNet's network theorem.

    corenet_network_size with S_sum replaced by its bound min(|I|, |S|) (ES-2).

    Args:
        fan_in: one array a layer, any shape: number of weights of each neuron and sign, whole, >=
            0.
        points: |S|, whole, >= 1; a signed row counts twice.
        delta_hats: (L,) Delta^_l >= 1, +inf allowed (then vacuous).
        eps: relative error wanted of the output, in (0, 1].
        delta: failure probability of the network, in (0, 1).
        eta: number of neurons of the network, >= 1.
        eta_star: largest layer width, the input's included, >= 1.

    Returns:
        NetworkSize(errors, sizes, nnz, vacuous).

    Raises:
        ValueError: a value out of range, or lists of different length.

    Claim: NW-5. Source: [CN] arXiv 1804.05345, theorem 4.

    Example:
        >>> size = corenet_network_size_bound([[[9, 4]]], 100, [3.0], 0.5, 0.1, 1, 10)
        >>> size.nnz
        151111.0
    """
    numeric.integer_at_least("points", points, 1)
    sums = [sensitivity_sum_bound(edges, points) for edges in fan_in]
    return corenet_network_size(sums, delta_hats, eps, delta, eta, eta_star)

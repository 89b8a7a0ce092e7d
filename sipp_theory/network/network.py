"""From neurons to the network (NW-1 to NW-3, NW-5): how relative errors compose and may be divided.

Each layer adds its own error and multiplies what came before by its cancellation Delta; a division
of the network's error among layers undoes that, and CoreNet's theorem counts the draws it costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.network.cancellation import checked_ratios, log_growth
from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float
from sipp_theory.sensitivity.sensitivity import sensitivity_sum_bound


def compose(errors: ArrayLike, delta_hats: ArrayLike) -> Float:
    """Relative error after each layer, from the error of each sign of each neuron.

    u_0 = 0, u_l = Delta_l (u_{l-1} + eps_l + u_{l-1} eps_l). Needs sampled weights of the original
    signs (w^ >= 0 per sign) and, through ReLU, u <= 1 in every hidden layer: from there on a neuron
    that was off can be on, which no relative error describes; later layers are then +inf.

    Args:
        errors: (..., L) eps_l >= 0, +inf allowed, no unit.
        delta_hats: (..., L) Delta_l >= 1, +inf allowed, no unit; broadcasts.

    Returns:
        (..., L) float64 array u_1..u_L, relative errors of the pre-activations, rounded up.

    Raises:
        ValueError: NaN, a negative error, Delta below 1, no layer.

    Claim: NW-1. Source: [CN] arXiv 1804.05345; the condition u <= 1 [OWN].

    Example:
        >>> compose([0.01, 0.02], [2.0, 3.0]).round(6).tolist()
        [0.02, 0.1212]
    """
    ratios = checked_ratios("delta_hats", delta_hats)
    steps = numeric.numbers("errors", errors)
    if not (steps >= 0).all():
        raise ValueError(f"errors must be 0 or more (+inf allowed); found {errors!r}")
    steps, ratios = np.broadcast_arrays(steps, ratios)
    result = np.zeros(steps.shape)
    before = np.zeros(steps.shape[:-1])
    for layer in range(steps.shape[-1]):
        eps, ratio = steps[..., layer], ratios[..., layer]
        before = np.where(before > 1, np.inf, before)
        with np.errstate(invalid="ignore", over="ignore"):
            grown = before + eps + np.where((before == 0) | (eps == 0), 0.0, before * eps)
            before = np.where(grown == 0, 0.0, ratio * grown * (1 + 8 * UNIT))
        result[..., layer] = before
    return result


def _scaled(shares: Float, ratios: Float) -> Float:
    """Shares / prod_{k >= l} Delta_k, rounded down; 0 where a factor is infinite."""
    logs = log_growth(ratios)
    slack = 16 * UNIT * (ratios.shape[-1] + np.where(np.isfinite(logs), logs, 0.0))
    return shares * np.exp(-logs) * (1 - np.minimum(slack, 1.0))


def corenet_split(eps: ArrayLike, delta_hats: ArrayLike) -> Float:
    """CoreNet's division of a network error among its layers.

    eps_l = eps/(2 L prod_{k>=l} Delta_k) gives u_L <= eps for eps <= 1. Proof: with t_l = eps/(2L),
    1 + u_L <= prod(1 + t_l) <= exp(eps/2) (see log_split), and u_l <= u_L <= 1 for every hidden
    layer.

    Args:
        eps: target relative error of the output, in (0, 1], no unit; any shape (...).
        delta_hats: (..., L) Delta_l >= 1, +inf allowed, no unit.

    Returns:
        (..., L) float64 array, rounded down; 0 where a Delta is infinite (nothing is affordable).

    Raises:
        ValueError: a value out of range.

    Claim: NW-2. Source: [CN] arXiv 1804.05345.

    Example:
        >>> corenet_split(0.4, [2.0, 5.0]).round(6).tolist()
        [0.01, 0.02]
    """
    ratios = checked_ratios("delta_hats", delta_hats)
    target = checked_network_error(eps)
    return _scaled(target[..., None] / (2 * ratios.shape[-1]), ratios)


def log_split(eps: ArrayLike, delta_hats: ArrayLike, costs: ArrayLike | None = None) -> Float:
    """A division that spends all of the network error, and spends it where it is dear.

    eps_l = t_l/prod_{k>=l} Delta_k with sum t_l = ln(1+eps) gives u_L <= eps for eps <= 1: v_l =
    u_l prod_{k>l} Delta_k obeys 1 + v_l <= (1 + v_{l-1})(1 + t_l). t_l proportional to A_l^(1/3)
    minimises sum A_l/t_l^2. Against NW-2 it needs (eps/(2 ln(1+eps)))^2 of the samples (equal
    costs): a quarter for small eps, 0.52 at eps = 1.

    Args:
        eps: target relative error of the output, in (0, 1], no unit; any shape (...).
        delta_hats: (..., L) Delta_l >= 1, +inf allowed, no unit.
        costs: (..., L) A_l > 0, draws times t_l^2, the Deltas' squares included; equal if not
            given.

    Returns:
        (..., L) float64 array, rounded down; 0 where a Delta is infinite.

    Raises:
        ValueError: a value out of range, shapes that do not fit.

    Claim: NW-3. Source: [OWN].

    Example:
        >>> log_split(0.4, [2.0, 5.0], [1.0, 8.0]).round(6).tolist()
        [0.011216, 0.044863]
    """
    ratios = checked_ratios("delta_hats", delta_hats)
    budget = np.log1p(checked_network_error(eps))[..., None]
    if costs is None:
        return _scaled(budget / ratios.shape[-1], ratios)
    prices = binomial.positive("costs", costs)
    if prices.ndim == 0 or prices.shape[-1] != ratios.shape[-1]:
        raise ValueError(f"costs must have {ratios.shape[-1]} layers; found shape {prices.shape}")
    roots = np.cbrt(prices / prices.max(axis=-1, keepdims=True))
    return _scaled(budget * roots / roots.sum(axis=-1, keepdims=True), ratios)


def checked_network_error(eps: ArrayLike) -> Float:
    """Check the target relative error of the output.

    Example:
        >>> float(checked_network_error(1))
        1.0
    """
    target = binomial.positive("eps", eps)
    if (target > 1).any():
        raise ValueError(
            f"eps must be at most 1 (ReLU keeps no relative error beyond); found {eps!r}"
        )
    return target


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
        eps: target relative error of the output, in (0, 1].
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
    target = float(checked_network_error(eps))
    share = float(numeric.probability("delta", delta))
    neurons = float(numeric.at_least("eta", eta, 1))
    factor = np.log(neurons) + np.log(float(numeric.at_least("eta_star", eta_star, 1)))
    constant = 32 * len(ratios) ** 2 * factor * np.log(8 * neurons / share) / target**2
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
        eps: target relative error of the output, in (0, 1].
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

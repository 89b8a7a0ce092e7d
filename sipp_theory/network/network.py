"""From neurons to the network (NW-1 to NW-3): how relative errors compose and may be divided.

Each layer adds its own error and multiplies what came before by its cancellation Delta; a division
of the network's error among the layers undoes that. `network_size` counts the draws it costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.network.cancellation import checked_ratios, log_growth
from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float


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
        eps: relative error wanted of the output, in (0, 1], no unit; any shape (...).
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
    wanted = checked_network_error(eps)
    return _scaled(wanted[..., None] / (2 * ratios.shape[-1]), ratios)


def log_split(eps: ArrayLike, delta_hats: ArrayLike, costs: ArrayLike | None = None) -> Float:
    """A division that spends all of the network error, and spends it where it is dear.

    eps_l = t_l/prod_{k>=l} Delta_k with sum t_l = ln(1+eps) gives u_L <= eps for eps <= 1: v_l =
    u_l prod_{k>l} Delta_k obeys 1 + v_l <= (1 + v_{l-1})(1 + t_l). t_l proportional to A_l^(1/3)
    minimises sum A_l/t_l^2. Against NW-2 it needs (eps/(2 ln(1+eps)))^2 of the samples (equal
    costs): a quarter for small eps, 0.52 at eps = 1.

    Args:
        eps: relative error wanted of the output, in (0, 1], no unit; any shape (...).
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
    wanted = np.log1p(checked_network_error(eps))[..., None]
    if costs is None:
        return _scaled(wanted / ratios.shape[-1], ratios)
    prices = binomial.positive("costs", costs)
    if prices.ndim == 0 or prices.shape[-1] != ratios.shape[-1]:
        raise ValueError(f"costs must have {ratios.shape[-1]} layers; found shape {prices.shape}")
    roots = np.cbrt(prices / prices.max(axis=-1, keepdims=True))
    return _scaled(wanted * roots / roots.sum(axis=-1, keepdims=True), ratios)


def checked_network_error(eps: ArrayLike) -> Float:
    """Check the relative error wanted of the output.

    Example:
        >>> float(checked_network_error(1))
        1.0
    """
    wanted = binomial.positive("eps", eps)
    if (wanted > 1).any():
        raise ValueError(
            f"eps must be at most 1 (ReLU keeps no relative error beyond); found {eps!r}"
        )
    return wanted

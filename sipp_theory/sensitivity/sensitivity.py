"""Empirical sensitivity (ES-1 to ES-4): each weight's largest share of its neuron's activation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float

CalibrationRule = Literal["corenet", "sipp"]
CALIBRATION_RULES: tuple[CalibrationRule, ...] = ("corenet", "sipp")
SIPP_POINTS_FACTOR = 3.0


def _matrix(name: str, value: ArrayLike, columns: int | None = None) -> Float:
    array = numeric.finite(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} must have two dimensions; found shape {array.shape}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{name} must have {columns} columns, one a weight; found {array.shape}")
    return array


def _shares(weights: Float, activations: Float, sign: int) -> Float:
    """Shares of one sign; terms are compared by exponent, so no product over- or underflows."""
    live = sign * weights > 0
    mantissa, power = np.frexp(np.where(live, np.abs(weights), 0.0))
    activation_mantissa, activation_power = np.frexp(activations)
    terms = mantissa * activation_mantissa
    powers = np.where(terms > 0, power + activation_power, np.iinfo(np.int32).min // 4)
    top = powers.max(axis=1, keepdims=True, initial=np.iinfo(np.int32).min // 4)
    terms = np.ldexp(terms, powers - top)
    total = terms.sum(axis=1, keepdims=True)
    return np.divide(terms, total, out=np.zeros_like(terms), where=total > 0)


def shares(weights: ArrayLike, activations: ArrayLike, sign: int = 1) -> Float:
    """Shares g of one sign of one neuron: what part of z^s each edge carries, row by row.

    g_j(x) = c_j(x) / z^s(x) with c_j(x) = |w_j| a_j(x) and z^s(x) the sum of c_j over the weights
    of that sign; 0 for the other sign and wherever z^s(x) = 0. Each live row sums to 1 (to
    rounding). Holds over the whole float64 range: neither |w_j| a_j nor z^s need be representable.

    Args:
        weights: (k,) real, any unit; one row of a weight matrix.
        activations: (n, k) real, >= 0, any unit. Split signed rows in two first (a+ and a-).
        sign: +1 or -1, the sign of the weights that take part.

    Returns:
        (n, k) float64 array, no unit, in [0, 1].

    Raises:
        ValueError: wrong shapes, a sign other than +1 and -1, entries that are not finite or
            negative.

    Claim: ES-1. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422.

    Example:
        >>> shares([1.0, 3.0, -2.0], [[1.0, 1.0, 5.0]]).tolist()
        [[0.25, 0.75, 0.0]]
    """
    row = numeric.finite("weights", weights)
    if row.ndim != 1:
        raise ValueError(f"weights must have one dimension; found shape {row.shape}")
    if sign not in (1, -1):
        raise ValueError(f"sign must be +1 or -1; found {sign!r}")
    inputs = numeric.at_least("activations", _matrix("activations", activations, row.size), 0.0)
    return _shares(row, inputs, sign)


def sensitivity(weights: ArrayLike, activations: ArrayLike) -> Float:
    """Empirical sensitivity of every weight of a layer: its largest share over the given points.

    s_ij = max over x in S of g_ij(x), with g of the sign of w_ij. A signed activation row counts as
    the two non-negative rows a+ and a-. The plain reference; its cost is O(out * n * in).

    Args:
        weights: (out, in) real, any unit.
        activations: (n, in) real, any sign, any unit; n >= 1.

    Returns:
        (out, in) float64 array, no unit, in [0, 1]; 0 for zero weights and dead edges.

    Raises:
        ValueError: wrong shapes, no rows, or entries that are not finite.

    Claim: ES-3. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422.

    Example:
        >>> sensitivity([[1.0, 3.0]], [[1.0, 1.0], [1.0, 0.0]]).tolist()
        [[1.0, 0.75]]
    """
    matrix = _matrix("weights", weights)
    inputs = _matrix("activations", activations, matrix.shape[1])
    if inputs.shape[0] == 0:
        raise ValueError("activations must have at least one row; found none")
    rows = np.concatenate([np.maximum(inputs, 0.0), np.maximum(-inputs, 0.0)])
    largest = np.zeros_like(matrix)
    for neuron, row in enumerate(matrix):
        for sign in (1, -1):
            # The other sign's shares are 0, so adding joins the two signs.
            largest[neuron] += _shares(row, rows, sign).max(axis=0)
    return largest


def sensitivity_sum_bound(fan_in: ArrayLike, points: ArrayLike) -> Float:
    """Instance-independent bound on S_sum: no more than the edges, nor than the points.

    S_sum <= min(|I|, |S|), because s_j <= sum over x of g_j(x) and each row of g sums to at most 1.

    Args:
        fan_in: |I|, number of weights of that sign, whole, >= 0; any shape.
        points: |S|, number of non-negative rows (a signed row counts twice), whole, >= 0;
            broadcasts.

    Returns:
        float64 array of the broadcast shape, no unit.

    Raises:
        ValueError: a number that is negative or not whole.

    Claim: ES-2. Source: [CN] arXiv 1804.05345.

    Example:
        >>> sensitivity_sum_bound([784, 300], 452).tolist()
        [452.0, 300.0]
    """
    edges = numeric.integer_at_least("fan_in", fan_in, 0)
    rows = numeric.integer_at_least("points", points, 0)
    return np.minimum(edges, rows)[()]


def _log_edges(eta: ArrayLike, eta_star: ArrayLike) -> Float:
    neurons = numeric.at_least("eta", eta, 1)
    widest = numeric.at_least("eta_star", eta_star, 1)
    return np.log(neurons) + np.log(widest)


def assumption_factors(eta: ArrayLike, eta_star: ArrayLike) -> tuple[Float, Float]:
    """CoreNet's choice of the factors K and K' of assumption A1.

    K = K' = ln(eta eta*). A1 reads F_j(M_j / K) <= exp(-1/K'), with F_j the CDF of g_j and M_j its
    essential supremum. It is an assumption about the data and may be false.

    Args:
        eta: number of neurons of the network, >= 1; any shape.
        eta_star: largest layer width, the input's included, >= 1; broadcasts.

    Returns:
        (K, K'), float64 arrays of the broadcast shape, no unit, >= 0.

    Raises:
        ValueError: a number below 1 or not finite.

    Claim: ES-4. Source: [CN] arXiv 1804.05345.

    Example:
        >>> round(float(assumption_factors(410, 784)[0]), 4)
        12.6806
    """
    factor = _log_edges(eta, eta_star)[()]
    return factor, factor


def calibration_size(
    eta: ArrayLike,
    eta_star: ArrayLike,
    delta: ArrayLike,
    rule: CalibrationRule = "corenet",
) -> Float:
    """Number of calibration points |S| that A1 needs for K s_j >= g_j(x) to hold.

    "corenet": ceil(K' ln(8 eta eta*/delta)) with K' = ln(eta eta*); "sipp": K' = 3. Under A1 with
    that K', Pr(exists j: K s_j < g_j(x)) <= delta/(8 eta) for each neuron.

    Args:
        eta: number of neurons of the network, >= 1; any shape.
        eta_star: largest layer width, >= 1; the input's included if layer 1 is to be covered.
        delta: failure probability, 0 < delta < 8 eta eta* (values of 1 and more promise nothing,
            yet SiPP's experiments use them).
        rule: whose K' to take.

    Returns:
        float64 array of whole numbers >= 1, in points.

    Raises:
        ValueError: a number out of range, or an unknown rule.

    Claim: ES-4. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422.

    Example:
        >>> calibration_size(410, 300, [0.1, 1e-16], rule="sipp").tolist()
        [49.0, 152.0]
    """
    if rule not in CALIBRATION_RULES:
        raise ValueError(f"rule must be 'corenet' or 'sipp'; found {rule!r}")
    edges = _log_edges(eta, eta_star)
    share = numeric.finite("delta", delta)
    log = np.log(8.0) + edges - np.log(np.where(share > 0, share, np.nan))
    if not (log > 0).all():
        raise ValueError(f"delta must lie strictly between 0 and 8 eta eta*; found {delta!r}")
    factor = SIPP_POINTS_FACTOR if rule == "sipp" else edges
    return np.maximum(np.ceil(numeric.up(factor * log)), 1.0)[()]

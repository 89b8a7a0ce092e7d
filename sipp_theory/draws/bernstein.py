"""SP-1 to SP-3: how many draws with replacement sparsify one sign of one neuron.

A draw picks weight j with probability q_j = s_j / S_sum and contributes T = g_j / q_j, so on the
event g_j <= C s_j it lies in [0, M] with mean 1 and variance at most M - 1, where M = C S_sum.
Every bound here uses nothing but M, as SP-4 in `chernoff_hoeffding` does; the instance-exact ones
live in `cramer` and `exact`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bound import Bound, Neuron, register_bound, within
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

# CoreNet prints 8 where its own proof needs (6 + 2 eps)/3 (THEORY SP-3).
CORENET_CONSTANT = 8.0

# Guards the last bits of logarithms and square roots: far above float64 rounding, far below notice.
SLACK = 1.0 + 1e-14


def corenet_error(
    sensitivity_sum: ArrayLike,
    m: ArrayLike,
    delta: ArrayLike,
    eta: ArrayLike,
    eta_star: ArrayLike,
) -> Float:
    """Error that CoreNet's printed sample size promises for m draws.

    eps = sqrt(8 S K ln(8 eta/delta) / m), K = ln(eta eta*), with probability 1 - 3 delta/(8 eta).
    The paper says it of eps < 1; from 1 on it may be too small for few draws, and SP-3's error at
    the same probability is promised where that is larger.

    Args:
        sensitivity_sum: S_sum of one sign of one neuron, 0 or >= 1, any shape, no unit.
        m: number of draws with replacement, >= 0, broadcasts.
        delta: failure probability of the whole network, in (0, 1).
        eta: number of neurons of the network (layers 1..L), whole, >= 1.
        eta_star: widest layer, the input width included, whole, with eta * eta_star > 1.

    Returns:
        float64 relative error, rounded up; +inf for m = 0; 0 for a dead neuron. Vacuous if >= 1.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-2. Source: [CN] arXiv 1804.05345 (confirmed from the supplement).

    Example:
        >>> bool(0.0999 < corenet_error(9.0, 1_012_640, 0.05, 410, 784) < 0.1001)
        True
    """
    total = nm.sensitivity_sum(sensitivity_sum)
    scale = CORENET_CONSTANT * total * _corenet_log(delta, eta, eta_star)
    draws = nm.at_least("m", m, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        eps = np.sqrt(scale / draws) * SLACK
    neuron = 3 * nm.probability("delta", delta) / (8 * np.asarray(eta, np.float64))
    tiny = np.finfo(np.float64).tiny
    sure = bernstein_error(total, draws, np.maximum(neuron, tiny))
    eps = np.where(eps >= 1, np.where(neuron < tiny, np.inf, np.maximum(eps, sure)), eps)
    return np.where(total == 0, 0.0, np.where(draws == 0, np.inf, nm.up(eps)))[()]


def _corenet_log(delta: ArrayLike, eta: ArrayLike, eta_star: ArrayLike) -> Float:
    """K ln(8 eta/delta) with K = ln(eta eta*)."""
    failure = nm.probability("delta", delta)
    neurons = nm.integer_at_least("eta", eta, 1.0)
    widest = nm.integer_at_least("eta_star", eta_star, 1.0)
    edges = neurons * widest
    if (edges <= 1).any():
        raise ValueError("eta * eta_star must exceed 1: CoreNet's K = ln(eta eta*) would be 0")
    return np.log(edges) * nm.log_over(8 * neurons, failure)


def corenet_size(
    sensitivity_sum: ArrayLike,
    eps: ArrayLike,
    delta: ArrayLike,
    eta: ArrayLike,
    eta_star: ArrayLike,
) -> Float:
    """Number of draws as CoreNet prints it.

    m = ceil(8 S K ln(8 eta/delta) / eps^2), K = ln(eta eta*): then z^ lies in (1 +- eps) z with
    probability 1 - 3 delta/(8 eta). Its proof needs (6 + 2 eps)/3 where it prints 8.

    Args:
        sensitivity_sum: S_sum of one sign of one neuron, 0 or >= 1, any shape, no unit.
        eps: relative error, in (0, 1), broadcasts.
        delta: failure probability of the whole network, in (0, 1).
        eta: number of neurons of the network (layers 1..L), whole, >= 1.
        eta_star: widest layer, the input width included, whole, with eta * eta_star > 1.

    Returns:
        float64 whole number of draws; 0 for a dead neuron.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-2. Source: [CN] arXiv 1804.05345 (confirmed from the supplement).

    Example:
        >>> float(corenet_size(9.0, 0.1, 0.05, 410, 784))
        1012640.0
    """
    target = nm.probability("eps", eps)
    total = nm.sensitivity_sum(sensitivity_sum)
    guess = CORENET_CONSTANT * total * _corenet_log(delta, eta, eta_star) / target**2
    size = nm.least_integer(lambda m: corenet_error(total, m, delta, eta, eta_star), guess, target)
    return nm.dead_is_free(total, size)


@register_bound
class CoreNet(Bound):
    """SP-2: CoreNet's sample size as the paper prints it."""

    name, claim, title, knows = "corenet", "SP-2", "CoreNet", "network"

    def size(
        self, neuron: Neuron, eps: ArrayLike, delta: ArrayLike, limit: float = np.inf
    ) -> Float:
        """Least number of draws, by `corenet_size`."""
        total, eta, eta_star = self.known(neuron)
        return within(limit, corenet_size(total, eps, delta, eta, eta_star))

    def error(self, neuron: Neuron, m: ArrayLike, delta: ArrayLike) -> Float:
        """Error of m draws, by `corenet_error`."""
        total, eta, eta_star = self.known(neuron)
        return corenet_error(total, m, delta, eta, eta_star)


def bernstein_error(
    sensitivity_sum: ArrayLike, m: ArrayLike, delta: ArrayLike, coverage_factor: ArrayLike = 1.0
) -> Float:
    """Error that Bernstein's inequality promises for m draws (exact inverse of the quadratic).

    With M = C S_sum, v = 2 (M-1) L, b = (1/3) max(M-1, 1) L, L = ln(2/delta):
    eps = (b + sqrt(b^2 + v m)) / m, the root of m eps^2 = v + 2 b eps.

    Args:
        sensitivity_sum: S_sum of one sign of one neuron, 0 or >= 1, any shape, no unit.
        m: number of draws with replacement, >= 0, broadcasts.
        delta: failure probability for this neuron and sign at one input, in (0, 1).
        coverage_factor: C with g_j <= C s_j; 1 on the calibration points themselves.

    Returns:
        float64 relative error, rounded up; +inf for m = 0; 0 for a dead neuron. Vacuous if >= 1.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-3. Source: [SP] arXiv 1910.05422, constants re-derived from Bernstein (1946).

    Example:
        >>> bool(bernstein_error(9.0, 6_099, 0.05) <= 0.1)
        True
    """
    span = nm.draw_range(sensitivity_sum, coverage_factor)
    log = nm.log_over(2.0, nm.probability("delta", delta))
    draws = nm.at_least("m", m, 0.0)
    linear = np.maximum(span - 1, 1.0) * log / 3
    variance = 2 * np.maximum(span - 1, 0.0) * log
    with np.errstate(divide="ignore", invalid="ignore"):
        eps = (linear + np.sqrt(linear**2 + variance * draws)) / draws * SLACK
    return np.where(span == 0, 0.0, np.where(draws == 0, np.inf, nm.up(eps)))[()]


def bernstein_size(
    sensitivity_sum: ArrayLike, eps: ArrayLike, delta: ArrayLike, coverage_factor: ArrayLike = 1.0
) -> Float:
    """Number of draws by Bernstein's inequality.

    m = ceil((2 (M-1) + (2/3) max(M-1, 1) eps) ln(2/delta) / eps^2), M = C S_sum.

    Args:
        sensitivity_sum: S_sum of one sign of one neuron, 0 or >= 1, any shape, no unit.
        eps: relative error, in (0, 1), broadcasts.
        delta: failure probability for this neuron and sign at one input, in (0, 1).
        coverage_factor: C with g_j <= C s_j; 1 on the calibration points themselves.

    Returns:
        float64 whole number of draws; 0 for a dead neuron.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-3. Source: [SP] arXiv 1910.05422, constants re-derived from Bernstein (1946).

    Example:
        >>> float(bernstein_size(9.0, 0.1, 0.05))
        6099.0
    """
    span = nm.draw_range(sensitivity_sum, coverage_factor)
    target = nm.probability("eps", eps)
    log = nm.log_over(2.0, nm.probability("delta", delta))
    spread = np.maximum(span - 1, 0.0)
    guess = (2 * spread + (2 / 3) * np.maximum(spread, 1.0) * target) * log / target**2
    size = nm.least_integer(
        lambda m: bernstein_error(sensitivity_sum, m, delta, coverage_factor), guess, target
    )
    return nm.dead_is_free(span, size)


@register_bound
class Bernstein(Bound):
    """SP-3: Bernstein's inequality."""

    name, claim, title, knows = "bernstein", "SP-3", "Bernstein", "sum"
    takes_coverage = True

    def size(
        self, neuron: Neuron, eps: ArrayLike, delta: ArrayLike, limit: float = np.inf
    ) -> Float:
        """Least number of draws, by `bernstein_size`."""
        (total,) = self.known(neuron)
        return within(limit, bernstein_size(total, eps, delta, neuron.coverage_factor))

    def error(self, neuron: Neuron, m: ArrayLike, delta: ArrayLike) -> Float:
        """Error of m draws, by `bernstein_error`."""
        (total,) = self.known(neuron)
        return bernstein_error(total, m, delta, neuron.coverage_factor)


def heuristic_error(
    sensitivity_sum: ArrayLike,
    m: ArrayLike,
    delta: ArrayLike,
    neurons: ArrayLike,
    patches: ArrayLike = 1,
    coverage_factor: ArrayLike = 1.0,
) -> Float:
    """Error estimate that SiPP's public code ranks allocations with. Not a guarantee.

    f(m) = (1/2)(sqrt((a/3m)^2 + 6 a/(3m)) + a/(3m)), a = 2 C S_sum ln(8 (patches+1) k/delta): its
    variance term is half of what Bernstein's inequality needs.

    Args:
        sensitivity_sum: S_sum of one sign of one neuron, 0 or >= 1, any shape, no unit.
        m: number of draws with replacement, >= 0, broadcasts.
        delta: failure probability of the layer, in (0, 1).
        neurons: k, the neurons of the layer, >= 1.
        patches: patches per input of the layer (1 for a dense layer), >= 1.
        coverage_factor: C of the code, >= 1.

    Returns:
        float64 estimate, never to be shown as a bound; +inf for m = 0.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-3 (its heuristic variant). Source: [SP] arXiv 1910.05422, the authors' code.

    Example:
        >>> bool(heuristic_error(9.0, 1000, 0.05, 100) > 0)
        True
    """
    log = np.log(
        8
        * (nm.at_least("patches", patches, 1) + 1)
        * nm.at_least("neurons", neurons, 1)
        / nm.probability("delta", delta)
    )
    scale = 2 * nm.draw_range(sensitivity_sum, coverage_factor) * log
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(scale == 0, 0.0, scale / (3 * nm.at_least("m", m, 0.0)))
    return (0.5 * (np.sqrt(ratio**2 + 6 * ratio) + ratio))[()]

"""SP-1 to SP-4: how many draws with replacement sparsify one sign of one neuron.

A draw picks weight j with probability q_j = s_j / S_sum and contributes T = g_j / q_j, so on the
event g_j <= C s_j it lies in [0, M] with mean 1 and variance at most M - 1, where M = C S_sum.
Every bound here uses nothing but M; the instance-exact ones live in `cramer` and `exact`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory import _numeric as nm
from sipp_theory._numeric import Float

# CoreNet prints 8 where its own proof needs (6 + 2 eps)/3 (THEORY SP-3).
CORENET_CONSTANT = 8.0

# Guards the last bits of logarithms and square roots: far above float64 rounding, far below notice.
SLACK = 1.0 + 1e-14


def _range(sensitivity_sum: ArrayLike, coverage_factor: ArrayLike) -> Float:
    """M = C S_sum, the largest value of one draw on the coverage event; 0 for a dead neuron."""
    factor = nm.at_least("coverage_factor", coverage_factor, 1.0)
    return nm.sensitivity_sum(sensitivity_sum) * factor


def _draws(m: ArrayLike) -> Float:
    return nm.at_least("m", m, 0.0)


def _dead_is_free(span: Float, size: Float) -> Float:
    """A dead neuron (M = 0) needs no weight at all: both its sides are 0."""
    return np.where(span == 0, 0.0, size)[()]


def corenet_error(
    sensitivity_sum: ArrayLike,
    m: ArrayLike,
    delta: ArrayLike,
    eta: ArrayLike,
    eta_star: ArrayLike,
) -> Float:
    """Error that CoreNet's printed sample size promises for m draws.

    eps = sqrt(8 S K ln(8 eta/delta) / m), K = ln(eta eta*), with probability 1 - 3 delta/(8 eta).

    Args:
        sensitivity_sum: S_sum of one sign of one neuron, 0 or >= 1, any shape, no unit.
        m: number of draws with replacement, >= 0, broadcasts.
        delta: failure probability of the whole network, in (0, 1).
        eta: number of neurons of the network (layers 1..L), >= 1.
        eta_star: widest layer, the input width included, with eta * eta_star > 1.

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
    draws = _draws(m)
    with np.errstate(divide="ignore", invalid="ignore"):
        eps = np.sqrt(scale / draws) * SLACK
    return np.where(total == 0, 0.0, np.where(draws == 0, np.inf, nm.up(eps)))[()]


def _corenet_log(delta: ArrayLike, eta: ArrayLike, eta_star: ArrayLike) -> Float:
    """K ln(8 eta/delta) with K = ln(eta eta*)."""
    failure = nm.probability("delta", delta)
    neurons = nm.at_least("eta", eta, 1.0)
    widest = nm.at_least("eta_star", eta_star, 1.0)
    edges = neurons * widest
    if (edges <= 1).any():
        raise ValueError("eta * eta_star must exceed 1: CoreNet's K = ln(eta eta*) would be 0")
    return np.log(edges) * np.log(8 * neurons / failure)


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
        eta: number of neurons of the network (layers 1..L), >= 1.
        eta_star: widest layer, the input width included, with eta * eta_star > 1.

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
    return _dead_is_free(total, size)


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
    span = _range(sensitivity_sum, coverage_factor)
    log = np.log(2 / nm.probability("delta", delta))
    draws = _draws(m)
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
    span = _range(sensitivity_sum, coverage_factor)
    target = nm.probability("eps", eps)
    log = np.log(2 / nm.probability("delta", delta))
    spread = np.maximum(span - 1, 0.0)
    guess = (2 * spread + (2 / 3) * np.maximum(spread, 1.0) * target) * log / target**2
    size = nm.least_integer(
        lambda m: bernstein_error(sensitivity_sum, m, delta, coverage_factor), guess, target
    )
    return _dead_is_free(span, size)


def _excess(t: Float) -> Float:
    """Compute (1+t) ln(1+t) - t for t >= -1, accurate near 0 where the two terms cancel."""
    small = np.abs(t) < 0.05
    safe = np.where(small, 0.0, t)
    with np.errstate(divide="ignore", invalid="ignore"):
        direct = np.where(safe <= -1, 1.0, (1 + safe) * np.log1p(safe) - safe)
    # sum_{k>=2} (-t)^k / (k (k-1)); at |t| < .05 the 13th term is below 1e-17 of the first.
    x = np.where(small, -t, 0.0)
    series = np.zeros_like(x)
    for k in range(13, 1, -1):
        series = series * x + 1 / (k * (k - 1))
    return np.where(small, series * x**2, direct)


def bernoulli_divergence(span: Float, eps: Float) -> Float:
    """Compute the smaller of kl((1 +- eps) p || p) with p = 1/M; +inf where a side is impossible.

    Written as p h(e) + (1-p) h(-e p/(1-p)) with h(t) = (1+t) ln(1+t) - t, whose two terms are both
    positive, so nothing cancels for small eps.
    """
    rest = span - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        # p = 1/M and 1 - p = (M-1)/M: taken from M itself, no digit is lost as M falls to 1.
        upper = np.where(eps > rest, np.inf, _excess(eps) + rest * _excess(-eps / rest)) / span
        lower = (
            np.where(eps > 1, np.inf, _excess(-np.minimum(eps, 1.0)) + rest * _excess(eps / rest))
            / span
        )
    return np.where((rest <= 0) & (eps > 0), np.inf, np.minimum(upper, lower))


def kl_error(
    sensitivity_sum: ArrayLike, m: ArrayLike, delta: ArrayLike, coverage_factor: ArrayLike = 1.0
) -> Float:
    """Error that the Chernoff-Hoeffding bound promises for m draws.

    The least eps with m min(kl((1+eps)p||p), kl((1-eps)p||p)) >= ln(2/delta), p = 1/M, M = C S_sum.

    Args:
        sensitivity_sum: S_sum of one sign of one neuron, 0 or >= 1, any shape, no unit.
        m: number of draws with replacement, >= 0, broadcasts.
        delta: failure probability for this neuron and sign at one input, in (0, 1).
        coverage_factor: C with g_j <= C s_j; 1 on the calibration points themselves.

    Returns:
        float64 relative error, rounded up; at most max(M - 1, 1), the largest error possible;
        +inf for m = 0; 0 for a dead neuron or a single weight. Vacuous if >= 1.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-4. Source: Hoeffding 1963, Theorem 1, applied to [SP] arXiv 1910.05422.

    Example:
        >>> bool(kl_error(9.0, 6_000, 0.05) <= bernstein_error(9.0, 6_000, 0.05))
        True
    """
    span = _range(sensitivity_sum, coverage_factor)
    log = np.log(2 / nm.probability("delta", delta)) * SLACK
    span, log, draws = np.broadcast_arrays(span, log, _draws(m))
    live = np.where(span == 0, 1.0, span)
    # Beyond M - 1 above and 1 below, a deviation has probability 0: the bound holds trivially.
    high = np.maximum(live - 1, 1.0)
    used = np.maximum(draws, 1.0)
    eps = nm.bisect_up(
        lambda e: used * bernoulli_divergence(live, e) >= log, np.zeros_like(live), high
    )
    eps = np.where(live <= 1, 0.0, eps)
    return np.where(span == 0, 0.0, np.where(draws == 0, np.inf, eps))[()]


def kl_size(
    sensitivity_sum: ArrayLike, eps: ArrayLike, delta: ArrayLike, coverage_factor: ArrayLike = 1.0
) -> Float:
    """Number of draws by the Chernoff-Hoeffding bound; never more than Bernstein's.

    m = ceil(ln(2/delta) / min(kl((1+eps)p||p), kl((1-eps)p||p))), p = 1/M, M = C S_sum.

    Args:
        sensitivity_sum: S_sum of one sign of one neuron, 0 or >= 1, any shape, no unit.
        eps: relative error, in (0, 1), broadcasts.
        delta: failure probability for this neuron and sign at one input, in (0, 1).
        coverage_factor: C with g_j <= C s_j; 1 on the calibration points themselves.

    Returns:
        float64 whole number of draws; 0 for a dead neuron, 1 for a single weight.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-4. Source: Hoeffding 1963, Theorem 1, applied to [SP] arXiv 1910.05422.

    Example:
        >>> bool(kl_size(9.0, 0.1, 0.05) <= bernstein_size(9.0, 0.1, 0.05))
        True
    """
    span = _range(sensitivity_sum, coverage_factor)
    target = nm.probability("eps", eps)
    log = np.log(2 / nm.probability("delta", delta))
    live = np.where(span == 0, 1.0, span)
    guess = log / bernoulli_divergence(live, target)
    size = nm.least_integer(
        lambda m: kl_error(sensitivity_sum, m, delta, coverage_factor), guess, target
    )
    return _dead_is_free(span, size)


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
    scale = 2 * _range(sensitivity_sum, coverage_factor) * log
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(scale == 0, 0.0, scale / (3 * _draws(m)))
    return (0.5 * (np.sqrt(ratio**2 + 6 * ratio) + ratio))[()]

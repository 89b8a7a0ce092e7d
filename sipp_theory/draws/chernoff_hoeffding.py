"""SP-4: the number of draws by Chernoff's bound, as sharp as the range M of a draw alone allows.

Hoeffding's Theorem 1: among laws on [0, M] with mean 1 the coin that pays M with chance p = 1/M has
the heaviest tails, so the exponent is the divergence of two coins. The function h of `excess` is
the same exponent in the Poisson limit, which independent inclusion (SP-8) needs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bernstein import SLACK
from sipp_theory.draws.bound import Bound, Neuron, register_bound, within
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float


def excess(t: Float) -> Float:
    """Compute (1+t) ln(1+t) - t for t >= -1, accurate near 0 where the two terms cancel.

    Example:
        >>> excess(np.array([-1.0, 0.0, 1.0])).round(6).tolist()
        [1.0, 0.0, 0.386294]
    """
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

    Shapes: M >= 1 and eps broadcast; returns nats, >= 0, +inf allowed.

    Claim: SP-4. Source: Hoeffding 1963, Theorem 1.

    Example:
        >>> bernoulli_divergence(np.array([1.0, 2.0]), np.array([0.5, 1.0])).round(6).tolist()
        [inf, 0.693147]
    """
    rest = span - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        # p = 1/M and 1 - p = (M-1)/M: taken from M itself, no digit is lost as M falls to 1.
        upper = np.where(eps > rest, np.inf, excess(eps) + rest * excess(-eps / rest)) / span
        lower = (
            np.where(eps > 1, np.inf, excess(-np.minimum(eps, 1.0)) + rest * excess(eps / rest))
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
        >>> from sipp_theory.draws.bernstein import bernstein_error
        >>> bool(kl_error(9.0, 6_000, 0.05) <= bernstein_error(9.0, 6_000, 0.05))
        True
    """
    span = nm.draw_range(sensitivity_sum, coverage_factor)
    log = nm.log_over(2.0, nm.probability("delta", delta)) * SLACK
    span, log, draws = np.broadcast_arrays(span, log, nm.at_least("m", m, 0.0))
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
        >>> from sipp_theory.draws.bernstein import bernstein_size
        >>> bool(kl_size(9.0, 0.1, 0.05) <= bernstein_size(9.0, 0.1, 0.05))
        True
    """
    span = nm.draw_range(sensitivity_sum, coverage_factor)
    target = nm.probability("eps", eps)
    log = nm.log_over(2.0, nm.probability("delta", delta))
    live = np.where(span == 0, 1.0, span)
    guess = log / bernoulli_divergence(live, target)
    size = nm.least_integer(
        lambda m: kl_error(sensitivity_sum, m, delta, coverage_factor), guess, target
    )
    return nm.dead_is_free(span, size)


@register_bound
class ChernoffHoeffding(Bound):
    """SP-4: Chernoff's bound for the worst law that has the range of a draw."""

    name, claim, title, knows = "kl", "SP-4", "Chernoff–Hoeffding", "sum"
    takes_coverage = True

    def size(
        self, neuron: Neuron, eps: ArrayLike, delta: ArrayLike, limit: float = np.inf
    ) -> Float:
        """Least number of draws, by `kl_size`."""
        (total,) = self.known(neuron)
        return within(limit, kl_size(total, eps, delta, neuron.coverage_factor))

    def error(self, neuron: Neuron, m: ArrayLike, delta: ArrayLike) -> Float:
        """Error of m draws, by `kl_error`."""
        (total,) = self.known(neuron)
        return kl_error(total, m, delta, neuron.coverage_factor)

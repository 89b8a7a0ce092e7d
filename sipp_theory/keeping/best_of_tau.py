"""CoreNet+ and CoreNet++ (SP-10): dead neurons, and the best of several candidates.

What best-of-tau proves is a mean over the set it was chosen on. For an input outside that set the
choice may even hurt: there are instances where the best candidate fails nearly tau times as often
as a single one, so the union bound is all that is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float

MARKOV_FACTOR = 10.0 / 9.0


@dataclass(frozen=True)
class BestOfTau:
    """What the best of tau candidates guarantees on the set T it was chosen on.

    Attributes:
        mean_error: float64 array, bound on its mean relative error over T, rounded up.
        failure: float64 array, probability over the draws that this fails, rounded up.

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet++), statement [OWN].
    """

    mean_error: Float
    failure: Float


def candidates(delta: ArrayLike) -> Float:
    """Number of candidates that CoreNet++ draws for each neuron and sign.

    tau = ceil(ln(4/delta)/ln(10/9)), the least tau with (9/10)^tau <= delta/4.

    Args:
        delta: failure probability, in (0, 1); any shape.

    Returns:
        float64 array of whole numbers >= 1.

    Raises:
        ValueError: delta outside (0, 1).

    Claim: SP-10. Source: [CN] arXiv 1804.05345.

    Example:
        >>> float(candidates(0.05))
        42.0
    """
    share = numeric.probability("delta", delta)
    log_ratio = np.log(4.0) - np.log(share)
    return np.ceil(numeric.up(numeric.up(log_ratio / -np.log(0.9))))[()]


def mean_error_bound(shares: ArrayLike, probabilities: ArrayLike, m: ArrayLike) -> Float:
    """Bound on the expected mean relative error over T of one candidate, exact in its variances.

    E mean_x |z^/z - 1| <= mean_x sqrt((sum_j g_j^2/q_j - a^2)/m + (1-a)^2), where a(x) is the share
    of the weights with q_j > 0 (1 - a is the bias of what can never be drawn). Rows with z = 0
    count 0. Nothing is assumed: the shares are those of T itself.

    Args:
        shares: (n, k) real in [0, 1], no unit, of one sign of a neuron on T, n >= 1.
        probabilities: (k,) real in [0, 1] with sum 1 to 1e-6, the sampling law q.
        m: number of draws, whole, >= 1; any shape.

    Returns:
        float64 array of m's shape, relative error, rounded up.

    Raises:
        ValueError: wrong shapes or values out of range.

    Claim: SP-10. Source: [OWN].

    Example:
        >>> round(float(mean_error_bound([[0.5, 0.5], [1.0, 0.0]], [0.5, 0.5], 4)), 6)
        0.25
    """
    values = numeric.at_least("shares", shares, 0.0)
    law = numeric.at_least("probabilities", probabilities, 0.0)
    draws = numeric.integer_at_least("m", m, 1)
    if values.ndim != 2 or values.shape[0] == 0 or law.shape != values.shape[1:]:
        raise ValueError(
            f"shares must be (n, k), probabilities (k,); found {values.shape}, {law.shape}"
        )
    if abs(law.sum() - 1) > 1e-6:
        raise ValueError(f"probabilities must sum to 1; found {float(law.sum())!r}")
    drawn = law > 0
    reachable = values[:, drawn].sum(axis=1)
    second = (values[:, drawn] ** 2 / law[drawn]).sum(axis=1)
    # A law that sums to 1 +- 1e-6 and shares that are rounded: charge the cancellation.
    charge = 8 * (values.shape[1] + 4) * np.finfo(np.float64).eps
    variance = np.maximum(second - reachable**2, 0.0) + charge * second
    bias = np.where(values.sum(axis=1) > 0, np.maximum(1.0 - reachable, 0.0), 0.0)
    root = np.sqrt(variance / draws[..., None] + bias**2)
    return numeric.up(root.mean(axis=-1) * (1 + charge))[()]


def best_of_tau(
    sensitivity_sum: ArrayLike,
    m: ArrayLike,
    tau: ArrayLike,
    coverage_factor: ArrayLike = 1.0,
    factor: ArrayLike = MARKOV_FACTOR,
) -> BestOfTau:
    """What the best of tau independent candidates promises on the set T it is chosen on.

    If g_j(x) <= C s_j for all x in T, each candidate has E mean_T |z^/z - 1| <= sqrt((M-1)/m), M =
    C S_sum (Jensen and SP-1). By Markov it exceeds lam times that with probability < 1/lam, so the
    best of tau does with probability at most lam^-tau. This is a statement about the mean over T
    and no other input; for those see selected_violation.

    Args:
        sensitivity_sum: S_sum, 0 or >= 1, no unit; any shape.
        m: draws per candidate, whole, >= 1; broadcasts.
        tau: number of candidates, whole, >= 1; broadcasts.
        coverage_factor: C >= 1 that holds on T (T subset of S: 1); broadcasts.
        factor: lam > 1 of Markov's inequality; CoreNet++ takes 10/9.

    Returns:
        BestOfTau(mean_error, failure), float64 arrays of the broadcast shape.

    Raises:
        ValueError: a value out of range.

    Claim: SP-10. Source: [CN] arXiv 1804.05345; derived [OWN].

    Example:
        >>> promise = best_of_tau(9.0, 800, candidates(0.04))
        >>> round(float(promise.mean_error), 4), float(promise.failure) <= 0.01
        (0.1111, True)
    """
    total = numeric.sensitivity_sum(sensitivity_sum)
    draws = numeric.integer_at_least("m", m, 1)
    number = numeric.integer_at_least("tau", tau, 1)
    cover = numeric.at_least("coverage_factor", coverage_factor, 1.0)
    times = binomial.positive("factor", factor)
    if (times <= 1).any():
        raise ValueError(f"factor must be above 1; found {float(times.min())!r}")
    expected = np.sqrt(np.maximum(cover * total - 1.0, 0.0) / draws)
    error = times * expected * (1 + 1e-15)
    failure = np.minimum(np.exp(-number * np.log(times)) * (1 + 1e-13), 1.0)
    error, failure = np.broadcast_arrays(error, failure)
    return BestOfTau(error[()], failure[()])


def selected_violation(tau: ArrayLike, delta_single: ArrayLike) -> Float:
    """Failure probability of the selected candidate at a fixed input outside the selection set.

    min(1, tau delta): some candidate fails at x with at most that probability, and nothing better
    holds for all instances. Amplification therefore costs ln tau in the sample size, not less.

    Args:
        tau: number of candidates, whole, >= 1; any shape.
        delta_single: failure probability of one candidate at that input, in (0, 1); broadcasts.

    Returns:
        float64 array, a probability, rounded up; 1 is vacuous.

    Raises:
        ValueError: a value out of range.

    Claim: SP-10. Source: [OWN].

    Example:
        >>> round(float(selected_violation(42, 0.001)), 6)
        0.042
    """
    number = numeric.integer_at_least("tau", tau, 1)
    share = numeric.probability("delta_single", delta_single)
    product = number * share
    return np.minimum(np.where(number == 1, share, numeric.up(product)), 1.0)[()]


def dead_neuron_violation(points: ArrayLike, beta: ArrayLike, neurons: ArrayLike = 1) -> Float:
    """How often a neuron that was dead on all of S, and removed, may be alive elsewhere.

    With confidence 1 - beta over i.i.d. S, every one of `neurons` candidates that is dead on S has
    Pr_x(a_i(x) > 0) <= e, with neurons (1-e)^n = beta. For one removed neuron and S and x together
    the probability is at most 1/(n+1): exchangeable_violation. CoreNet+ is exact on S only.

    Args:
        points: n = |S|, i.i.d. inputs, whole, >= 0; any shape.
        beta: 1 - confidence, in (0, 1); broadcasts.
        neurons: number of neurons that were looked at (not only those removed), whole, >= 1.

    Returns:
        float64 array, a probability, rounded up; 1 where there are no points.

    Raises:
        ValueError: a value out of range.

    Claim: SP-10. Source: [CN] arXiv 1804.05345; derived [OWN].

    Example:
        >>> round(float(dead_neuron_violation(1000, 0.05)), 5)
        0.00299
    """
    n = numeric.integer_at_least("points", points, 0)
    share = numeric.probability("beta", beta)
    number = numeric.integer_at_least("neurons", neurons, 1)
    alone = np.where(number == 1, share, numeric.down(share / number))
    return binomial.rate_above(np.zeros(()), n, alone)[()]

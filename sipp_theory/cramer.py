"""SP-5: the sample size by Cramer's bound, exact for the given inputs up to the Chernoff step.

Every step is safe at any tilt mu: P(z^/z - 1 > eps) <= exp(-m (mu eps - K(mu))) holds for all
mu > 0, so a search for the best mu that stops early costs tightness, never truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory import _numeric as nm
from sipp_theory._numeric import Float
from sipp_theory.laws import (
    Instance,
    LogMgf,
    draw_moments,
    draws_instance,
    draws_log_mgf,
)

NEWTON_STEPS = 60


def inverse_rate(log_mgf: LogMgf, variance: Float, exponent: Float, largest: Float) -> Float:
    """Least eps that the Chernoff bound promises at exp(-exponent) on one side, per input.

    eps = inf over mu > 0 of (K(mu) + y)/mu, the inverse of the Legendre transform of K at y; at
    the optimum mu K'(mu) - K(mu) = y. A deviation past `largest` is impossible, so it caps eps.

    Args:
        log_mgf: K, K', K'' at mu (n,), centred.
        variance: (n,) K''(0), to start from.
        exponent: (n,) y > 0, dimensionless.
        largest: (n,) largest deviation possible on this side.

    Returns:
        (n,) float64 error, >= 0, rounded up.

    Claim: SP-5. Source: Cramer 1938; Boucheron, Lugosi, Massart 2013, section 2.2.

    Example:
        >>> from sipp_theory.laws import draws_instance, draws_log_mgf
        >>> law = draws_log_mgf(draws_instance([[1.0, 0.0]], [0.5, 0.5]), 1.0)
        >>> eps = inverse_rate(law, np.ones(1), np.full(1, 0.02), np.ones(1))
        >>> bool(0.19 < eps[0] < 0.2)
        True
    """
    best = largest.astype(np.float64)
    flat = variance <= 0
    mu = np.sqrt(2 * exponent / np.where(flat, 1.0, variance))
    low, high = np.zeros_like(mu), np.full_like(mu, np.inf)
    for _ in range(NEWTON_STEPS):
        k, first, second = log_mgf(mu)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            best = np.fmin(best, (k + exponent) / mu)
            residual = mu * first - k - exponent
            step = residual / (mu * second)
        low = np.where(residual < 0, mu, low)
        high = np.where(residual < 0, high, mu)
        # At a relative 1e-6 from the optimum the value is off by a relative 1e-12.
        settled = ~(np.abs(step) > 1e-6 * mu) | (high - low <= 1e-9 * mu) | (mu > 1e12)
        if settled.all():
            break
        proposal = mu - np.where(np.isfinite(step), step, 0.0)
        inside = (proposal > low) & (proposal < high)
        fallback = np.where(np.isfinite(high), (low + high) / 2, 2 * mu)
        mu = np.where(settled, mu, np.where(inside, proposal, fallback))
    # The last term is what rounding leaves of a mean that is 0.
    return np.where(flat, 0.0, nm.up(best * (1 + 1e-12) + 1e-16))


def cramer_row_errors(instance: Instance, m: float, delta: float) -> Float:
    """Error promised at each input for m draws, by Cramer's bound with delta/2 a side.

    Args:
        instance: shares (n, k) with draw probabilities.
        m: number of draws, >= 1.
        delta: failure probability at one input, in (0, 1).

    Returns:
        (n,) float64 relative errors, rounded up.

    Claim: SP-5. Source: Cramer 1938; [OWN] in this use.

    Example:
        >>> from sipp_theory.laws import draws_instance
        >>> errors = cramer_row_errors(draws_instance([[1.0, 0.0]], [0.5, 0.5]), 400, 0.05)
        >>> bool(0.1 < errors[0] < 0.15)
        True
    """
    variance, _ = draw_moments(instance)
    exponent = np.full_like(variance, np.log(2 / delta) / m)
    deviation = instance.shares / instance.probabilities - 1
    # Rows that are constant up to rounding carry no error; their variance is rounding dust.
    variance = np.where(np.abs(deviation).max(axis=1, initial=0.0) < 1e-13, 0.0, variance)
    upper = inverse_rate(
        draws_log_mgf(instance, 1.0), variance, exponent, deviation.max(axis=1, initial=0.0)
    )
    lower = inverse_rate(
        draws_log_mgf(instance, -1.0), variance, exponent, (-deviation).max(axis=1, initial=0.0)
    )
    return np.maximum(upper, lower)


def bernstein_row_errors(instance: Instance, m: float, delta: float) -> Float:
    """Error promised at each input for m draws by Bernstein with the input's own variance.

    Args:
        instance: shares (n, k) with draw probabilities.
        m: number of draws, >= 1.
        delta: failure probability at one input, in (0, 1).

    Returns:
        (n,) float64 relative errors, rounded up; never below Cramer's. Used to skip inputs.

    Claim: SP-3 (per input). Source: Bernstein 1946.

    Example:
        >>> from sipp_theory.laws import draws_instance
        >>> errors = bernstein_row_errors(draws_instance([[1.0, 0.0]], [0.5, 0.5]), 400, 0.05)
        >>> bool(0.13 < errors[0] < 0.15)
        True
    """
    variance, largest = draw_moments(instance)
    log = np.log(2 / delta)
    linear = largest * log / 3
    return nm.up((linear + np.sqrt(linear**2 + 2 * variance * log * m)) / m * (1 + 1e-12))


def worst_error(
    instance: Instance, screen: Float, row_errors: Callable[[Instance, float], Float], floor: float
) -> tuple[float, int]:
    """Find the largest error over the inputs, looking only at those that a screen does not clear.

    Args:
        instance: shares (n, k) with probabilities.
        screen: (n,) upper bounds of the errors, cheap ones.
        row_errors: errors of the inputs of a part of the instance; those that are surely at most
            its second argument may be answered by any upper bound that is at most it.
        floor: errors up to here are of no interest.

    Returns:
        (the largest error or floor, its input or -1).

    Claim: none (plumbing).

    Example:
        >>> from sipp_theory.laws import draws_instance
        >>> law = draws_instance([[1.0, 0.0], [0.5, 0.5]], [0.5, 0.5])
        >>> worst_error(law, np.array([0.3, 0.1]), lambda part, floor: np.full(1, 0.2), 0.15)
        (0.2, 0)
    """
    order = np.argsort(-screen, kind="stable")
    worst, where, start, width = floor, -1, 0, 1
    while start < order.size and screen[order[start]] > worst:
        rows = order[start : start + width]
        errors = row_errors(Instance(instance.shares[rows], instance.probabilities), worst)
        if errors.max() > worst:
            worst, where = float(errors.max()), int(rows[errors.argmax()])
        start, width = start + width, min(2 * width + 6, 256)
    return worst, where


def search_rows(
    failing: Callable[[float], int], solve: Callable[[int, float], float], start: float
) -> float:
    """Least size that holds at every input, one input's search at a time.

    Args:
        failing: an input at which a size fails, or -1.
        solve: least size above a failing one that holds at an input.
        start: size to begin with.

    Returns:
        A size at which no input fails and that some input needs, or +inf.

    Claim: none (plumbing).

    Example:
        >>> needs = [3.0, 5.0]
        >>> search_rows(lambda m: next((i for i, n in enumerate(needs) if m < n), -1),
        ...             lambda row, m: needs[row], 1.0)
        5.0
    """
    size = start
    while np.isfinite(size) and (row := failing(size)) >= 0:
        size = solve(row, size)
    return size


def _worst_cramer(
    instance: Instance, m: float, delta: float, floor: float = 0.0
) -> tuple[float, int]:
    screen = bernstein_row_errors(instance, m, delta)
    return worst_error(instance, screen, lambda part, _: cramer_row_errors(part, m, delta), floor)


def one_number(name: str, value: Float) -> float:
    """Take a checked argument as one number; an instance-exact bound answers one question a call.

    Args:
        name: what to call it.
        value: float64, hopefully of no dimension.

    Returns:
        The number.

    Raises:
        ValueError: an array.

    Claim: none (plumbing).

    Example:
        >>> one_number("eps", np.array(0.5))
        0.5
    """
    if value.ndim:
        raise ValueError(f"{name} must be one number here; found an array of shape {value.shape}")
    return float(value)


def cramer_error(
    shares: ArrayLike, probabilities: ArrayLike, m: ArrayLike, delta: ArrayLike
) -> np.float64:
    """Error that Cramer's bound promises for m draws, at the worst of the given inputs.

    max over x of the least eps with m min(I_x(1+eps), I_x(1-eps)) >= ln(2/delta), I_x the Legendre
    transform of ln sum_j q_j exp(lam g_j(x)/q_j).

    Args:
        shares: (n, k) or (k,) g_j(x) in [0, 1]; each row adds up to 1 or is all 0.
        probabilities: (k,) q_j >= 0 that add up to 1, positive wherever a share is.
        m: number of draws with replacement, >= 0.
        delta: failure probability at one input, in (0, 1).

    Returns:
        float64 relative error, rounded up; +inf for m = 0 with a live input; 0 with none.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-5. Source: Cramer 1938; [OWN] in this use.

    Example:
        >>> bool(cramer_error([[1.0, 0.0], [0.5, 0.5]], [0.5, 0.5], 400, 0.05) < 0.14)
        True
    """
    failure = one_number("delta", nm.probability("delta", delta))
    draws = one_number("m", nm.at_least("m", m, 0.0))
    instance = draws_instance(shares, probabilities)
    if instance.shares.size == 0:
        return np.float64(0.0)
    if draws == 0:
        return np.float64(np.inf)
    return np.float64(_worst_cramer(instance, draws, failure)[0])


def cramer_size(
    shares: ArrayLike,
    probabilities: ArrayLike,
    eps: ArrayLike,
    delta: ArrayLike,
    limit: float = np.inf,
) -> np.float64:
    """Number of draws by Cramer's bound, for the worst of the given inputs.

    m = max over x of ln(2/delta) / min(I_x(1+eps), I_x(1-eps)), rounded up; never more than SP-4
    at coverage factor 1 on these inputs.

    Args:
        shares: (n, k) or (k,) g_j(x) in [0, 1]; each row adds up to 1 or is all 0.
        probabilities: (k,) q_j >= 0 that add up to 1, positive wherever a share is.
        eps: relative error, in (0, 1).
        delta: failure probability at one input, in (0, 1).
        limit: whole number past which a size is of no use; one look tells that it is passed.

    Returns:
        float64 whole number of draws; +inf where limit is not enough; 0 when no input is live.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-5. Source: Cramer 1938; [OWN] in this use.

    Example:
        >>> float(cramer_size([[1.0, 0.0], [0.5, 0.5]], [0.5, 0.5], 0.5, 0.05))
        29.0
    """
    target = one_number("eps", nm.probability("eps", eps))
    failure = one_number("delta", nm.probability("delta", delta))
    instance = draws_instance(shares, probabilities)
    if instance.shares.size == 0:
        return np.float64(0.0)
    if np.isfinite(limit) and (
        limit < 1 or _worst_cramer(instance, limit, failure, target)[1] >= 0
    ):
        return np.float64(np.inf)

    def solve(row: int, low: float) -> float:
        one = Instance(instance.shares[row : row + 1], instance.probabilities)
        enough = bernstein_start(one, target, failure)
        return nm.search_integer(
            lambda m: float(cramer_row_errors(one, m, failure)[0]), target, enough, low
        )

    return np.float64(
        search_rows(lambda m: _worst_cramer(instance, m, failure, target)[1], solve, 1.0)
    )


def bernstein_start(instance: Instance, eps: float, delta: float) -> float:
    """Size that Bernstein asks for with each input's own variance: where searches start.

    Args:
        instance: shares (n, k) with draw probabilities, n >= 1.
        eps: relative error, in (0, 1).
        delta: failure probability at one input, in (0, 1).

    Returns:
        A whole number of draws, never below what Cramer's bound asks for.

    Claim: SP-3 (per input). Source: Bernstein 1946.

    Example:
        >>> from sipp_theory.laws import draws_instance
        >>> bernstein_start(draws_instance([[1.0, 0.0]], [0.5, 0.5]), 0.5, 0.05)
        36.0
    """
    variance, largest = draw_moments(instance)
    needed = (2 * variance + 2 / 3 * largest * eps) * np.log(2 / delta) / eps**2
    return float(np.ceil(needed.max() + 1))

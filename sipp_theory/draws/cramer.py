"""SP-5: the sample size by Cramer's bound, exact for the given inputs up to the Chernoff step.

Every step is safe at any tilt mu: P(z^/z - 1 > eps) <= exp(-m (mu eps - K(mu))) holds for all
mu > 0, so a search for the best mu that stops early costs tightness, never truth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bound import Bound, Neuron, register_bound
from sipp_theory.draws.law_of_a_draw import (
    Instance,
    LogMgf,
    draw_moments,
    draws_instance,
    draws_log_mgf,
)
from sipp_theory.draws.worst_input import (
    bernstein_row_errors,
    bernstein_start,
    one_number,
    search_rows,
    worst_error,
)
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

NEWTON_STEPS = 60


def inverse_rate(log_mgf: LogMgf, variance: Float, exponent: Float, largest: Float) -> Float:
    """Least eps that the Chernoff bound promises at exp(-exponent) on one side, per input.

    eps = inf over mu > 0 of (K(mu) + y)/mu, the inverse of the Legendre transform of K at y; at
    the optimum mu K'(mu) - K(mu) = y. A deviation past `largest` is impossible, so it caps eps.

    Shapes: variance (n,), exponent (n,), largest (n,); returns (n,) float64.

    Claim: SP-5. Source: Cramer 1938; Boucheron, Lugosi, Massart 2013, section 2.2.

    Example:
        >>> from sipp_theory.draws.law_of_a_draw import draws_instance, draws_log_mgf
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

    Shapes: returns (n,) float64.

    Claim: SP-5. Source: Cramer 1938; [OWN] in this use.
    """
    variance, _ = draw_moments(instance)
    exponent = np.full_like(variance, nm.log_over(2.0, delta) / m)
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


# Instances of fewer numbers are searched without compiled loops, which take time to load.
FEW = 2**12


class _Rows:
    """What four moments of each input's law say at once of any number of draws."""

    def __init__(self, instance: Instance, delta: float) -> None:
        from sipp_theory.inclusion import draw_bounds  # here: a compiler takes its time to load

        self.loops, self.delta, self.y = draw_bounds, delta, float(nm.log_over(2.0, delta))
        self.law = np.ascontiguousarray(instance.shares.T), instance.probabilities
        self.sums = draw_bounds.row_sums(*self.law)

    def enough(self, eps: float) -> Float:
        """Draws that are enough at each input, (n,)."""
        return self.loops.enough(self.sums, self.law[1], eps, self.y)

    def least(self, eps: float) -> tuple[float, int]:
        """Draws that Cramer's bound asks for, and the input that asks for them: a proposal."""
        draws, row = self.loops.least_draws(*self.law, self.sums, self.enough(eps), eps, self.y)
        return max(1.0, float(np.ceil(draws))), int(row)


def _rows_of(instance: Instance, delta: float) -> _Rows | None:
    return _Rows(instance, delta) if instance.shares.size >= FEW else None


def _worst_cramer(
    instance: Instance, m: float, delta: float, floor: float = 0.0, rows: _Rows | None = None
) -> tuple[float, int]:
    screen = bernstein_row_errors(instance, m, delta)
    still = None if rows is None else lambda worst: ~(rows.enough(worst) <= m)
    return worst_error(
        instance, screen, lambda part, _: cramer_row_errors(part, m, delta), floor, still
    )


def _fails(instance: Instance, row: int, m: float, delta: float, eps: float) -> bool:
    """Whether one input's error is more than eps."""
    one = Instance(instance.shares[row : row + 1], instance.probabilities)
    return float(cramer_row_errors(one, m, delta)[0]) > eps


def _confirmed(
    instance: Instance, rows: _Rows, eps: float, delta: float, limit: float
) -> float | None:
    """Size that the loops propose, if the errors that are promised say the same; else None.

    They fall as draws are added, so a size is the least if its errors hold and one draw less fails.
    """
    size, row = rows.least(eps)
    if not size < nm.LARGEST_EXACT:
        return None
    if size > limit:
        return np.inf if row >= 0 and _fails(instance, row, limit, delta, eps) else None
    if size > 1 and not (row >= 0 and _fails(instance, row, size - 1, delta, eps)):
        return None
    open_ = np.flatnonzero(~(rows.enough(eps) <= size))
    part = Instance(instance.shares[open_], instance.probabilities)
    return None if open_.size and _worst_cramer(part, size, delta, eps)[1] >= 0 else size


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
    rows = _rows_of(instance, failure)
    return np.float64(_worst_cramer(instance, draws, failure, rows=rows)[0])


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
    if limit < 1:
        return np.float64(np.inf)
    rows = _rows_of(instance, failure)
    size = None if rows is None else _confirmed(instance, rows, target, failure, limit)
    if size is not None:
        return np.float64(size)
    if np.isfinite(limit) and _worst_cramer(instance, limit, failure, target)[1] >= 0:
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


@register_bound
class Cramer(Bound):
    """SP-5: Cramer's bound at the given inputs."""

    name, claim, title, knows = "cramer", "SP-5", "Cramér", "shares"

    def size(
        self, neuron: Neuron, eps: ArrayLike, delta: ArrayLike, limit: float = np.inf
    ) -> np.float64:
        """Least number of draws, by `cramer_size`."""
        shares, probabilities = self.known(neuron)
        return cramer_size(shares, probabilities, eps, delta, limit)

    def error(self, neuron: Neuron, m: ArrayLike, delta: ArrayLike) -> np.float64:
        """Error of m draws, by `cramer_error`."""
        shares, probabilities = self.known(neuron)
        return cramer_error(shares, probabilities, m, delta)

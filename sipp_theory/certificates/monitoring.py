"""Anytime-valid monitoring of a violation rate (CT-4): look as often as you like.

A beta-binomial mixture of likelihood ratios against delta. Truncated to rates above delta it is a
supermartingale for every rate up to delta: with ratio q/delta on a violation and (1-q)/(1-delta)
otherwise, its conditional mean under rate p is linear in p with slope
q/delta - (1-q)/(1-delta) >= 0 for q >= delta, and is 1 at p = delta. Untruncated, the part of the
mixture below delta grows when p < delta: evidence against p = delta, not against p <= delta.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import binomial, special
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float

EPSILON = float(np.finfo(np.float64).eps)
SMALLEST_TAIL = 1e-280  # scipy's incomplete beta keeps its digits down to here


def _prior(prior: tuple[float, float]) -> tuple[Float, Float]:
    if len(prior) != 2:
        raise ValueError(f"prior must be two numbers; found {prior!r}")
    return binomial.positive("prior", prior[0]), binomial.positive("prior", prior[1])


def log_e_value(
    violations: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
    alternative: Literal["above", "below"] = "above",
    prior: tuple[float, float] = (1.0, 1.0),
) -> Float:
    """Natural logarithm of e_value, for monitoring that runs past float64's range.

    Args:
        violations: k, whole, 0 <= k <= n; any shape.
        n: number of points so far, whole, >= 0; broadcasts.
        delta: the rate under test, in (0, 1); broadcasts.
        alternative: "above" or "below", see e_value.
        prior: (a, b) > 0 of the beta law that is truncated and mixed over.

    Returns:
        float64 array, in nats, rounded down; -inf where the evidence underflows.

    Raises:
        ValueError: a value out of range, an unknown alternative.

    Claim: CT-4. Source: [OWN]; Robbins (1970), method of mixtures.

    Example:
        >>> float(log_e_value(9000, 10000, 0.05)) > 700
        True
    """
    if alternative not in ("above", "below"):
        raise ValueError(f"alternative must be 'above' or 'below'; found {alternative!r}")
    k, trials = binomial.counts(violations, n)
    rate = numeric.probability("delta", delta)
    a, b = _prior(prior)
    above = alternative == "above"
    with np.errstate(divide="ignore"):
        parts = [
            special.betaln(a + k, b + trials - k),
            _log_tail(a + k, b + trials - k, rate, above),
            -special.betaln(a, b),
            -_log_tail(a, b, rate, above),
            -special.xlogy(k, rate),
            -special.xlog1py(trials - k, -rate),
        ]
    slack = binomial.log_slack(a + k, b + trials - k, parts)
    return np.where(trials == 0, 0.0, sum(parts, np.zeros(())) - slack)[()]


def _log_tail(a: Float, b: Float, rate: Float, above: bool) -> Float:
    """Log of the chance of a beta law above or below a rate, where it underflows too.

    There I_x(a, b) = x^a (1-x)^b/(a B(a, b)) sum_n prod_{i < n} x (a+b+i)/(a+1+i), all terms of one
    sign and falling.
    """
    a, b, rate = (np.asarray(value, np.float64) for value in np.broadcast_arrays(a, b, rate))
    direct = (special.betaincc if above else special.betainc)(a, b, rate)
    small = direct < SMALLEST_TAIL
    result = np.array(np.log(np.where(small, 1.0, direct)))
    if small.any():
        first, second = (b[small], a[small]) if above else (a[small], b[small])
        logs = np.log(rate[small]), np.log1p(-rate[small])
        near, far = logs[::-1] if above else logs
        term, total, step = np.ones(first.shape), np.ones(first.shape), 0
        while (term > 1e-17 * total).any():
            term = term * np.exp(near) * (first + second + step) / (first + 1 + step)
            total, step = total + term, step + 1
        scale = first * near + second * far - np.log(first) - special.betaln(first, second)
        result[small] = scale + np.log(total)
    return result


def e_value(
    violations: ArrayLike,
    n: ArrayLike,
    delta: ArrayLike,
    alternative: Literal["above", "below"] = "above",
    prior: tuple[float, float] = (1.0, 1.0),
) -> Float:
    """Evidence against a rate of at most (at least) delta, valid at any time of looking.

    E = int q^k (1-q)^(n-k) dpi(q) / (delta^k (1-delta)^(n-k)), pi a beta law truncated to q > delta
    ("above": evidence against p <= delta) or to q < delta ("below": evidence against p >= delta).
    A supermartingale under that null, also when each point's rate depends on the past, so
    Pr(E ever reaches 1/alpha) <= alpha.

    Args:
        violations: k, whole, 0 <= k <= n; any shape.
        n: number of points so far, whole, >= 0; broadcasts.
        delta: the rate under test, in (0, 1); broadcasts.
        alternative: "above" to raise an alarm, "below" to give the all-clear.
        prior: (a, b) > 0 of the beta law that is truncated and mixed over.

    Returns:
        float64 array >= 0, no unit, rounded down; at most the largest float64.

    Raises:
        ValueError: a value out of range, an unknown alternative.

    Claim: CT-4. Source: [OWN]; Robbins (1970), method of mixtures.

    Example:
        >>> bool(e_value(20, 100, 0.05) > 100), bool(e_value(0, 100, 0.05, "below") > 20)
        (True, True)
    """
    log = np.asarray(log_e_value(violations, n, delta, alternative, prior))
    largest = np.log(np.finfo(np.float64).max)
    value = np.exp(np.minimum(log, largest - 1e-9)) * (1 - 4 * EPSILON)
    return np.where(np.asarray(n) == 0, 1.0, value)[()]


def _log_mixture(rate: Float, k: Float, n: Float, a: Float, b: Float) -> Float:
    """Log of the untruncated mixture against a rate, rounded down."""
    parts = [
        special.betaln(a + k, b + n - k),
        -special.betaln(a, b),
        -special.xlogy(k, rate),
        -special.xlog1py(n - k, -rate),
    ]
    return sum(parts, np.zeros(())) - binomial.log_slack(a + k, b + n - k, parts)


def confidence_sequence(
    violations: ArrayLike,
    n: ArrayLike,
    confidence: ArrayLike,
    prior: tuple[float, float] = (1.0, 1.0),
) -> tuple[Float, Float]:
    """Interval for a violation rate that holds at all times at once.

    {p : B(a+k, b+n-k)/(B(a,b) p^k (1-p)^(n-k)) < 1/alpha}. For each p this is a martingale under p,
    so with the given confidence the rate lies in the intervals of all n (Ville); so does their
    intersection.

    Args:
        violations: k, whole, 0 <= k <= n; any shape.
        n: number of i.i.d. points so far, whole, >= 0; broadcasts.
        confidence: 1 - alpha, in (0, 1); broadcasts.
        prior: (a, b) > 0 of the beta law that is mixed over.

    Returns:
        (low, high), float64 arrays of probabilities, rounded outwards; (0, 1) where n = 0.

    Raises:
        ValueError: a value out of range.

    Claim: CT-4. Source: Robbins (1970), method of mixtures; Ville (1939).

    Example:
        >>> low, high = confidence_sequence(10, 100, 0.95)
        >>> round(float(low), 3), round(float(high), 3)
        (0.029, 0.228)
    """
    k, trials = binomial.counts(violations, n)
    alpha = binomial.significance(confidence)
    k, trials, alpha = np.broadcast_arrays(k, trials, alpha)
    a, b = _prior(prior)
    limit = -np.log(alpha)
    centre = np.divide(k, trials, out=np.full(k.shape, 0.5), where=trials > 0)

    def edge(hits: Float, start: Float, one: Float, other: Float) -> Float:
        # bisect_up answers with a rate that is already outside: the outer side of the end point.
        return numeric.bisect_up(
            lambda p: _log_mixture(p, hits, trials, one, other) >= limit, start, np.ones(k.shape)
        )

    high = edge(k, centre, a, b)
    low = 1.0 - edge(trials - k, 1.0 - centre, b, a)
    low = np.where(low > 0, np.maximum(numeric.down(low), 0.0), 0.0)
    return low[()], high[()]

"""One (neuron, sign) pair among those that share a budget (AL-1, AL-2): its error, size and price.

The promised error is Bernstein's inverse eps(m) = (b + sqrt(b^2 + 2 V m))/m, convex and falling in
m. With y = 1/eps the size is m = 2 V y^2 + 2 b y, and where the derivatives l_i eps_i'(m_i) are
equal, 4 V y^3 + 2 b y^2 = l/mu: one cubic a pair.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float

# Newton starts within a factor sqrt(2) above the root of a convex cubic: six steps exhaust float64.
NEWTON_STEPS = 7


def bernstein_coefficients(
    sensitivity_sum: ArrayLike, delta: ArrayLike, coverage_factor: ArrayLike = 1.0
) -> tuple[Float, Float]:
    """The two coefficients of Bernstein's sample size, m = (2 V + 2 b eps)/eps^2.

    b = max(M-1, 1) ln(2/delta)/3 and V = (M-1) ln(2/delta), M = C S_sum; both 0 for a dead pair.

    Args:
        sensitivity_sum: S_sum, 0 or >= 1, no unit; any shape.
        delta: failure probability of one pair, in (0, 1); broadcasts.
        coverage_factor: C >= 1, no unit; broadcasts.

    Returns:
        (linear, variance) = (b, V), float64 arrays of the broadcast shape, in draws.

    Raises:
        ValueError: a value out of range.

    Claim: SP-3. Source: [SP] arXiv 1910.05422; constants re-derived.

    Example:
        >>> linear, variance = bernstein_coefficients(9.0, 0.05)
        >>> round(float(linear), 3), round(float(variance), 3)
        (9.837, 29.511)
    """
    total = numeric.sensitivity_sum(sensitivity_sum)
    cover = numeric.at_least("coverage_factor", coverage_factor, 1.0)
    log = np.log(2.0) - np.log(numeric.probability("delta", delta))
    excess = cover * total - 1.0
    live = total > 0
    linear = np.where(live, np.maximum(excess, 1.0) * log / 3.0, 0.0)
    variance = np.where(live, np.maximum(excess, 0.0) * log, 0.0)
    return linear[()], variance[()]


def pair_error(m: Float, b: Float, v: Float) -> Float:
    """Bernstein's error at m draws; 0 for a dead pair, +inf for a live one without draws.

    Shapes: m draws, b and v in draws, all broadcast; returns the relative error, rounded up.

    Claim: SP-3. Source: [SP] arXiv 1910.05422; constants re-derived.

    Example:
        >>> linear = np.array([1.0, 1.0, 0.0])
        >>> pair_error(np.array([2.0, 0.0, 0.0]), linear, np.zeros(3)).round(6).tolist()
        [1.0, inf, 0.0]
    """
    dead = (b == 0) & (v == 0)
    size = np.where(m > 0, m, 1.0)
    error = (b + np.sqrt(b * b + 2 * v * size)) / size
    return np.where(dead, 0.0, np.where(m > 0, error * (1 + 1e-15), np.inf))


def pair_size(y: Float, b: Float, v: Float) -> Float:
    """Draws at which Bernstein's error is 1/y, m = 2 V y^2 + 2 b y.

    Shapes: y, b, v broadcast; returns real-valued draws.

    Claim: SP-3. Source: [SP] arXiv 1910.05422; constants re-derived.

    Example:
        >>> float(pair_size(np.float64(2.0), np.float64(1.0), np.float64(3.0)))
        28.0
    """
    return 2 * y * (v * y + b)


def solve_cubic(r: Float, b: Float, v: Float) -> Float:
    """The positive root y of 4 v y^3 + 2 b y^2 = r, by Newton from above; 0 where b = v = 0.

    Shapes: r, b, v broadcast; returns one over the relative error.

    Claim: AL-1. Source: [OWN].

    Example:
        >>> float(solve_cubic(np.float64(16.0), np.float64(2.0), np.float64(3.0)).round(6))
        1.0
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.fmin(np.cbrt(r / (4 * v)), np.sqrt(r / (2 * b)))
        cubed, squared, thrice, twice = 8 * v, 2 * b, 12 * v, 4 * b
        for _ in range(NEWTON_STEPS):
            # y - f/f', arranged so that nothing cancels; a power would cost more than all the rest.
            y = ((cubed * y + squared) * y * y + r) / ((thrice * y + twice) * y)
    return np.where((b == 0) & (v == 0), 0.0, y)


def pair_rows(**arrays: ArrayLike) -> list[Float]:
    """Check what is given for each pair, and bring it to one length.

    Shapes: (k,) or a scalar each, under the name to call it; returns one (k,) array for each.

    Example:
        >>> [a.tolist() for a in pair_rows(real=[1.0, 2.0], capacity=3)]
        [[1.0, 2.0], [3.0, 3.0]]
    """
    checked = [numeric.at_least(name, value, 0.0) for name, value in arrays.items()]
    together = np.broadcast_arrays(*checked)
    if together[0].ndim != 1:
        raise ValueError(f"{', '.join(arrays)} must be (k,); found shape {together[0].shape}")
    return [np.asarray(a, np.float64) for a in together]

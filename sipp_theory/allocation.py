"""Sharing a budget of weights among (neuron, sign) pairs (AL-1, AL-2).

Each pair's promised error is Bernstein's inverse eps(m) = (b + sqrt(b^2 + 2 V m))/m, convex and
falling in m. With y = 1/eps the size is m = 2 V y^2 + 2 b y, and where the derivatives l_i
eps_i'(m_i) are equal, 4 V y^3 + 2 b y^2 = l/mu: one cubic a pair, one multiplier for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory import _binomial as binomial
from sipp_theory import _numeric as numeric
from sipp_theory._numeric import Float

# Newton starts within a factor sqrt(2) above the root of a convex cubic: six steps exhaust float64.
NEWTON_STEPS = 7
LOG_SEARCH_STEPS = 64
FARTHEST_LOG = 600.0


@dataclass(frozen=True)
class Allocation:
    """A division of a budget among (neuron, sign) pairs.

    Attributes:
        sizes: (k,) float64, draws for each pair, real-valued (see round_allocation).
        errors: (k,) float64, error promised at that size, rounded up; +inf where a live pair has
            none.
        objective: sum of importance times error, rounded up; +inf if an important pair has no
            draws.
        multiplier: mu >= 0, what one more draw would take off the objective; 0 if the budget is
            slack.

    Claim: AL-1. Source: [SP] arXiv 1910.05422 (OptAlloc), closed form [OWN].
    """

    sizes: Float
    errors: Float
    objective: float
    multiplier: float


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


def _coefficients(linear: ArrayLike, variance: ArrayLike) -> tuple[Float, Float]:
    return numeric.at_least("linear", linear, 0.0), numeric.at_least("variance", variance, 0.0)


def _error(m: Float, b: Float, v: Float) -> Float:
    """Bernstein's error at m draws; 0 for a dead pair, +inf for a live one without draws."""
    dead = (b == 0) & (v == 0)
    size = np.where(m > 0, m, 1.0)
    error = (b + np.sqrt(b * b + 2 * v * size)) / size
    return np.where(dead, 0.0, np.where(m > 0, error * (1 + 1e-15), np.inf))


def _size(y: Float, b: Float, v: Float) -> Float:
    return 2 * y * (v * y + b)


def _solve_cubic(r: Float, b: Float, v: Float) -> Float:
    """The positive root y of 4 v y^3 + 2 b y^2 = r, by Newton from above; 0 where b = v = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.fmin(np.cbrt(r / (4 * v)), np.sqrt(r / (2 * b)))
        for _ in range(NEWTON_STEPS):
            # y - f/f', arranged so that nothing cancels.
            y = (8 * v * y**3 + 2 * b * y**2 + r) / (12 * v * y**2 + 4 * b * y)
    return np.where((b == 0) & (v == 0), 0.0, y)


def _log_search(holds: Callable[[float], bool]) -> float:
    """Least x > 0, to float64, at which a monotone predicate holds, taken from the holding side.

    Returns +inf if it holds nowhere.
    """

    def good(log: float) -> bool:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return holds(float(np.exp(log)))

    low = high = 0.0
    reach = 1.0
    while not good(high):
        low, high, reach = high, high + reach, 2 * reach
        if high > FARTHEST_LOG:
            return np.inf
    while low == high or (low > -FARTHEST_LOG and good(low)):
        low, high, reach = low - reach, low, 2 * reach
    for _ in range(LOG_SEARCH_STEPS):
        middle = (low + high) / 2
        if good(middle):
            high = middle
        else:
            low = middle
    return float(np.exp(high))


def _rows(**arrays: ArrayLike) -> list[Float]:
    checked = [numeric.at_least(name, value, 0.0) for name, value in arrays.items()]
    together = np.broadcast_arrays(*checked)
    if together[0].ndim != 1:
        raise ValueError(f"{', '.join(arrays)} must be (k,); found shape {together[0].shape}")
    return [np.asarray(a, np.float64) for a in together]


def _total(importance: Float, errors: Float) -> float:
    with np.errstate(invalid="ignore"):
        terms = np.where(importance > 0, importance * errors, 0.0)
    return float(terms.sum() * (1 + 4e-16 * max(terms.size, 1)))


def allocate(
    linear: ArrayLike,
    variance: ArrayLike,
    capacity: ArrayLike,
    budget: float,
    importance: ArrayLike = 1.0,
) -> Allocation:
    """Share a budget among pairs so that the weighted sum of promised errors is least.

    min sum_i l_i eps_i(m_i) subject to sum m_i <= B, 0 <= m_i <= n_i. Convex and separable: one
    multiplier, found by bisection, at a cost linear in the number of pairs. As eps_i(m) grows
    without bound for m -> 0, every pair with l_i > 0, n_i > 0 and b_i + V_i > 0 gets a positive
    amount (if B > 0); all others get 0. Deterministic.

    Args:
        linear: (k,) b >= 0, in draws (bernstein_coefficients).
        variance: (k,) V >= 0, in draws.
        capacity: (k,) n >= 0, most draws a pair may have, or a scalar.
        budget: B >= 0, draws in all.
        importance: (k,) l >= 0, weight of a pair's error, or a scalar.

    Returns:
        Allocation(sizes, errors, objective, multiplier).

    Raises:
        ValueError: negative or not finite values, shapes that do not fit.

    Claim: AL-1. Source: [SP] arXiv 1910.05422 (OptAlloc); the solution [OWN].

    Example:
        >>> allocate([1.0, 1.0], [0.0, 0.0], 100.0, 30.0, [1.0, 4.0]).sizes.round(6).tolist()
        [10.0, 20.0]
    """
    b, v, cap, weight = _rows(
        linear=linear, variance=variance, capacity=capacity, importance=importance
    )
    total = float(numeric.at_least("budget", budget, 0.0))
    live = (weight > 0) & (cap > 0) & ((b > 0) | (v > 0))
    sizes, multiplier = np.zeros(b.size), 0.0
    if live.any() and total > 0:
        sizes[live], multiplier = _fill(b[live], v[live], cap[live], weight[live], total)
    errors = _error(sizes, b, v)
    return Allocation(sizes, errors, _total(weight, errors), multiplier)


def _fill(b: Float, v: Float, cap: Float, weight: Float, budget: float) -> tuple[Float, float]:
    if cap.sum() <= budget:
        return cap, 0.0
    # The search starts where one pair with all of the budget would have its multiplier.
    unit = weight.max() * (b.max() / budget + np.sqrt(v.max() / budget)) / budget

    def sizes_at(multiplier: float) -> Float:
        return np.minimum(_size(_solve_cubic(weight / (multiplier * unit), b, v), b, v), cap)

    scaled = _log_search(lambda mu: bool(sizes_at(mu).sum() <= budget))
    if not np.isfinite(scaled):
        raise ValueError("linear, variance and importance span too wide a range for float64")
    return sizes_at(scaled), scaled * unit


def round_allocation(real: ArrayLike, capacity: ArrayLike, budget: float) -> Float:
    """Round a real-valued allocation to whole draws by largest remainder.

    The total is exactly min(floor(B), sum floor(n_i)); ties go to the lower index; every pair with
    a positive amount and room gets at least 1 if B allows that for all of them.

    Args:
        real: (k,) >= 0, real-valued sizes, in draws.
        capacity: (k,) >= 0, most draws a pair may have, or a scalar; rounded down.
        budget: B >= 0, draws in all; rounded down.

    Returns:
        (k,) float64 array of whole numbers with 0 <= sizes <= floor(capacity).

    Raises:
        ValueError: negative or not finite values, shapes that do not fit.

    Claim: AL-1. Source: [OWN] (largest remainder).

    Example:
        >>> round_allocation([2.5, 1.5, 0.01], 10, 4).tolist()
        [2.0, 1.0, 1.0]
    """
    amount, cap = _rows(real=real, capacity=capacity)
    room = np.floor(cap)
    total = min(float(np.floor(numeric.at_least("budget", budget, 0.0))), float(room.sum()))
    sizes = np.minimum(np.floor(amount), room)
    live = (amount > 0) & (room >= 1)
    floor = live.astype(np.float64) if live.sum() <= total else np.zeros(amount.size)
    sizes = np.maximum(sizes, floor)
    while (missing := total - sizes.sum()) != 0:
        step = 1.0 if missing > 0 else -1.0
        free = room - sizes if missing > 0 else sizes - floor
        able = np.flatnonzero(free > 0)
        # Most short of its real amount first (most beyond it, when taking away); ties by index.
        order = able[np.argsort(-step * (amount - sizes)[able], kind="stable")]
        share = np.floor(abs(missing) / order.size)
        if share >= 1:
            sizes[order] += step * np.minimum(share, free[order])
        else:
            sizes[order[: int(abs(missing))]] += step
    return sizes


def allocate_for_errors(linear: ArrayLike, variance: ArrayLike, eps: ArrayLike) -> Float:
    """Fewest draws that promise each pair its own error.

    min sum m_i subject to eps_i(m_i) <= eps_i: separable, m_i = ceil((2 V_i + 2 b_i
    eps_i)/eps_i^2). The promised error at m meets eps, and at m - 1 does not.

    Args:
        linear: b >= 0, in draws (bernstein_coefficients); any shape.
        variance: V >= 0, in draws; broadcasts.
        eps: wanted error of each pair, > 0; broadcasts.

    Returns:
        float64 array of whole numbers, in draws; 0 for a dead pair (b = V = 0).

    Raises:
        ValueError: a value out of range.

    Claim: AL-2. Source: [OWN].

    Example:
        >>> float(allocate_for_errors(9.837, 29.511, 0.1))
        6099.0
    """
    b, v = _coefficients(linear, variance)
    target = binomial.positive("eps", eps)
    b, v, target = np.broadcast_arrays(b, v, target)
    with np.errstate(over="ignore"):
        guess = 2 * (v / target + b) / target
    sizes = numeric.least_integer(lambda m: _error(m, b, v), guess, target)
    return np.where((b == 0) & (v == 0), 0.0, sizes)[()]


def allocate_for_total(
    linear: ArrayLike,
    variance: ArrayLike,
    importance: ArrayLike,
    total: float,
    capacity: ArrayLike | None = None,
) -> Allocation:
    """Fewest draws that keep the weighted sum of promised errors within a target.

    min sum m_i subject to sum l_i eps_i(m_i) <= E (and m_i <= n_i if given): the same cubic with
    one multiplier, taken from the side that meets the target. Pairs with l_i = 0 get nothing.

    Args:
        linear: (k,) b >= 0, in draws.
        variance: (k,) V >= 0, in draws.
        importance: (k,) l >= 0, weight of a pair's error, or a scalar.
        total: E > 0, target for the weighted sum of errors.
        capacity: (k,) n >= 0, most draws a pair may have; no limit if not given.

    Returns:
        Allocation(sizes, errors, objective, multiplier) with objective <= E; here the multiplier is
        what one draw buys at the optimum, as in allocate.

    Raises:
        ValueError: values out of range, or a target that the capacities cannot meet (the message
            gives the least one they can).

    Claim: AL-2. Source: [OWN].

    Example:
        >>> allocate_for_total([1.0, 1.0], [0.0, 0.0], [1.0, 4.0], 0.6).sizes.round(6).tolist()
        [10.0, 20.0]
    """
    b, v, weight = _rows(linear=linear, variance=variance, importance=importance)
    target = float(binomial.positive("total", total))
    cap = None
    if capacity is not None:
        cap = np.broadcast_to(numeric.at_least("capacity", capacity, 0.0), b.shape)
    live = (weight > 0) & ((b > 0) | (v > 0))
    if cap is not None and (least := _total(weight[live], _error(cap, b, v)[live])) > target:
        raise ValueError(
            f"total must be at least {least!r} with these capacities; found {target!r}"
        )
    sizes, multiplier = np.zeros(b.size), 0.0
    if live.any():
        part = (b[live], v[live])
        limit = np.inf if cap is None else cap[live]

        def sizes_at(price: float) -> Float:
            return np.minimum(_size(_solve_cubic(price * weight[live], *part), *part), limit)

        price = _log_search(lambda p: _total(weight[live], _error(sizes_at(p), *part)) <= target)
        if not np.isfinite(price):
            raise ValueError("linear, variance and importance span too wide a range for float64")
        sizes[live], multiplier = sizes_at(price), 1.0 / price
    errors = _error(sizes, b, v)
    return Allocation(sizes, errors, _total(weight, errors), multiplier)

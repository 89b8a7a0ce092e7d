"""Sharing a budget of weights among (neuron, sign) pairs (AL-1, AL-2), to the last whole draw.

Each pair's promised error is convex and falling in its draws, so where the derivatives l_i
eps_i'(m_i) are equal the sum is least: one cubic a pair (see `pair`), one multiplier for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.allocation.pair import pair_error, pair_rows, pair_size, solve_cubic
from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float

# Four spacings of float64 at 1: what brentq can promise.
SPACING = 4 * np.finfo(np.float64).eps
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


def _coefficients(linear: ArrayLike, variance: ArrayLike) -> tuple[Float, Float]:
    return numeric.at_least("linear", linear, 0.0), numeric.at_least("variance", variance, 0.0)


def _log_search(excess: Callable[[float], float]) -> float:
    """Where a decreasing function of x > 0 comes down to 0, from the side where it is at most 0.

    Nearly linear in log x is best: the root is then found in a dozen evaluations. Returns +inf if
    the function is above 0 everywhere.
    """

    def at(log: float) -> float:
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            return float(np.clip(excess(float(np.exp(log))), -FARTHEST_LOG, FARTHEST_LOG))

    low = high = 0.0
    reach = 1.0
    while not at(high) <= 0:
        low, high, reach = high, high + reach, 2 * reach
        if high > FARTHEST_LOG:
            return np.inf
    while low == high or (low > -FARTHEST_LOG and at(low) <= 0):
        low, high, reach = low - reach, low, 2 * reach
    if at(low) > 0 > at(high):
        from scipy import optimize  # a third of a second, which few commands need

        high = float(np.asarray(optimize.brentq(at, low, high, xtol=SPACING, rtol=SPACING)))
        step = SPACING * max(1.0, abs(high))
        # The root found is one to within rounding, on either side of it.
        while not at(high) <= 0:
            high, step = high + step, 2 * step
    return float(np.exp(high))


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
    b, v, cap, weight = pair_rows(
        linear=linear, variance=variance, capacity=capacity, importance=importance
    )
    total = float(numeric.at_least("budget", budget, 0.0))
    live = (weight > 0) & (cap > 0) & ((b > 0) | (v > 0))
    sizes, multiplier = np.zeros(b.size), 0.0
    if live.any() and total > 0:
        sizes[live], multiplier = _fill(b[live], v[live], cap[live], weight[live], total)
    errors = pair_error(sizes, b, v)
    return Allocation(sizes, errors, _total(weight, errors), multiplier)


def _fill(b: Float, v: Float, cap: Float, weight: Float, budget: float) -> tuple[Float, float]:
    if cap.sum() <= budget:
        return cap, 0.0
    # The search starts where one pair with all of the budget would have its multiplier.
    unit = weight.max() * (b.max() / budget + np.sqrt(v.max() / budget)) / budget

    def sizes_at(multiplier: float) -> Float:
        return np.minimum(pair_size(solve_cubic(weight / (multiplier * unit), b, v), b, v), cap)

    scaled = _log_search(lambda mu: np.log(sizes_at(mu).sum() / budget))
    if not np.isfinite(scaled):
        raise ValueError("linear, variance and importance span too wide a range for float64")
    return sizes_at(scaled), scaled * unit


def allocate_for_errors(linear: ArrayLike, variance: ArrayLike, eps: ArrayLike) -> Float:
    """Fewest draws that promise each pair its own error.

    min sum m_i subject to eps_i(m_i) <= eps_i: separable, m_i = ceil((2 V_i + 2 b_i
    eps_i)/eps_i^2). The promised error at m meets eps, and at m - 1 does not.

    Args:
        linear: b >= 0, in draws (bernstein_coefficients); any shape.
        variance: V >= 0, in draws; broadcasts.
        eps: target error of each pair, > 0; broadcasts.

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
    sizes = numeric.least_integer(lambda m: pair_error(m, b, v), guess, target)
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
    b, v, weight = pair_rows(linear=linear, variance=variance, importance=importance)
    target = float(binomial.positive("total", total))
    cap = None
    if capacity is not None:
        cap = np.broadcast_to(numeric.at_least("capacity", capacity, 0.0), b.shape)
    live = (weight > 0) & ((b > 0) | (v > 0))
    if cap is not None and (least := _total(weight[live], pair_error(cap, b, v)[live])) > target:
        raise ValueError(
            f"total must be at least {least!r} with these capacities; found {target!r}"
        )
    sizes, multiplier = np.zeros(b.size), 0.0
    if live.any():
        limit = None if cap is None else cap[live]
        sizes[live], multiplier = _price(b[live], v[live], weight[live], target, limit)
    errors = pair_error(sizes, b, v)
    return Allocation(sizes, errors, _total(weight, errors), multiplier)


def _price(
    b: Float, v: Float, weight: Float, target: float, cap: Float | None
) -> tuple[Float, float]:
    """Sizes whose weighted errors add up to the target, on the safe side, and the multiplier."""
    limit = np.inf if cap is None else cap

    def sizes_at(price: float) -> Float:
        return np.minimum(pair_size(solve_cubic(price * weight, b, v), b, v), limit)

    def spent(price: float) -> float:
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            return _total(weight, pair_error(sizes_at(price), b, v))

    # While searching, an error is one over the cubic's root, or what the capacity leaves; the goal
    # leaves room for what rounding up will add.
    goal = target / (1 + 2e-15 + 4e-16 * weight.size)
    floor = 0.0 if cap is None else pair_error(cap, b, v)
    # The search starts where the pairs would all have the same error.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        y = weight.sum() / target
        unit = float((2 * y * y * (2 * v * y + b)).sum() / weight.sum())
    unit = unit if 0 < unit < np.inf else 1.0
    scaled = weight * unit

    def excess(price: float) -> float:
        errors = np.maximum(1 / solve_cubic(price * scaled, b, v), floor)
        return float(np.log((weight * errors).sum() / goal))

    price, step = _log_search(excess) * unit, SPACING
    while np.isfinite(price) and spent(price) > target:  # by rounding alone
        price, step = price * (1 + step), 2 * step
    if not np.isfinite(price):
        raise ValueError("linear, variance and importance span too wide a range for float64")
    return sizes_at(price), 1.0 / price


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
    amount, cap = pair_rows(real=real, capacity=capacity)
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

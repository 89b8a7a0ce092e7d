"""Input checks and safe rounding shared by every bound.

Floating point may only ever cost a promise, never improve it: sample sizes round up, errors round
up, and a search that fails answers with infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
UNIT = 2.0**-53

# Past 2**53 float64 skips integers, so "m - 1 would not do" has no meaning there; from 2**49 on the
# guards of the errors (some 1e-14) are worth more than a few units, and a size is only rounded up.
LARGEST_EXACT = 2.0**53
LARGEST_CORRECTED = 2.0**49
CORRECTION = 4e-14


def _first(mask: NDArray[np.bool_]) -> str:
    """Name the first offending entry: '' for a scalar, ' at index (i, j)' for an array."""
    if mask.ndim == 0:
        return ""
    index = tuple(int(i) for i in np.argwhere(mask)[0])
    return f" at index {index[0] if len(index) == 1 else index}"


def _refuse(name: str, value: Float, bad: NDArray[np.bool_], rule: str) -> None:
    if bad.any():
        culprit = float(value[tuple(np.argwhere(bad)[0])]) if value.ndim else float(value)
        raise ValueError(f"{name} must be {rule}; found {culprit!r}{_first(bad)}")


def numbers(name: str, value: ArrayLike) -> Float:
    """Return value as float64; refuse what is not numeric (complex, text, objects)."""
    array = np.asarray(value)
    if array.dtype == object and array.size and all(isinstance(v, Real) for v in array.flat):
        # Integers of more than 64 bits, and fractions.
        try:
            return array.astype(np.float64)
        except OverflowError as error:
            largest = np.finfo(np.float64).max
            raise ValueError(
                f"{name} must be at most {largest:.3g} in size; found a number beyond float64"
            ) from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers; found dtype {array.dtype}")
    return array.astype(np.float64)


def finite(name: str, value: ArrayLike) -> Float:
    """Return value as float64; refuse NaN and infinities."""
    array = numbers(name, value)
    _refuse(name, array, ~np.isfinite(array), "finite")
    return array


def probability(name: str, value: ArrayLike) -> Float:
    """Return value as float64; refuse whatever does not lie strictly inside (0, 1)."""
    array = numbers(name, value)
    _refuse(name, array, ~((array > 0) & (array < 1)), "strictly between 0 and 1")
    return array


def at_least(name: str, value: ArrayLike, minimum: float) -> Float:
    """Return value as float64; refuse NaN, infinities and anything below minimum."""
    array = finite(name, value)
    _refuse(name, array, array < minimum, f"at least {minimum:g}")
    return array


def integer_at_least(name: str, value: ArrayLike, minimum: float) -> Float:
    """Return value as float64; refuse anything that is not a whole number >= minimum."""
    array = at_least(name, value, minimum)
    _refuse(name, array, array != np.floor(array), "a whole number")
    return array


def sensitivity_sum(value: ArrayLike) -> Float:
    """Return S_sum as float64: 0 (dead neuron) or at least 1 (ES-2), float32 rounding forgiven."""
    array = at_least("sensitivity_sum", value, 0.0)
    wrong = (array > 0) & (array < 1 - 1e-5)
    _refuse("sensitivity_sum", array, wrong, "0 (a dead neuron) or at least 1 (ES-2)")
    return np.where((array > 0) & (array < 1), 1.0, array)


def in_unit(name: str, value: ArrayLike) -> Float:
    """Return value as float64; refuse anything outside [0, 1], float32 rounding forgiven."""
    array = at_least(name, value, 0.0)
    # Shares and sensitivities that come from float32 may stand a rounding above 1.
    if (array > 1 + 1e-5).any():
        raise ValueError(f"{name} must lie in [0, 1]; found {float(array.max())!r}")
    return np.minimum(array, 1.0)


def draw_range(total: ArrayLike, coverage_factor: ArrayLike) -> Float:
    """M = C S_sum, the largest value of one draw on the coverage event; 0 for a dead neuron."""
    factor = at_least("coverage_factor", coverage_factor, 1.0)
    # M - 1 may be far smaller than M: a product rounded down would lose much of it.
    return product_up(sensitivity_sum(total), factor)


def product_up(first: Float, second: Float) -> Float:
    """Product, never rounded down; exact where float64 holds it (Veltkamp, Dekker 1971)."""
    product = first * second
    with np.errstate(over="ignore", invalid="ignore"):
        (a, b), (c, d) = (_halves(factor) for factor in (first, second))
        lost = ((a * c - product) + a * d + b * c) + b * d
    return np.where(lost <= 0, product, up(product))


def _halves(value: Float) -> tuple[Float, Float]:
    """Two numbers of half the digits that add up to one."""
    big = value * (2.0**27 + 1)
    high = big - (big - value)
    return high, value - high


def log_over(top: ArrayLike, delta: ArrayLike) -> Float:
    """ln(top/delta), also where the quotient leaves the range of float64."""
    share = np.asarray(delta, np.float64)
    tiny = share < 1e-307 * np.asarray(top)
    # The guards of the bounds are wider than what either form rounds.
    usual = np.log(top / np.where(tiny, 1.0, share))
    return np.where(tiny, np.log(top) - np.log(share), usual)[()]


def dead_is_free(span: Float, size: Float) -> Float:
    """A dead neuron (M = 0) needs no weight at all: both its sides are 0."""
    return np.where(span == 0, 0.0, size)[()]


def up(value: ArrayLike) -> Float:
    """Step to the next larger float: the safe side for an error."""
    return np.nextafter(np.asarray(value, dtype=np.float64), np.inf)


def down(value: ArrayLike) -> Float:
    """Step to the next smaller float: the safe side for a rate or a confidence."""
    return np.nextafter(np.asarray(value, dtype=np.float64), -np.inf)


def least_integer(error: Callable[[Float], Float], guess: ArrayLike, eps: ArrayLike) -> Float:
    """Least whole m >= 1 with error(m) <= eps, for an error that never rises with m.

    The closed-form guess is corrected by a few unit steps, so that the size and the error stay
    exact inverses of each other whatever the last bit of the guess was. Guesses beyond 2**49 are
    only rounded up, by a relative 4e-14.
    """
    size, target = np.broadcast_arrays(np.asarray(guess, np.float64), np.asarray(eps, np.float64))
    size = np.maximum(np.ceil(size), 1.0)
    exact = size < LARGEST_CORRECTED
    size = np.where(exact, size, np.ceil(size * (1 + CORRECTION)))
    if not exact.any():
        return size
    # Guess and guard differ by a relative 1e-14 or so, at most some 10 units below 2**49.
    short = exact
    for _ in range(64):
        short = exact & (error(np.where(exact, size, 1.0)) > target)
        if not short.any():
            break
        size = np.where(short, size + 1, size)
    exact = exact & ~short
    size = np.where(short, np.inf, size)
    for _ in range(64):
        lower = np.maximum(size - 1, 1.0)
        spare = exact & (lower < size) & (error(lower) <= target)
        if not spare.any():
            break
        size = np.where(spare, lower, size)
    return size


def bisect_up(
    holds: Callable[[Float], NDArray[np.bool_]], low: ArrayLike, high: ArrayLike, steps: int = 200
) -> Float:
    """Least x in [low, high] at which a monotone predicate holds, taken from the holding side."""
    lo, hi = (np.array(a, np.float64) for a in np.broadcast_arrays(low, high))
    done = holds(lo)
    hi = np.where(done, lo, hi)
    for _ in range(steps):
        middle = lo + (hi - lo) / 2
        if not ((middle > lo) & (middle < hi)).any():
            break
        good = holds(middle)
        hi = np.where(good, middle, hi)
        lo = np.where(good, lo, middle)
    return hi


def search_integer(
    error: Callable[[float], float], eps: float, enough: float, low: float = 0.0
) -> float:
    """Whole m >= 1 with error(m) <= eps and error(m - 1) > eps, near an m that is enough.

    For errors that are costly to evaluate and fall roughly like 1/sqrt(m): interpolation on that
    law, alternating with bisection so that the interval always shrinks.
    """
    high = max(enough, low + 1)
    reached = error(high)
    while reached > eps:
        low, high = high, 2 * high
        if high > LARGEST_EXACT:
            return np.inf
        reached = error(high)
    bisecting = False
    while high - low > 1:
        step = np.floor((low + high) / 2) if bisecting else np.ceil(high * (reached / eps) ** 2)
        middle = float(min(max(step, low + 1), high - 1))
        value = error(middle)
        # The interpolated point fails or holds by a hair, so its neighbour is tried at once.
        if value > eps:
            low = middle
        else:
            high, reached = middle, value
        bisecting = not bisecting
    return high

"""Checks and binomial tails, decided on the safe side, shared by several families of claims.

A tail that float64 cannot tell from its threshold is settled in whole numbers where that is
affordable, and otherwise counted against the promise.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric import special
from sipp_theory.numeric.checks import Float

# scipy's incomplete beta is good to some 1e-14 relative; a wider band is left to exact arithmetic.
TAIL_MARGIN = 1e-12
EXACT_TRIALS = 1024


def positive(name: str, value: ArrayLike) -> Float:
    """Return value as float64; refuse NaN, infinities, zero and anything below."""
    array = numeric.finite(name, value)
    bad = ~(array > 0)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f" at index {index[0] if len(index) == 1 else index}" if array.ndim else ""
        raise ValueError(f"{name} must be above 0; found {float(array[index])!r}{where}")
    return array


def significance(confidence: ArrayLike) -> Float:
    """Return 1 - confidence, never rounded up (the subtraction is exact from 1/2 on)."""
    sure = numeric.probability("confidence", confidence)
    rest = 1.0 - sure
    return np.where(sure >= 0.5, rest, numeric.down(rest))


def counts(violations: ArrayLike, n: ArrayLike) -> tuple[Float, Float]:
    """Check and broadcast 0 <= violations <= n, both whole numbers."""
    k = numeric.integer_at_least("violations", violations, 0)
    trials = numeric.integer_at_least("n", n, 0)
    k, trials = np.broadcast_arrays(k, trials)
    if (k > trials).any():
        index = tuple(int(i) for i in np.argwhere(k > trials)[0])
        raise ValueError(
            f"violations must not exceed n; found {k[index]:g} of {trials[index]:g}"
            + (f" at index {index}" if index else "")
        )
    return k, trials


def lower_tail(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Float:
    """Pr(Bin(n, p) <= k) to float64 accuracy, for whole k from -1 to n."""
    k, n, p = (np.asarray(a, np.float64) for a in np.broadcast_arrays(k, n, p))
    inside = (k >= 0) & (k < n)
    first = np.where(inside, k + 1, 1.0)
    second = np.where(inside, n - k, 1.0)
    tail = special.betaincc(first, second, np.clip(p, 0.0, 1.0))
    return np.where(inside, tail, np.where(k < 0, 0.0, 1.0))


def _exact_tail_at_most(k: int, n: int, p: float, alpha: float) -> bool:
    top, bottom = Fraction(p).as_integer_ratio()
    total = sum(comb(n, i) * top**i * (bottom - top) ** (n - i) for i in range(k + 1))
    share = Fraction(alpha)
    return total * share.denominator <= share.numerator * bottom**n


def tail_at_most(k: ArrayLike, n: ArrayLike, p: ArrayLike, alpha: ArrayLike) -> NDArray[np.bool_]:
    """Whether Pr(Bin(n, p) <= k) <= alpha; False where rounding leaves it open."""
    k, n, p, alpha = (np.asarray(a, np.float64) for a in np.broadcast_arrays(k, n, p, alpha))
    tail = lower_tail(k, n, p)
    sure = np.asarray(tail <= alpha * (1 - TAIL_MARGIN))
    close = ~sure & (tail <= alpha * (1 + TAIL_MARGIN)) & (n <= EXACT_TRIALS)
    for index in map(tuple, np.argwhere(close)):
        sure[index] = _exact_tail_at_most(
            int(k[index]), int(n[index]), float(p[index]), float(alpha[index])
        )
    return sure


def rate_above(k: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Float:
    """Least rate e, to a few units in the last place above, with Pr(Bin(n, e) <= k) <= alpha.

    Returns 1 where k >= n (nothing can be promised) and 0 where k < 0.
    """
    k, n, alpha = (np.asarray(a, np.float64) for a in np.broadcast_arrays(k, n, alpha))
    inside = (k >= 0) & (k < n)
    first = np.where(inside, k + 1, 1.0)
    second = np.where(inside, n - k, 1.0)
    target = alpha * (1 - TAIL_MARGIN)
    rate = np.clip(special.betainccinv(first, second, target), 0.0, 1.0)
    step = 2.0**-52
    for _ in range(52):
        short = ~(special.betaincc(first, second, rate) <= target)
        if not short.any():
            break
        rate = np.where(short, np.minimum(rate * (1 + step) + 5e-324, 1.0), rate)
        step *= 2
    else:
        rate = np.where(special.betaincc(first, second, rate) <= target, rate, 1.0)
    return np.where(inside, rate, np.where(k < 0, 0.0, 1.0))


def log_slack(a: ArrayLike, b: ArrayLike, terms: list[Float]) -> Float:
    """Bound on the rounding of a sum of logarithms that has ln B(a, b) in it.

    scipy's betaln cancels: its error was measured up to 2.3 eps (1 + |ln Gamma(a+b)|) over 6,000
    pairs up to 1e8 (oracle: mpmath); several times that is charged, and infinite terms are left
    out.
    """
    eps = float(np.finfo(np.float64).eps)
    size = sum((np.where(np.isfinite(t), np.abs(t), 0.0) for t in terms), np.zeros(()))
    inner = np.abs(special.gammaln(np.asarray(a) + np.asarray(b)))
    return 1e-13 + 16 * eps * size + 8 * eps * inner


def least_whole(
    holds: Callable[[Float], NDArray[np.bool_]], low: ArrayLike, limit: float = 2.0**50
) -> Float:
    """Least whole number >= low at which a monotone predicate holds; +inf past the limit."""
    below = np.array(low, np.float64) - 1
    above = below + 1
    pending = ~holds(above)
    while pending.any() and (above[pending] < limit).any():
        below = np.where(pending, above, below)
        above = np.where(pending, np.minimum(2 * above + 1, limit), above)
        pending = ~holds(above)
    while (above - below > 1).any():
        middle = np.floor((below + above) / 2)
        middle = np.where(above - below > 1, middle, above)
        good = holds(middle)
        above = np.where(good, middle, above)
        below = np.where(good, below, middle)
    return np.where(pending, np.inf, above)

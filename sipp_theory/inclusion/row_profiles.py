"""What moments of the terms at a row say of its tail: cheap bounds that spare dear looks (SP-11).

z^ - z at a row is a sum of centred terms relative to z~: coins that keep a weight or not. From
their variance and the largest of them Bernstein's bound is made; `cleared` looks at two more
moments, and is within a per cent of Chernoff's bound where many weights matter.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import math

import numpy as np

from sipp_theory.numeric.checks import UNIT
from sipp_theory.numeric.compiling import compiled_leaf, compiled_unordered

LANES = 128
# Of a share, and of an error at all: more than K + y and the quotient by mu lose to rounding.
LOOSE, TINY = 1e-12, 1e-16
# Below it, or above its inverse, fourth powers might leave the range of float64.
FAINT = 1e-30
# Coefficients up to here have sums in that range, at rows of at most 1.
LARGEST = 1e100
# A search may settle on a tilt where its error is this share above the least.
SETTLED = 1e-9


@compiled_leaf
def set_coins(rate, weight, scores, coins):
    """Write weights that are not certain, and (1 - p)/p. Shapes: coins (2, k)."""
    moving, odds = coins[0], coins[1]
    for j in range(weight.size):
        p = rate * scores[j]
        moving[j] = weight[j] if p < 1.0 else 0.0
        p = p if p < 1.0 else 1.0
        odds[j] = (1.0 - p) / p


@compiled_leaf
def _set_powers(rate, weight, scores, index, peaks, powers):
    """Write what `_two` adds up, at the places of an index, and bounds on single terms.

    Returns the largest number written, and at rows of at most `peaks` the largest |w_j a_j| times
    the larger of (1 - p)/p and 1, and the largest |w_j a_j|/p.

    Shapes: weight, scores, index (k,), peaks (fan_in,), powers (3, fan_in).
    """
    top, jump, reach = 0.0, 0.0, 0.0
    for i in range(index.size):
        w, p, j = weight[i], rate * scores[i], index[i]
        w = w if p < 1.0 else 0.0
        p = p if p < 1.0 else 1.0
        odds, v = (1.0 - p) / p, w / p
        square = w * w * odds
        powers[0, j] = square
        powers[1, j] = square * (v - 2.0 * w)
        powers[2, j] = square * (v * v)
        far, near = abs(v) * peaks[j], abs(w) * peaks[j] * (odds if odds > 1.0 else 1.0)
        reach = far if far > reach else reach
        jump = near if near > jump else jump
        large = max(powers[2, j], abs(powers[1, j]), abs(v), odds)
        top = large if large > top else top
    return top, jump, reach


@compiled_unordered
def _two(powers, one, two, sums):
    """Sums of powers at two rows. Shapes: powers (3, k), one and two (k,), sums (2, 3)."""
    squares, cubes, fourths = powers[0], powers[1], powers[2]
    a2, a3, a4, b2, b3, b4 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(one.size):
        a, b = one[j], two[j]
        a_square, b_square = a * a, b * b
        a2 += squares[j] * a_square
        b2 += squares[j] * b_square
        a3 += cubes[j] * (a_square * a)
        b3 += cubes[j] * (b_square * b)
        a4 += fourths[j] * (a_square * a_square)
        b4 += fourths[j] * (b_square * b_square)
    sums[0, 0], sums[0, 1], sums[0, 2] = a2, a3, a4
    sums[1, 0], sums[1, 1], sums[1, 2] = b2, b3, b4


@compiled_leaf
def add_up(rate, weight, scores, index, rows, peaks, size, powers, sums):
    """Write moments of each row, a bound on a centred term and one on |v|.

    With v_j = w_j a_j/(p_j z~) the sums of p (1 - p) v^2, p (1 - p) (1 - 2 p) v^3, p (1 - p) v^4.
    In any order of summation; all 0 where numbers are too large, so that nothing is cleared.

    Shapes: weight, scores, index (k,), rows (n, fan_in) of at most 1, peaks (fan_in,) of them, size
    (n,), powers (3, fan_in) that is 0 outside the index, sums (n + 1, 5).
    """
    top, jump, reach = _set_powers(rate, weight, scores, index, peaks, powers)
    if not top < LARGEST:
        sums[:] = 0.0
        return
    last = len(rows) - 1
    for x in range(0, last + 1, 2):
        _two(powers, rows[x], rows[min(x + 1, last)], sums[x : x + 2])
    for x in range(last + 1):
        inverse = 1.0 / size[x] if size[x] > 0 else 0.0
        square = inverse * inverse
        sums[x, 0] *= square
        sums[x, 1] *= square * inverse
        sums[x, 2] *= square * square
        sums[x, 3] = jump * inverse
        sums[x, 4] = reach * inverse


@compiled_leaf
def _add_profile(moving, odds, row, first, size, variance, jump, up, down):
    """Add a block of weights to the lanes of `profile`."""
    for i in range(size):
        h = moving[first + i] * row[first + i]
        moved = abs(h)
        gain = moved * odds[first + i]
        variance[i] += moved * gain
        larger = gain if gain > moved else moved
        jump[i] = larger if larger > jump[i] else jump[i]
        up[i] += gain if h > 0 else moved
        down[i] += moved if h > 0 else gain


@compiled_leaf
def profile(coins, row, size, work):
    """Variance at a row, a bound on one term, and the largest deviations up and down.

    Shapes: coins (2, k), row (k,), work (4 or more, LANES).
    """
    work[:4] = 0.0
    moving, odds = coins[0], coins[1]
    for block in range(0, row.size, LANES):
        count = min(LANES, row.size - block)
        _add_profile(moving, odds, row, block, count, work[0], work[1], work[2], work[3])
    variance, jump, up, down = 0.0, 0.0, 0.0, 0.0
    for i in range(LANES):
        variance += work[0, i]
        jump = max(jump, work[1, i])
        up += work[2, i]
        down += work[3, i]
    slack = 1 + 8 * (row.size + 8) * UNIT
    return (
        variance / size / size * slack, jump / size * slack, up / size * slack, down / size * slack
    )  # fmt: skip


@compiled_leaf
def bernstein(variance, jump, y):
    """Error by Bernstein's bound, never below Chernoff's."""
    if not variance > 0:
        return 0.0
    linear = jump * y / 3
    return (linear + math.sqrt(linear * linear + 2 * variance * y)) * (1 + 2 * LOOSE)


@compiled_leaf
def safe(error):
    """Round an error up."""
    return np.nextafter(error * (1 + LOOSE) + TINY, np.inf)


@compiled_leaf
def cleared(side, sums, count, size, y, eps, mu, charge=0.0):
    """Whether the sums of a row show that Chernoff's error of one side is at most eps.

    For a coin k(t) = ln(1 - p + p e^t) - p t has k'' = q (1 - q) at the tilted chance q, whose
    logarithm changes by at most |t|, and a fourth derivative of at most k''. By Taylor k is at most
    p (1 - p) (t^2/2 + (1 - 2 p) t^3/6 + sum of |t|^n/n! from n = 4), and that sum is at most
    5 t^4/(24 (5 - T)) for |t| <= T < 5. So K has a bound at every tilt, and Newton's steps look for
    one where K + y <= mu eps. What `moments` adds for the rounding of so many coins is added, so
    that its search sees it as well; `charge` is what it adds for draws.

    A draw's k(t) = ln E e^(t dev) is at most E e^(t dev) - 1, with the same sum from n = 4.

    Shapes: sums (5,), of a row by `add_up`.
    """
    variance, third, fourth, reach = sums[0], sums[1] * side, sums[2], sums[4]
    if not (FAINT < size < 1 / FAINT and variance > FAINT):
        return False
    lost = UNIT * (16 * count + 1024)
    for _ in range(8):
        far = mu * reach * (1 + lost)
        if not far < 4.0:
            return False
        wide = 5.0 / (24.0 * (5.0 - far))
        square, cube, fourths = mu**2 * variance, mu**3 * third, mu**4 * fourth
        k = square / 2 + cube / 6 + fourths * wide
        # A share of each sum, of the cubes' as much as squares times T; and what `moments` charges.
        k += lost * (1 + square * (1 + far) + fourths + mu * (1 + math.exp(far)))
        k += charge * (1 + far)
        if (k + y) * (1 + SETTLED) <= mu * (eps - TINY):
            return True
        slope = (square + cube / 2 + fourths * wide * (4 + far / (5.0 - far))) / mu - eps
        second = (square + cube + 12 * fourths * wide) / (mu * mu)
        step = slope / (second * mu) if second > 0 else 0.0
        if not abs(step) > 1e-4:
            return False
        mu *= 1 - min(max(step, -1.0), 0.5)
    return False

"""K of SP-11's Chernoff bound for independent coins, and its derivatives, at one row and tilt.

K = sum_j ln(1 - p_j + p_j e^(t_j)) - p_j t_j. Sums are formed in LANES lanes, products of eight
factors stand for the sum of their logarithms, and K is rounded up by what all of that may have
lost. The same bits on every machine.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import math

import numpy as np

from sipp_theory.inclusion.row_profiles import LANES
from sipp_theory.numeric.checks import UNIT
from sipp_theory.numeric.compiling import compiled_leaf

FACTORS = 8
# Beyond this tilt ln(1 - p + p e^t) is taken to grow like t: FACTORS times as much has an e^t.
FAR = 80.0

_PER_BIT = 1 / math.log(2)
# Adding it leaves a whole number in the low bits of a float.
_WHOLE = 1.5 * 2.0**52
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_C = tuple(1 / math.factorial(i) for i in range(14))
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = _C[2:]
# Rows of the scratch array.
_EXP, _BITS, _TILT, _PRODUCT, _DRIFT, _SPREAD, _SIZE, _TURN, _GAIN, _MEAN, _OVER = range(11)


@compiled_leaf
def _exponentials(rate, tilt, part, scores, row, first, size, exp, bits, tilts):
    """Write t_j and e^(t_j) = exp 2^bits; t = 0 for a coin that is certain."""
    for i in range(size):
        t = tilt * (part[first + i] * row[first + i])
        t = t if rate * scores[first + i] < 1.0 else 0.0
        tilts[i] = t
        t = t if t < FAR else FAR
        t = t if t > -700.0 else -700.0
        k = t * _PER_BIT + _WHOLE
        bits[i] = k
        k -= _WHOLE
        t = (t - k * _LN2_HIGH) - k * _LN2_LOW
        q = _C13 * t + _C12
        q = q * t + _C11
        q = q * t + _C10
        q = q * t + _C9
        q = q * t + _C8
        q = q * t + _C7
        q = q * t + _C6
        q = q * t + _C5
        q = q * t + _C4
        q = q * t + _C3
        q = q * t + _C2
        exp[i] = 1.0 + (t + t * t * q)


@compiled_leaf
def _powers(bits, size):
    """Turn whole numbers k into the bits of the float 2^k."""
    for i in range(size):
        bits[i] = (bits[i] + 1023) << 52


@compiled_leaf
def _add(rate, scores, first, size, exp, power, tilts, product, sizes, mean, over):
    """Add a block of weights to the lanes of K; q_j is at most p_j e^t, 1 and, for t_j < 0, p_j."""
    for i in range(size):
        p = rate * scores[first + i]
        p = p if p < 1.0 else 1.0
        t, grown = tilts[i], p * (exp[i] * power[i])
        product[i] *= (1.0 - p) + grown
        q = grown if grown < 1.0 else 1.0
        sizes[i] += (p + (q if q > p else p)) * abs(t)
        mean[i] += p * t
        over[i] += t - FAR if t > FAR else 0.0


@compiled_leaf
def _add_slopes(rate, scores, first, size, exp, power, tilts, drift, spread, turn, gain):
    """Add a block of weights to the lanes of K's derivatives."""
    for i in range(size):
        p = rate * scores[first + i]
        p = p if p < 1.0 else 1.0
        t, grown = tilts[i], p * (exp[i] * power[i])
        inverse = 1.0 / ((1.0 - p) + grown)
        q = grown * inverse
        drift[i] += q * t
        spread[i] += q * t * ((1.0 - q) * t) if t < FAR else 0.0
        turn[i] += q * inverse * t
        gain[i] += 1.0 - inverse


@compiled_leaf
def _logarithm(product):
    """Sum of the logarithms of the lanes; each is a product of at most FACTORS factors >= 1e-16."""
    total = 0.0
    for i in range(LANES // 8):
        folded = product[i]
        for k in range(1, 8):
            folded *= product[i + k * (LANES // 8)]
        if 1e-290 < folded < 1e290:
            total += math.log(folded)
        else:
            for k in range(8):
                total += math.log(product[i + k * (LANES // 8)])
    return total


@compiled_leaf
def moments(rate, tilt, part, scores, row, work, slopes=True):
    """K rounded up, mu K', mu^2 K'', and sums q t/f, 1 - 1/f, p t, at t_j = tilt part_j row_j.

    Without `slopes` all but K is 0. Shapes: part, scores, row (k,); work (11, LANES).
    """
    work[_DRIFT:] = 0.0
    work[_PRODUCT] = 1.0
    bits, total = work[_BITS].view(np.int64), 0.0
    for block in range(0, part.size, LANES):
        size = min(LANES, part.size - block)
        _exponentials(rate, tilt, part, scores, row, block, size, work[_EXP], work[_BITS],
                      work[_TILT])  # fmt: skip
        _powers(bits, size)
        _add(rate, scores, block, size, work[_EXP], work[_BITS], work[_TILT], work[_PRODUCT],
             work[_SIZE], work[_MEAN], work[_OVER])  # fmt: skip
        if slopes:
            _add_slopes(rate, scores, block, size, work[_EXP], work[_BITS], work[_TILT],
                        work[_DRIFT], work[_SPREAD], work[_TURN], work[_GAIN])  # fmt: skip
        if block // LANES % FACTORS == FACTORS - 1:
            total += _logarithm(work[_PRODUCT])
            work[_PRODUCT] = 1.0
    total += _logarithm(work[_PRODUCT])
    drift, spread, size, turn, gain, mean = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(LANES):
        size += work[_SIZE, i]
        mean += work[_MEAN, i]
        total += work[_OVER, i]
        drift += work[_DRIFT, i]
        spread += work[_SPREAD, i]
        turn += work[_TURN, i]
        gain += work[_GAIN, i]
    # |ln f_j| <= max(q_j, p_j) |t_j|: the sums, t_j's own rounding, and that of e, f and products.
    lost = UNIT * ((part.size / LANES + 96) * size + 8 * (part.size + 64))
    k = total - mean + lost
    if not k < np.inf:
        k = np.inf
    return k, drift - mean, spread, turn, gain, mean

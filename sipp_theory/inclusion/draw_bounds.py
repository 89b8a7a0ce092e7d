"""SP-5 in compiled loops: how many draws moments of a row prove to be enough, and Cramer's number.

With dev_j = g_j/q_j - 1 and kappa(t) = ln sum_j q_j e^(t dev_j), m draws keep one side of a row
within eps where m (t eps - kappa(t)) >= ln(2/delta) at some t > 0. `enough` bounds kappa by four
moments, rounded the safe way; `least_draws` computes it, and is a proposal that the search confirms
by the errors that are promised.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import math

import numpy as np

from sipp_theory.numeric.checks import UNIT
from sipp_theory.numeric.compiling import compiled, compiled_leaf

# Larger deviations have fourth powers that might leave the range of float64.
LARGEST = 1e60
# What the error's own search and rounding take at most, relative.
SETTLED = 1e-9


@compiled_leaf
def _add(column, chance, square, cube, fourth, up, down):
    """Add one weight's deviation at every row. Shapes: all but chance (n,)."""
    for x in range(column.size):
        deviation = column[x] / chance - 1.0
        spread = chance * (deviation * deviation)
        square[x] += spread
        cube[x] += spread * deviation
        fourth[x] += spread * (deviation * deviation)
        up[x] = deviation if deviation > up[x] else up[x]
        down[x] = -deviation if -deviation > down[x] else down[x]


@compiled
def row_sums(columns, probabilities):
    """Second to fourth moment of the deviation at each row, the largest up and the largest down.

    Shapes: columns (k, n), shares of one weight side by side, probabilities (k,); returns (5, n).
    """
    sums = np.zeros((5, columns.shape[1]))
    for j in range(probabilities.size):
        _add(columns[j], probabilities[j], sums[0], sums[1], sums[2], sums[3], sums[4])
    for x in range(columns.shape[1]):
        if not sums[3, x] < LARGEST:
            sums[:3, x] = np.inf
    return sums


@compiled
def enough(sums, probabilities, eps, y):
    """Draws that four moments prove to be enough at each row, inf where they say nothing.

    ln E e^(t dev) is at most ln(1 + E(t^2/2 dev^2 + t^3/6 dev^3 + 5 (t dev)^4/(24 (5 - T)))) for
    |t dev| <= T < 5. What computing the error may add for rounding is added.

    Shapes: sums (5, n), probabilities (k,); returns (n,).
    """
    draws = np.zeros(sums.shape[1])
    lost, floor = UNIT * (16 * probabilities.size + 1024), probabilities.min()
    for x in range(sums.shape[1]):
        square, fourth = sums[0, x], sums[2, x]
        reach = max(sums[3, x], sums[4, x])
        for s in range(2):
            if sums[3 + s, x] * (1 + SETTLED) + SETTLED <= eps:
                continue  # no deviation is so far
            cube = sums[1, x] * (1.0 - 2.0 * s)
            t, best = eps / square if square > 0 else np.inf, 0.0
            for _ in range(6):
                far = t * reach * (1 + lost)
                if not far < 4.0:
                    break
                wide = 5.0 / (24.0 * (5.0 - far))
                a, b, c = t * t * square, t * t * t * cube, t * t * t * t * fourth
                growth = a / 2 + b / 6 + c * wide + lost * (a * (1 + far) + c + t)
                k = math.log1p(growth) + 4e-14 * (1 + far - math.log(floor))
                best = max(best, t * (eps * (1 - 2e-12) - 1e-16) - k)
                slope = (a + b / 2 + 4 * c * wide) / (1 + growth) - t * eps
                second = a + b + 12 * c * wide
                if not (second > 0 and abs(slope) > 1e-4 * second):
                    break
                t *= 1 - min(max(slope / second, -1.0), 0.5)
            need = y / best * (1 + SETTLED) if best > 0 else np.inf
            draws[x] = max(draws[x], need)
    return draws


@compiled
def _cramer(side, shares, probabilities, eps, square):
    """Largest t eps - kappa(t) that Newton's steps see on one side of a row."""
    t, best, low, high = eps / square, 0.0, 0.0, np.inf
    for _ in range(60):
        shift = -np.inf
        for j in range(shares.size):
            shift = max(shift, t * side * (shares[j] / probabilities[j] - 1.0))
        total, first, second = 0.0, 0.0, 0.0
        for j in range(shares.size):
            deviation = side * (shares[j] / probabilities[j] - 1.0)
            mass = probabilities[j] * math.exp(t * deviation - shift)
            total += mass
            first += mass * deviation
            second += mass * deviation * deviation
        mean = first / total
        best = max(best, t * eps - shift - math.log(total))
        slope, curve = eps - mean, second / total - mean * mean
        if slope > 0:
            low = t
        else:
            high = t
        step = slope / curve if curve > 0 else np.inf
        if not abs(step) > 1e-7 * t or high - low <= 1e-9 * t or t > 1e12:
            break
        proposal = t + step
        if not low < proposal < high:
            proposal = (low + high) / 2 if high < np.inf else 2 * t
        t = proposal
    return best


@compiled
def least_draws(columns, probabilities, sums, most, eps, y):
    """Draws that Cramer's bound asks for at the hardest row, not rounded up, and that row.

    Shapes: columns (k, n), probabilities (k,), sums (5, n), most (n,), by `enough`.
    """
    hardest, draws = -1, 0.0
    for x in np.argsort(-most, kind="mergesort"):
        if not most[x] > draws:
            break
        shares = columns[:, x].copy()
        for s in range(2):
            if sums[3 + s, x] > eps and sums[0, x] > 0:
                best = _cramer(1.0 - 2.0 * s, shares, probabilities, eps, sums[0, x])
                need = y / best if best > 0 else np.inf
                if need > draws:
                    hardest, draws = x, need
    return draws, hardest

"""What the closed bounds of SP-8 look at of many neurons, in compiled loops: a row each.

Sums are added in the order in which numpy adds those of one neuron, so that one neuron by itself
and a layer of them have the same bits.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np

from sipp_theory.numeric.compiling import compiled, compiled_leaf
from sipp_theory.numeric.sums import DEPTH, add_up


@compiled
def moving_shares(s, rates, factor, shares):
    """G_R of each row, at most 1: the sum of the sensitivities of weights with p_j < 1, times C."""
    work = np.empty(s.shape[1] + 1)
    places, sums = np.empty((3, DEPTH), np.intp), np.empty(DEPTH)
    for i in range(len(s)):
        rate, count = rates[i], 0
        for j in range(s.shape[1]):
            value = min(np.float64(s[i, j]), 1.0)
            work[count] = value
            count += (value > 0) & (rate * value < 1)
        shares[i] = min(1.0, add_up(work, count, places, sums) * factor)


@compiled
def live_first(s, live, counts):
    """Write the sensitivities above 0 of each row, at most 1, to its front, and count them."""
    for i in range(len(s)):
        count = 0
        for j in range(s.shape[1]):
            live[i, count] = min(s[i, j], s.dtype.type(1.0))
            count += s[i, j] > 0
        counts[i] = count


@compiled
def sums_from_the_least(ascending, counts, sums):
    """sums[i, m]: the m least sensitivities of a row added up, from the least on."""
    for i in range(len(ascending)):
        total = 0.0
        sums[i, 0] = 0.0
        for m in range(counts[i]):
            total += np.float64(ascending[i, m])
            sums[i, m + 1] = total


@compiled_leaf
def certain_from(s):
    """Two floats past 1/s, so that c s >= 1 holds in float64 as well."""
    return np.nextafter(np.nextafter(1.0 / np.float64(s), np.inf), np.inf)


@compiled
def thresholds(ascending, counts, m, starts, ends):
    """Rates between which the m least weights of a row, and no other, are kept by chance."""
    for i in range(len(ascending)):
        starts[i] = certain_from(ascending[i, m[i]]) if m[i] < counts[i] else 0.0
        ends[i] = certain_from(ascending[i, m[i] - 1]) if m[i] > 0 else np.inf


@compiled
def leave_ties(ascending, counts, m):
    """Lower m until there are rates at which the m least of a row, and no other, go by chance."""
    for i in range(len(ascending)):
        while 0 < m[i] < counts[i] and not (
            certain_from(ascending[i, m[i]]) < certain_from(ascending[i, m[i] - 1])
        ):
            m[i] -= 1

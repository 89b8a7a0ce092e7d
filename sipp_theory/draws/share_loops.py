"""Shares of one neuron's weights at many inputs, in compiled loops.

In the order of `checked_shares`: what a weight passes on over the sum of all, and over the sum of
those again, which may be a rounding away from 1. Sums are added as numpy adds them.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np

from sipp_theory.numeric.compiling import compiled, compiled_leaf
from sipp_theory.numeric.sums import DEPTH, add_up

# Inputs whose shares are laid side by side for their sums.
ABREAST = 8


@compiled_leaf
def _pass_on(column, weight, line, sums):
    """What one weight passes on at each input, and the sum of it and of others before."""
    for x in range(line.size):
        part = np.float64(column[x]) * weight
        line[x] = part
        sums[x] += part


@compiled_leaf
def _divide(line, sums):
    for x in range(line.size):
        line[x] /= sums[x]


@compiled_leaf
def _turn(shares, first, lines):
    """Lay the shares of some inputs side by side."""
    for j in range(len(shares)):
        for x in range(min(ABREAST, shares.shape[1] - first)):
            lines[x, j] = shares[j, first + x]


@compiled
def shares_of(columns, index, weight, shares, sums):
    """Write the shares of some weights, (k, n), and what those of each input had added up to.

    Shapes: columns (inputs of the layer, n), index (k,), weight (k,) float64, sums (2, n).
    """
    k, n = shares.shape
    sums[:] = 0.0
    for j in range(k):
        _pass_on(columns[index[j]], weight[j], shares[j], sums[0])
    for j in range(k):
        _divide(shares[j], sums[0])
    lines, places, halves = np.empty((ABREAST, k)), np.empty((3, DEPTH), np.intp), np.empty(DEPTH)
    for first in range(0, n, ABREAST):
        _turn(shares, first, lines)
        for x in range(first, min(n, first + ABREAST)):
            sums[1, x] = add_up(lines[x - first], k, places, halves)
    for j in range(k):
        _divide(shares[j], sums[1])

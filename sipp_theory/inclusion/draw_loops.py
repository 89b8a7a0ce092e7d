"""SP-11's Chernoff bound for draws of each sign, in compiled loops over pairs (neuron, row).

K(mu) = sum over signs of m ln sum_j q_j e^(mu (v_j - v)/m), v_j = h_j/q_j and v their mean, is
rounded up at any tilt, so a search for the best one that stops early costs tightness, never truth.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import math

import numpy as np

from sipp_theory.draws.law_of_a_draw import ROUNDING
from sipp_theory.inclusion.coin_loops import NEWTON_STEPS
from sipp_theory.inclusion.row_profiles import safe
from sipp_theory.numeric.checks import UNIT
from sipp_theory.numeric.compiling import compiled, compiled_leaf

# Numbers that are added up before their sum is: less is lost than in one long sum.
RUN = 64
# A law that is constant up to this is rounding alone, and carries no error.
DUST = 1e-13


@compiled_leaf
def _sum(values, begin, end):
    """Sum of some numbers, RUN by RUN."""
    total = 0.0
    for start in range(begin, end, RUN):
        part = 0.0
        for j in range(start, min(start + RUN, end)):
            part += values[j]
        total += part
    return total


@compiled_leaf
def _moments(mu, value, q, begin, end):
    """Ln sum_j q_j e^(mu value_j), rounded up, its derivatives, of one sign's weights."""
    shift = -np.inf
    for j in range(begin, end):
        shift = max(shift, mu * value[j])
    total, first, second = 0.0, 0.0, 0.0
    for start in range(begin, end, RUN):
        a, b, c = 0.0, 0.0, 0.0
        for j in range(start, min(start + RUN, end)):
            mass = q[j] * math.exp(mu * value[j] - shift)
            a += mass
            b += mass * value[j]
            c += mass * (value[j] * value[j])
        total += a
        first += b
        second += c
    lost = 2 * (ROUNDING + UNIT * (RUN + (end - begin) / RUN)) * (1 + abs(shift))
    mean = first / total
    k = max(shift + math.log(total), 0.0) + lost
    return k, mean, max(second / total - mean * mean, 0.0)


@compiled_leaf
def _least(side, value, q, cuts, times, variance, y, most):
    """Least (K + y)/mu that Newton's steps see, at most `most`."""
    best, low, high = most, 0.0, np.inf
    mu = math.sqrt(2 * y / variance)
    for _ in range(NEWTON_STEPS):
        k, first, second = 0.0, 0.0, 0.0
        for s in range(2):
            if cuts[s] < cuts[s + 1]:
                one, mean, square = _moments(side * mu, value, q, cuts[s], cuts[s + 1])
                k += times[s] * one
                first += times[s] * side * mean
                second += times[s] * square
        if (k + y) / mu < best:
            best = (k + y) / mu
        residual = mu * first - k - y
        step = residual / (mu * second)
        if residual < 0:
            low = mu
        else:
            high = mu
        if not abs(step) > 1e-6 * mu or high - low <= 1e-9 * mu or mu > 1e12:
            break
        proposal = mu - step if np.isfinite(step) else mu
        if not low < proposal < high:
            proposal = (low + high) / 2 if high < np.inf else 2 * mu
        mu = proposal
    return safe(best)


@compiled
def pair_errors(weight, scores, rows, size, logs, draws, neurons, at, first, last, errors):
    """Write the errors of pairs first to last, (neuron, row), for given draws.

    Shapes: weight, scores (out, k), rows (n, k), size (out, n), logs (out,), draws (2, b) with inf
    for a sign that is whole; neurons, at, found (b,).
    """
    value, q = np.empty(weight.shape[1]), np.empty(weight.shape[1])
    cuts, times = np.zeros(3, np.intp), np.ones(2)
    for b in range(first, last):
        i, x = neurons[b], at[b]
        w, s, a, z = weight[i], scores[i], rows[x], size[i, x]
        errors[b], variance, dust, up, down = 0.0, 0.0, 0.0, 0.0, 0.0
        if not z > 0:
            continue
        for sign in range(2):
            side, filled = 1.0 - 2.0 * sign, cuts[sign]
            begin = filled
            if np.isfinite(draws[sign, b]):
                times[sign] = max(draws[sign, b], 1.0)
                for j in range(w.size):
                    if side * w[j] > 0 and s[j] > 0:
                        q[filled], value[filled] = s[j], w[j] * a[j] / z
                        filled += 1
                total, mean = _sum(q, begin, filled), _sum(value, begin, filled)
                for j in range(begin, filled):
                    q[j] /= total
                    value[j] /= q[j]
                top, bottom, square, far = 0.0, 0.0, 0.0, 0.0
                for j in range(begin, filled):
                    v = (value[j] - mean) / times[sign]
                    value[j] = v
                    square += q[j] * v * v
                    top, bottom, far = max(top, v), max(bottom, -v), max(far, abs(v))
                variance += times[sign] * square
                up += times[sign] * top
                down += times[sign] * bottom
                dust = max(dust, far * times[sign])
            cuts[sign + 1] = filled
        if variance > 0 and dust >= DUST:
            errors[b] = max(
                _least(1.0, value, q, cuts, times, variance, logs[i], up),
                _least(-1.0, value, q, cuts, times, variance, logs[i], down),
            )

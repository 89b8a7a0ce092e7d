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
from sipp_theory.inclusion.row_profiles import LARGEST, cleared, safe
from sipp_theory.numeric.checks import UNIT
from sipp_theory.numeric.compiling import compiled, compiled_leaf, compiled_unordered

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
def _both(side, mu, value, q, cuts, times):
    """K of one side of both signs together, and its derivatives."""
    k, first, second = 0.0, 0.0, 0.0
    for s in range(2):
        if cuts[s] < cuts[s + 1]:
            one, mean, square = _moments(side * mu, value, q, cuts[s], cuts[s + 1])
            k += times[s] * one
            first += times[s] * side * mean
            second += times[s] * square
    return k, first, second


@compiled_leaf
def _least(side, value, q, cuts, times, variance, y, most, floor, usual):
    """Least (K + y)/mu that Newton's steps see, at most `most`, and its mu in units of the first.

    No better than `floor` asks for, if the usual mu shows as much.
    """
    if safe(most) <= floor:
        return safe(most), usual
    best, low, high = most, 0.0, np.inf
    mu = math.sqrt(2 * y / variance)
    unit, at = mu, 1.0
    if floor > 0:
        seen = (_both(side, usual * unit, value, q, cuts, times)[0] + y) / (usual * unit)
        if safe(seen) <= floor:
            return safe(seen), usual
    for _ in range(NEWTON_STEPS):
        k, first, second = _both(side, mu, value, q, cuts, times)
        if (k + y) / mu < best:
            best, at = (k + y) / mu, mu / unit
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
    return safe(best), at


@compiled_leaf
def _drawn(weight, scores, draws, index, q, cuts, times):
    """Weights of either sign that are drawn, with what chance, and how often.

    Shapes: weight and scores (k,), draws (2,) with inf for a sign that is whole.
    """
    for sign in range(2):
        side, begin = 1.0 - 2.0 * sign, cuts[sign]
        filled = begin
        if np.isfinite(draws[sign]):
            times[sign] = max(draws[sign], 1.0)
            for j in range(weight.size):
                if side * weight[j] > 0 and scores[j] > 0:
                    q[filled], index[filled] = scores[j], j
                    filled += 1
            total = _sum(q, begin, filled)
            for j in range(begin, filled):
                q[j] /= total
        cuts[sign + 1] = filled


@compiled
def pair_errors(weight, scores, rows, size, logs, draws, neurons, at, floors, first, last, errors):
    """Write the errors of pairs first to last, (neuron, row), for given draws.

    Of a pair whose error is at most its floor no more than that is found out.

    Shapes: weight, scores (out, k), rows (n, k), size (out, n), logs (out,), draws (2, b) with inf
    for a sign that is whole; neurons, at, floors, errors (b,).
    """
    value, q = np.empty(weight.shape[1]), np.empty(weight.shape[1])
    index, cuts = np.empty(weight.shape[1], np.intp), np.zeros(3, np.intp)
    times, usual = np.ones(2), np.ones(2)
    for b in range(first, last):
        i, x = neurons[b], at[b]
        w, a, z = weight[i], rows[x], size[i, x]
        errors[b], variance, dust, up, down = 0.0, 0.0, 0.0, 0.0, 0.0
        if b == first or not (
            i == neurons[b - 1]
            and draws[0, b] == draws[0, b - 1]
            and draws[1, b] == draws[1, b - 1]
        ):
            usual[:] = 1.0
            _drawn(w, scores[i], draws[:, b], index, q, cuts, times)
        if not z > 0:
            continue
        for sign in range(2):
            begin, end = cuts[sign], cuts[sign + 1]
            for j in range(begin, end):
                value[j] = w[index[j]] * a[index[j]] / z
            mean = _sum(value, begin, end)
            top, bottom, square, far = 0.0, 0.0, 0.0, 0.0
            for j in range(begin, end):
                v = (value[j] / q[j] - mean) / times[sign]
                value[j] = v
                square += q[j] * v * v
                top, bottom, far = max(top, v), max(bottom, -v), max(far, abs(v))
            variance += times[sign] * square
            up += times[sign] * top
            down += times[sign] * bottom
            dust = max(dust, far * times[sign])
        if variance > 0 and dust >= DUST:
            one, usual[0] = _least(
                1.0, value, q, cuts, times, variance, logs[i], up, floors[b], usual[0]
            )
            other, usual[1] = _least(
                -1.0, value, q, cuts, times, variance, logs[i], down, floors[b], usual[1]
            )
            errors[b] = max(one, other)


@compiled_leaf
def _set_powers(side, weight, scores, peaks, powers):
    """Write w, w^2/q, w^3/q^2 and w^4/q^3 of one sign's weights.

    Whether their sums will be finite, and the largest |w/q| at rows of at most `peaks`.

    Shapes: powers (4, k).
    """
    powers[:] = 0.0
    total, top, reach = 0.0, 0.0, 0.0
    for j in range(weight.size):
        total += scores[j] if side * weight[j] > 0 and scores[j] > 0 else 0.0
    for j in range(weight.size):
        if side * weight[j] > 0 and scores[j] > 0:
            w = weight[j]
            v = w / (scores[j] / total)
            powers[0, j], powers[1, j] = w, w * v
            powers[2, j], powers[3, j] = w * v * v, w * v * v * v
            reach = max(reach, abs(v) * peaks[j])
            top = max(top, abs(powers[3, j]), abs(v))
    return top < LARGEST, reach


@compiled_unordered
def _four(powers, row, sums):
    """Sums of powers at a row. Shapes: powers (4, k), row (k,), sums (4,)."""
    first, second, third, fourth = powers[0], powers[1], powers[2], powers[3]
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for j in range(row.size):
        a = row[j]
        square = a * a
        one += first[j] * a
        two += second[j] * square
        three += third[j] * (square * a)
        four += fourth[j] * (square * square)
    sums[0], sums[1], sums[2], sums[3] = one, two, three, four


@compiled_leaf
def _add_moments(raw, times, reach, size, count, sums):
    """Add the central moments of a sign's draws, rounded up. Shapes: raw (4,), sums (5,)."""
    lost = UNIT * (16 * count + 1024)
    mean, two = raw[0] / size, raw[1] / size / size
    three, four = raw[2] / size / size / size, raw[3] / size / size / size / size
    far = reach / size
    sums[0] += (max(two - mean * mean, 0.0) + 4 * lost * two) / times
    sums[1] += (three - 3 * mean * two + 2 * mean**3) / times**2
    central = four - 4 * mean * three + 6 * mean**2 * two - 3 * mean**4
    sums[2] += (max(central, 0.0) + 32 * lost * far * far * two) / times**3
    sums[3] += 16 * lost * far * two / times**2
    sums[4] = max(sums[4], (far + abs(mean)) * (1 + lost) / times)


@compiled
def open_rows(weight, scores, rows, size, logs, draws, neurons, floors, first, last, open_):
    """Write of which rows four moments do not show the errors to be at most a neuron's floor.

    Shapes: as for `pair_errors`; neurons, floors (b,), open_ (b, n) bool.
    """
    powers, raw, sums = np.empty((2, 4, weight.shape[1])), np.empty(4), np.empty(5)
    peaks, finite, reach = np.zeros(weight.shape[1]), np.ones(2, np.bool_), np.zeros(2)
    for x in range(len(rows)):
        for j in range(peaks.size):
            peaks[j] = max(peaks[j], abs(rows[x, j]))
    for b in range(first, last):
        i, charge = neurons[b], 0.0
        open_[b] = True
        for s in range(2):
            finite[s], reach[s] = True, 0.0
            if np.isfinite(draws[s, b]):
                finite[s], reach[s] = _set_powers(
                    1.0 - 2.0 * s, weight[i], scores[i], peaks, powers[s]
                )
                charge += max(draws[s, b], 1.0)
        charge *= 4 * (ROUNDING + UNIT * (RUN + weight.shape[1] / RUN))
        if not (finite[0] and finite[1] and floors[b] > 0):
            continue
        for x in range(len(rows)):
            if not size[i, x] > 0:
                continue
            sums[:] = 0.0
            for s in range(2):
                if reach[s] > 0:
                    _four(powers[s], rows[x], raw)
                    _add_moments(
                        raw, max(draws[s, b], 1.0), reach[s], size[i, x], weight.shape[1], sums
                    )
            third, spare, mu = sums[1], sums[3], math.sqrt(2 * logs[i] / max(sums[0], 1e-300))
            sums[1] = third + spare
            up = cleared(1.0, sums, weight.shape[1], size[i, x], logs[i], floors[b], mu, charge)
            sums[1] = third - spare
            down = cleared(-1.0, sums, weight.shape[1], size[i, x], logs[i], floors[b], mu, charge)
            open_[b, x] = not (up and down)

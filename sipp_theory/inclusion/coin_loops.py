"""SP-11's Chernoff bound for independent coins, in compiled loops: one neuron at a time.

With p_j = min(1, c s_j), t_j = mu w_j a_j/(c s_j z~) for a tilt mu of one side, the bound on the
error is (K + y)/mu, K of `coin_moments`, y = ln(2/delta), at any mu > 0: a search that stops early
costs tightness, never truth. K falls with c at every mu, so rows may be gone through once, with a
rate that only rises; rows that `row_profiles` clears are not looked at.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import math

import numpy as np

from sipp_theory.inclusion.coin_moments import moments
from sipp_theory.inclusion.row_profiles import (
    LANES,
    LOOSE,
    TINY,
    add_up,
    bernstein,
    cleared,
    profile,
    safe,
    set_coins,
)
from sipp_theory.numeric.compiling import compiled, compiled_leaf

# A rate found by Newton's steps is raised by this, so that it holds after all rounding.
RAISED = 3e-5
NEWTON_STEPS, STEPS = 60, 60
# Two bounds whose sums are added in another order differ by less, relative.
NEAR = 1e-6


@compiled_leaf
def _least(rate, side, part, scores, row, size, y, most, floor, mu, work):
    """Least (K + y)/mu that Newton's steps see, no better than `floor` asks for; and where."""
    best, at, low, high = most, mu, 0.0, np.inf
    if floor > 0:  # most rows are cleared at first sight
        k = moments(rate, side * mu / (rate * size), part, scores, row, work, False)[0]
        if safe((k + y) / mu) <= floor:
            return floor, at
    for _ in range(NEWTON_STEPS):
        k, first, second, _, _, _ = moments(
            rate, side * mu / (rate * size), part, scores, row, work
        )
        if (k + y) / mu < best:
            best, at = (k + y) / mu, mu
        if safe(best) <= floor:
            break
        residual = first - k - y
        step = residual / second
        if residual < 0:
            low = mu
        else:
            high = mu
        # At a relative 1e-6 from the optimum the value is off by a relative 1e-12.
        if not abs(step) > 1e-6 or high - low <= 1e-9 * mu or mu > 1e12:
            break
        proposal = mu * (1 - max(step, -3.0)) if np.isfinite(step) else mu
        if not low < proposal < high:
            proposal = math.sqrt(max(low, high / 64) * high) if high < np.inf else 2 * mu
        mu = proposal
    return safe(best), at


@compiled_leaf
def _holds(rate, side, part, scores, row, size, y, eps, most, mu, work):
    """Whether the error is seen to be at most eps; and the tilt that was looked at last."""
    if safe(most) <= eps:
        return True, mu
    k = moments(rate, side * mu / (rate * size), part, scores, row, work, False)[0]
    if safe((k + y) / mu) <= eps:
        return True, mu
    for _ in range(NEWTON_STEPS):
        k, first, second, _, _, _ = moments(
            rate, side * mu / (rate * size), part, scores, row, work
        )
        if safe((k + y) / mu) <= eps:
            return True, mu
        # K is convex: K + y - mu eps is least where K' = eps, and a quadratic says how low it gets.
        slope = first - mu * eps
        step = slope / second if second > 0 else -1.0
        if not np.isfinite(k) or not np.isfinite(step):
            mu /= 4
            continue
        if abs(step) < 1e-5 or (abs(step) < 0.2 and k + y - mu * eps > slope * step):
            return False, mu
        mu *= 1 - min(max(step, -2.0), 0.75)
    return False, mu


@compiled_leaf
def _bisect(low, high, side, weight, part, scores, row, size, y, eps, mu, tolerance, coins, work):
    """Least rate between one that fails, or 0, and one that holds."""
    for _ in range(STEPS):
        if not high > low * (1 + tolerance):
            break
        rate = math.sqrt(low * high) if low > 0 else high / 8
        set_coins(rate, weight, scores, coins)
        variance, _, up, down = profile(coins, row, size, work)
        start = math.sqrt(2 * y / variance) if variance > 0 else mu
        most = up if side > 0 else down
        if not variance > 0 or _holds(
            rate, side, part, scores, row, size, y, eps, most, start, work
        )[0]:  # fmt: skip
            high = rate
        else:
            low = rate
    return high


@compiled_leaf
def _solve(
    rate, low, high, side, weight, part, scores, row, size, y, eps, mu, tolerance, coins, work
):  # fmt: skip
    """Least rate at which one side of a row is within eps, from the holding side, and its tilt.

    Newton's steps towards K + y = mu eps with K' = eps in (ln c, ln mu/c); where they lead nowhere,
    bisection between `low` that fails and `high` that holds.
    """
    start, aim = rate, eps * (1 - 4 * LOOSE) - 2 * TINY
    for _ in range(40):
        k, first, second, turn, gain, mean = moments(
            rate, side * mu / (rate * size), part, scores, row, work
        )
        value, by_tilt = k + y - mu * aim, first - mu * aim
        by_rate, both = gain - mean - mu * aim, turn - mean - mu * aim
        twice = second + by_tilt
        det = by_rate * twice - by_tilt * both
        dx = (by_tilt * by_tilt - value * twice) / det
        dt = (value * both - by_tilt * by_rate) / det
        if not (np.isfinite(dx) and np.isfinite(dt)):
            break
        dx, dt = min(max(dx, -1.0), 1.0), min(max(dt, -1.0), 1.0)
        rate *= math.exp(dx)
        mu *= math.exp(dx + dt)
        if not 0 < rate < high:
            break
        if abs(dx) < 1e-6 and abs(dt) < 1e-2:
            raised = min(rate * (1 + RAISED), high)
            below = rate * (1 - tolerance)
            set_coins(below, weight, scores, coins)
            _, _, up, down = profile(coins, row, size, work)
            if safe(up if side > 0 else down) <= eps:  # no coin reaches so far there
                break
            good, at = _holds(raised, side, part, scores, row, size, y, eps, np.inf, mu, work)
            if good:
                return raised, at
            break
    mu = max(mu, 1.0) if np.isfinite(mu) else 1.0
    high = _bisect(
        low, high, side, weight, part, scores, row, size, y, eps, mu, tolerance, coins, work
    )
    set_coins(min(start, high), weight, scores, coins)
    variance = profile(coins, row, size, work)[0]
    return high, math.sqrt(2 * y / variance) if variance > 0 else mu


@compiled_leaf
def _take(rows, x, index, row):
    """Write a row at the weights that count."""
    for i in range(index.size):
        row[i] = rows[x, index[i]]


@compiled_leaf
def _hardest(index, rows, size, y, coins, sums, bounds, row, work):
    """Row of the largest Bernstein bound, that bound, the variance and the deviations there."""
    hardest, most, variance, up, down = -1, 0.0, 0.0, 0.0, 0.0
    for x in range(len(rows)):
        bound = bernstein(sums[x, 0], sums[x, 3], y) * (1 + NEAR)
        bounds[x] = (bound if sums[x, 0] > 0 else np.inf) if size[x] > 0 else 0.0
    while True:
        x = np.argmax(bounds)
        if not bounds[x] >= most or bounds[x] <= 0:
            return hardest, most, variance, up, down
        bounds[x] = -1.0
        _take(rows, x, index, row)
        v, jump, one, other = profile(coins, row, size[x], work)
        screen = bernstein(v, jump, y)
        if screen > most or (screen == most and x < hardest):
            hardest, most, variance, up, down = x, screen, v, one, other


@compiled
def _open(floor, usual, skipped, index, rows, size, y, coins, sums, row, work):
    """Rows whose error may pass the floor, from the largest Bernstein bound down.

    With the variances and deviations there, (m,) and (m, 2). `usual` are tilts of both sides in
    units of a normal law's.
    """
    at, count = np.empty(len(rows), np.intp), 0
    screen, variance, caps = np.empty(len(rows)), np.empty(len(rows)), np.empty((len(rows), 2))
    for x in range(len(rows)):
        if x == skipped or not size[x] > 0:
            continue
        normal = math.sqrt(2 * y / sums[x, 0]) if sums[x, 0] > 0 else 1.0
        if cleared(1.0, sums[x], index.size, size[x], y, floor, usual[0] * normal) and cleared(
            -1.0, sums[x], index.size, size[x], y, floor, usual[1] * normal
        ):
            continue
        _take(rows, x, index, row)
        variance[count], jump, caps[count, 0], caps[count, 1] = profile(coins, row, size[x], work)
        screen[count] = bernstein(variance[count], jump, y)
        if screen[count] > floor:
            at[count] = x
            count += 1
    order = np.argsort(-screen[:count], kind="mergesort")
    return at[order], variance[order], caps[order]


@compiled
def _least_rate(weight, scores, part, index, rows, peaks, size, y, eps, certain, tolerance, work):
    """Least rate of one neuron at which the error is at most eps at every row."""
    coins, powers, sums = (
        np.empty((2, index.size)),
        np.zeros((3, rows.shape[1])),
        np.empty((len(rows) + 1, 5)),
    )
    row, other, hardest, variance = np.empty(index.size), np.empty((2, index.size)), -1, 0.0
    rate, bounds = min(2 * (1 + eps / 3) * y / eps**2, certain), np.empty(len(rows))
    for _ in range(STEPS):
        set_coins(rate, weight, scores, coins)
        add_up(rate, weight, scores, index, rows, peaks, size, powers, sums)
        hardest, _, variance, _, _ = _hardest(index, rows, size, y, coins, sums, bounds, row, work)
        if hardest >= 0:
            break
        rate /= 2  # all coins are certain
    if hardest < 0:
        return 0.0
    ratio, least = np.ones(2), 0.0
    _take(rows, hardest, index, row)
    for s in range(2):
        side = 1.0 - 2.0 * s
        mu = math.sqrt(2 * y / variance)
        solved, at = _solve(
            rate, 0.0, certain, side, weight, part, scores, row, size[hardest], y, eps, mu,
            tolerance, coins, work,
        )  # fmt: skip
        set_coins(solved, weight, scores, coins)
        v = profile(coins, row, size[hardest], work)[0]
        ratio[s] = min(max(at / math.sqrt(2 * y / v), 0.25), 4.0) if v > 0 else 1.0
        least = max(least, solved)
    rate = least
    set_coins(rate, weight, scores, coins)
    add_up(rate, weight, scores, index, rows, peaks, size, powers, sums)
    left, variances, caps = _open(eps, ratio, hardest, index, rows, size, y, coins, sums, row, work)
    for i in range(left.size):
        x = left[i]
        _take(rows, x, index, row)
        for s in range(2):
            side = 1.0 - 2.0 * s
            mu = ratio[s] * math.sqrt(2 * y / variances[i])
            if cleared(side, sums[x], index.size, size[x], y, eps, mu):
                continue
            good, at = _holds(rate, side, part, scores, row, size[x], y, eps, caps[i, s], mu, work)
            if not good:
                rate, _ = _solve(
                    rate, rate, certain, side, weight, part, scores, row, size[x], y, eps, at,
                    tolerance, other, work,
                )  # fmt: skip
    return rate


@compiled
def _worst(weight, scores, part, index, rows, peaks, size, y, rate, floor, work):
    """Largest error of one neuron over the rows, and where; -1 where none passes the floor."""
    coins, powers, sums = (
        np.empty((2, index.size)),
        np.zeros((3, rows.shape[1])),
        np.empty((len(rows) + 1, 5)),
    )
    row, bounds, caps, ratio = np.empty(index.size), np.empty(len(rows)), np.empty(2), np.ones(2)
    set_coins(rate, weight, scores, coins)
    add_up(rate, weight, scores, index, rows, peaks, size, powers, sums)
    x, screen, variance, caps[0], caps[1] = _hardest(
        index, rows, size, y, coins, sums, bounds, row, work
    )
    most, where = floor, -1
    if not screen > floor:
        return most, where
    left, variances, limits = np.full(1, x), np.full(1, variance), caps.reshape(1, 2)
    for turn in range(2):
        for i in range(left.size):
            x, usual = left[i], math.sqrt(2 * y / variances[i])
            _take(rows, x, index, row)
            for s in range(2):
                side = 1.0 - 2.0 * s
                if not safe(limits[i, s]) > most or cleared(
                    side, sums[x], index.size, size[x], y, most, ratio[s] * usual
                ):
                    continue
                error, at = _least(
                    rate, side, part, scores, row, size[x], y, limits[i, s], most,
                    ratio[s] * usual, work,
                )  # fmt: skip
                if error > most:
                    most, where, ratio[s] = error, x, min(max(at / usual, 0.25), 4.0)
        if turn == 0 and len(rows) > 1:
            left, variances, limits = _open(
                most, ratio, x, index, rows, size, y, coins, sums, row, work
            )
        else:
            break
    return most, where


@compiled
def _peaks(rows):
    """Largest magnitude in each column, (fan_in,)."""
    peaks = np.zeros(rows.shape[1])
    for x in range(len(rows)):
        for j in range(peaks.size):
            a = abs(rows[x, j])
            peaks[j] = a if a > peaks[j] else peaks[j]
    return peaks


@compiled
def _live(weight, scores):
    """Weights that count, their scores, w/s, and where they are."""
    index = np.empty(weight.size, np.intp)
    count = 0
    for j in range(weight.size):
        if weight[j] != 0 and scores[j] > 0:
            index[count] = j
            count += 1
    w, s = np.empty(count), np.empty(count)
    for i in range(count):
        w[i], s[i] = weight[index[i]], scores[index[i]]
    return w, s, w / s, index[:count]


@compiled
def least_rates(weight, scores, rows, size, logs, eps, certain, tolerance, first, last, rates):
    """Write the least rates of neurons first to last.

    Shapes: weight, scores (out, k), rows (n, k), size (out, n); logs, certain, found (out,).
    """
    work, peaks = np.zeros((11, LANES)), _peaks(rows)
    for i in range(first, last):
        w, s, part, index = _live(weight[i], scores[i])
        if w.size and certain[i] > 0:
            rates[i] = _least_rate(
                w, s, part, index, rows, peaks, size[i], logs[i], eps, certain[i], tolerance, work
            )
        else:
            rates[i] = 0.0


@compiled
def worst_errors(
    weight, scores, rows, size, logs, rate, floor, neurons, first, last, errors, where
):
    """Write the largest error of neurons[first:last] at their rates, and at which row.

    Shapes: as for `least_rates`; rate, neurons, found, where (b,).
    """
    work, peaks = np.zeros((11, LANES)), _peaks(rows)
    for b in range(first, last):
        i = neurons[b]
        w, s, part, index = _live(weight[i], scores[i])
        errors[b], where[b] = floor, -1
        if w.size and rate[b] > 0:
            errors[b], where[b] = _worst(
                w, s, part, index, rows, peaks, size[i], logs[i], rate[b], floor, work
            )


@compiled
def pair_errors(weight, scores, rows, size, logs, rate, neurons, at, errors):
    """Write the errors of pairs (neuron, row) at rates. Shapes: rate, neurons, at, found (b,)."""
    work = np.zeros((11, LANES))
    for b in range(neurons.size):
        i, x = neurons[b], at[b]
        w, s, part, index = _live(weight[i], scores[i])
        errors[b] = 0.0
        if w.size and rate[b] > 0:
            errors[b], _ = _worst(
                w,
                s,
                part,
                index,
                rows[x : x + 1],
                np.abs(rows[x]),
                size[i, x : x + 1],
                logs[i],
                rate[b],
                0.0,
                work,
            )

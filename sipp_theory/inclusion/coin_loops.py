"""SP-11's Chernoff bound for independent coins, in compiled loops: one neuron at a time.

With p_j = min(1, c s_j), t_j = mu w_j a_j/(c s_j z~) for a tilt mu of one side, the bound on the
error is (K + y)/mu, K = sum_j ln(1 - p_j + p_j e^(t_j)) - p_j t_j, y = ln(2/delta), at any mu > 0:
a search that stops early costs tightness, never truth. K falls with c at every mu, so rows may be
gone through once, with a rate that only rises.

Sums are formed in LANES lanes, products of eight factors stand for the sum of their logarithms, and
K is rounded up by what all of that may have lost. The same bits on every machine.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import math

import numpy as np

from sipp_theory.numeric.checks import UNIT
from sipp_theory.numeric.compiling import compiled, compiled_leaf

LANES = 128
FACTORS = 8
# Beyond this tilt ln(1 - p + p e^t) is taken to grow like t: FACTORS times as much has an e^t.
FAR = 80.0
# A rate found by Newton's steps is raised by this, so that it holds after all rounding.
RAISED = 3e-5
# Of a share, and of an error at all: more than K + y and the quotient by mu lose to rounding.
LOOSE, TINY = 1e-12, 1e-16
NEWTON_STEPS, STEPS = 60, 60

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


@compiled_leaf
def _add_profile(rate, weight, scores, row, first, size, variance, jump, up, down):
    """Add a block of weights to the lanes of `_profile`."""
    for i in range(size):
        p = rate * scores[first + i]
        h = weight[first + i] * row[first + i]
        moved = abs(h) if p < 1.0 else 0.0
        gain = moved * ((1.0 - p) / p)
        variance[i] += moved * gain
        larger = gain if gain > moved else moved
        jump[i] = larger if larger > jump[i] else jump[i]
        up[i] += gain if h > 0 else moved
        down[i] += moved if h > 0 else gain


@compiled_leaf
def _profile(rate, weight, scores, row, size, work):
    """Variance at a row, a bound on one term, and the largest deviations up and down."""
    work[:4] = 0.0
    for block in range(0, weight.size, LANES):
        count = min(LANES, weight.size - block)
        _add_profile(rate, weight, scores, row, block, count, work[0], work[1], work[2], work[3])
    variance, jump, up, down = 0.0, 0.0, 0.0, 0.0
    for i in range(LANES):
        variance += work[0, i]
        jump = max(jump, work[1, i])
        up += work[2, i]
        down += work[3, i]
    slack = 1 + 8 * (weight.size + 8) * UNIT
    return (
        variance / size / size * slack, jump / size * slack, up / size * slack, down / size * slack
    )  # fmt: skip


@compiled_leaf
def _bernstein(variance, jump, y):
    """Error by Bernstein's bound, never below Chernoff's."""
    if not variance > 0:
        return 0.0
    linear = jump * y / 3
    return (linear + math.sqrt(linear * linear + 2 * variance * y)) * (1 + 2 * LOOSE)


@compiled_leaf
def _safe(error):
    return np.nextafter(error * (1 + LOOSE) + TINY, np.inf)


@compiled_leaf
def _least(rate, side, part, scores, row, size, y, most, floor, mu, work):
    """Least (K + y)/mu that Newton's steps see, no better than `floor` asks for; and where."""
    best, at, low, high = most, mu, 0.0, np.inf
    if floor > 0:  # most rows are cleared at first sight
        k = moments(rate, side * mu / (rate * size), part, scores, row, work, False)[0]
        if _safe((k + y) / mu) <= floor:
            return floor, at
    for _ in range(NEWTON_STEPS):
        k, first, second, _, _, _ = moments(
            rate, side * mu / (rate * size), part, scores, row, work
        )
        if (k + y) / mu < best:
            best, at = (k + y) / mu, mu
        if _safe(best) <= floor:
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
    return _safe(best), at


@compiled_leaf
def _holds(rate, side, part, scores, row, size, y, eps, most, mu, work):
    """Whether the error is seen to be at most eps; and the tilt that was looked at last."""
    if _safe(most) <= eps:
        return True, mu
    k = moments(rate, side * mu / (rate * size), part, scores, row, work, False)[0]
    if _safe((k + y) / mu) <= eps:
        return True, mu
    for _ in range(NEWTON_STEPS):
        k, first, second, _, _, _ = moments(
            rate, side * mu / (rate * size), part, scores, row, work
        )
        if _safe((k + y) / mu) <= eps:
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
def _bisect(low, high, side, weight, part, scores, row, size, y, eps, mu, tolerance, work):
    """Least rate between one that fails, or 0, and one that holds."""
    for _ in range(STEPS):
        if not high > low * (1 + tolerance):
            break
        rate = math.sqrt(low * high) if low > 0 else high / 8
        variance, _, up, down = _profile(rate, weight, scores, row, size, work)
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
def _solve(rate, low, high, side, weight, part, scores, row, size, y, eps, mu, tolerance, work):
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
            _, _, up, down = _profile(below, weight, scores, row, size, work)
            if _safe(up if side > 0 else down) <= eps:  # no coin reaches so far there
                break
            good, at = _holds(raised, side, part, scores, row, size, y, eps, np.inf, mu, work)
            if good:
                return raised, at
            break
    mu = max(mu, 1.0) if np.isfinite(mu) else 1.0
    high = _bisect(low, high, side, weight, part, scores, row, size, y, eps, mu, tolerance, work)
    variance = _profile(min(start, high), weight, scores, row, size, work)[0]
    return high, math.sqrt(2 * y / variance) if variance > 0 else mu


@compiled
def _least_rate(weight, scores, part, rows, size, y, eps, certain, tolerance, work):
    """Least rate of one neuron at which the error is at most eps at every row."""
    count = len(rows)
    screen, variance, caps = np.zeros(count), np.zeros(count), np.zeros((count, 2))
    rate, hardest = min(2 * (1 + eps / 3) * y / eps**2, certain), -1
    for _ in range(STEPS):
        for x in range(count):
            if size[x] > 0:
                v, jump, _, _ = _profile(rate, weight, scores, rows[x], size[x], work)
                screen[x] = _bernstein(v, jump, y)
                variance[x] = v
        hardest = int(np.argmax(screen))
        if screen[hardest] > 0:
            break
        rate /= 2  # all coins are certain
    if not screen[hardest] > 0:
        return 0.0
    ratio, least = np.ones(2), 0.0
    for s in range(2):
        side = 1.0 - 2.0 * s
        mu = math.sqrt(2 * y / variance[hardest])
        solved, at = _solve(
            rate, 0.0, certain, side, weight, part, scores, rows[hardest], size[hardest], y, eps,
            mu, tolerance, work,
        )  # fmt: skip
        v = _profile(solved, weight, scores, rows[hardest], size[hardest], work)[0]
        ratio[s] = min(max(at / math.sqrt(2 * y / v), 0.25), 4.0) if v > 0 else 1.0
        least = max(least, solved)
    rate = least
    for x in range(count):
        screen[x] = 0.0
        if size[x] > 0:
            v, jump, caps[x, 0], caps[x, 1] = _profile(rate, weight, scores, rows[x], size[x], work)
            screen[x], variance[x] = _bernstein(v, jump, y), v
    for x in np.argsort(-screen):
        if not screen[x] > eps:
            break
        if x == hardest:
            continue
        for s in range(2):
            side = 1.0 - 2.0 * s
            mu = ratio[s] * math.sqrt(2 * y / variance[x])
            good, at = _holds(
                rate, side, part, scores, rows[x], size[x], y, eps, caps[x, s], mu, work
            )
            if not good:
                rate, _ = _solve(
                    rate, rate, certain, side, weight, part, scores, rows[x], size[x], y, eps, at,
                    tolerance, work,
                )  # fmt: skip
    return rate


@compiled
def _worst(weight, scores, part, rows, size, y, rate, floor, work):
    """Largest error of one neuron over the rows, and where; -1 where none passes the floor."""
    count = len(rows)
    screen, variance, caps = np.zeros(count), np.zeros(count), np.zeros((count, 2))
    for x in range(count):
        if size[x] > 0:
            v, jump, caps[x, 0], caps[x, 1] = _profile(rate, weight, scores, rows[x], size[x], work)
            screen[x], variance[x] = _bernstein(v, jump, y), v
    most, where, ratio = floor, -1, np.ones(2)
    for x in np.argsort(-screen):
        if not screen[x] > most:
            break
        for s in range(2):
            if not _safe(caps[x, s]) > most:
                continue
            usual = math.sqrt(2 * y / variance[x])
            error, at = _least(
                rate, 1.0 - 2.0 * s, part, scores, rows[x], size[x], y, caps[x, s], most,
                ratio[s] * usual, work,
            )  # fmt: skip
            if error > most:
                most, where, ratio[s] = error, x, min(max(at / usual, 0.25), 4.0)
    return most, where


@compiled
def _live(weight, scores, rows):
    """Weights that count, their scores, w/s, and the rows at them."""
    count = 0
    for j in range(weight.size):
        if weight[j] != 0 and scores[j] > 0:
            count += 1
    if count == weight.size:
        return weight, scores, weight / scores, rows
    w, s, a = np.empty(count), np.empty(count), np.empty((len(rows), count))
    at = 0
    for j in range(weight.size):
        if weight[j] != 0 and scores[j] > 0:
            w[at], s[at] = weight[j], scores[j]
            at += 1
    for x in range(len(rows)):
        at = 0
        for j in range(weight.size):
            if weight[j] != 0 and scores[j] > 0:
                a[x, at] = rows[x, j]
                at += 1
    return w, s, w / s, a


@compiled
def least_rates(weight, scores, rows, size, logs, eps, certain, tolerance, first, last, rates):
    """Write the least rates of neurons first to last.

    Shapes: weight, scores (out, k), rows (n, k), size (out, n); logs, certain, found (out,).
    """
    work = np.zeros((11, LANES))
    for i in range(first, last):
        w, s, part, a = _live(weight[i], scores[i], rows)
        if w.size and certain[i] > 0:
            rates[i] = _least_rate(
                w, s, part, a, size[i], logs[i], eps, certain[i], tolerance, work
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
    work = np.zeros((11, LANES))
    for b in range(first, last):
        i = neurons[b]
        w, s, part, a = _live(weight[i], scores[i], rows)
        errors[b], where[b] = floor, -1
        if w.size and rate[b] > 0:
            errors[b], where[b] = _worst(w, s, part, a, size[i], logs[i], rate[b], floor, work)


@compiled
def pair_errors(weight, scores, rows, size, logs, rate, neurons, at, errors):
    """Write the errors of pairs (neuron, row) at rates. Shapes: rate, neurons, at, found (b,)."""
    work = np.zeros((11, LANES))
    for b in range(neurons.size):
        i, x = neurons[b], at[b]
        w, s, part, a = _live(weight[i], scores[i], rows[x : x + 1])
        errors[b] = 0.0
        if w.size and rate[b] > 0:
            errors[b], _ = _worst(w, s, part, a, size[i, x : x + 1], logs[i], rate[b], 0.0, work)

"""The CPU kernel of S = W o maxmul(A, 1/Z): a bound first, then products along the rows.

Rows are taken ROWS at a time, those of few active inputs first, and laid out by columns, so that
one weight meets ROWS of them in vector registers: a_j times the 1/z that the weight's sign asks
for. Most weights never get there. The largest entry of the column times the largest 1/z, each row
scaled to a peak of 1, is no more than the maximum so far, and no share can be larger: exact, since
rounding is monotone. Weights are shared out to threads, never rows: the bits depend neither on the
number of threads nor on how the work is cut.
"""

# numba infers the types of what it compiles.
# pyright: reportMissingParameterType=false, reportCallIssue=false
from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sipp_core.runtime.vectors import transpose
from sipp_core.sensitivity._cpu_vector import (
    NARROW,
    ROWS,
    WIDE,
    largest_product,
    lowest_bit,
    promising,
    raise_peaks_of,
)
from sipp_theory.numeric.compiling import compiled, compiled_leaf, compiled_unordered

# Rows are put in order among LEAST or more, whose CHUNK elements and 1/z stay in the cache.
CHUNK, LEAST = 2**17, 256
COLUMNS, OUTPUTS = 256, 1024  # weights a piece of work: COLUMNS inputs of OUTPUTS neurons
# (weight, row) pairs, some 15 ms, below which waiting for a second thread's turn costs more than it
# brings: torch's own threads keep spinning for a while after each of its operations.
THREAD_PAIRS = 2**28
KINDS = (torch.float32, torch.float64)
BUCKETS = 256  # of a row's sum over its peak, 16 to a factor of 2
FLOOR = 2.0**-60  # of a bound's factors, so that nothing in it underflows
SLACK = 1 + 2.0**-18  # more than a bound's four roundings
LOW, HIGH = 1e-30, 1e30  # peaks that a row is scaled by


@compiled_unordered
def _sum(row):
    """Sum of a row, in any order."""
    total = row.dtype.type(0)
    for c in range(len(row)):
        total += row[c]
    return total


@compiled_leaf
def _largest(bits):
    """Largest of whole numbers."""
    largest = bits.dtype.type(0)
    for c in range(len(bits)):
        largest = max(largest, bits[c])
    return largest


@compiled_leaf
def _peak(row):
    """Largest of numbers that are not negative, which stand in the order of their bits."""
    if row.itemsize == 4:
        return row.dtype.type(np.int32(_largest(row.view(np.int32))).view(np.float32))
    return row.dtype.type(np.int64(_largest(row.view(np.int64))).view(np.float64))


@compiled_leaf
def _scales(activations, units, scales, buckets):
    """Of each row what brings its peak to 1 if it can, what brings 1/z back, and a bucket."""
    one, slack = scales.dtype.type(1), scales.dtype.type(SLACK)
    for x in range(len(scales)):
        peak = _peak(activations[x])
        scale = peak if (peak > LOW) & (peak < HIGH) else one
        units[x], scales[x] = one / scale, scale * slack
        # The sum over the peak is about the number of active inputs. Its exponent and four bits of
        # what follows: 16 buckets to a factor of 2.
        active = np.float32(_sum(activations[x]) / peak if peak > 0 else one)
        sixteenths = (active.view(np.int32) >> 19) - (127 << 4)
        buckets[x] = min(sixteenths, BUCKETS - 1) if peak > 0 else BUCKETS - 1


@compiled_leaf
def _sort(buckets, start, places, order):
    """Put rows start, start + 1, ... in the order of their buckets."""
    places[:] = 0
    for x in range(len(buckets)):
        places[np.uint64(buckets[x]) + np.uint64(1)] += 1
    for k in range(BUCKETS):
        places[k + 1] += places[k]
    for x in range(len(buckets)):
        k = np.uint64(buckets[x])
        order[places[k]] = start + x
        places[k] += 1


@compiled_leaf
def _peaks(rows, order, factors, start, left, right, peaks):
    """Find the peaks of columns left..right of a block of rows, times factors.

    Shapes: order (at most ROWS,); peaks (columns,), 0 or at least FLOOR.
    """
    floor, count = peaks.dtype.type(FLOOR), right - left
    # The last vector may overlap the one before it.
    if count >= WIDE:
        for c in range(0, count, WIDE):
            at = min(c, count - WIDE)
            raise_peaks_of(WIDE, rows, order, factors, start, left + at, floor, peaks, at)
    elif count >= NARROW:
        for c in range(0, count, NARROW):
            at = min(c, count - NARROW)
            raise_peaks_of(NARROW, rows, order, factors, start, left + at, floor, peaks, at)
    else:
        for c in range(count):
            raise_peaks_of(1, rows, order, factors, start, left + c, floor, peaks, c)


@compiled_leaf
def _lay(rows, order, left, column, tile, laid):
    """Lay a column of a block of rows out and, where there are so many, those beside it.

    Shapes: order (ROWS,); tile (columns, ROWS), of the columns from `left` on; laid (columns,).
    """
    count = len(tile)
    if count >= WIDE:
        at = min(column // WIDE * WIDE, count - WIDE)
        for x in range(0, ROWS, WIDE):
            transpose(WIDE, rows.reshape(-1), order, x, rows.shape[1], left + at, tile, at, x)
        laid[at : at + WIDE] = 1
    else:
        for x in range(ROWS):
            tile[column, x] = rows[order[x], left + column]
        laid[column] = 1


@compiled_leaf
def _first(weight, entries, inverses, share):
    """The first row of a block whose share is the largest one."""
    one = entries.dtype.type(1)
    for x in range(ROWS):
        own = abs(weight) * (entries[x] * inverses[x])
        if (own if own < one else one) == share:
            return x
    return -1


@compiled_leaf
def _promising(weights, best, peaks, plus, minus, at):
    """Bits of which of the next WIDE weights of a neuron can rise, and their first place."""
    count = len(weights)
    if count >= WIDE:
        return promising(WIDE, weights, best, peaks, min(at, count - WIDE), plus, minus)
    bits = np.uint64(0)
    for c in range(count):
        bits |= promising(1, weights, best, peaks, c, plus, minus) << np.uint64(c)
    return bits


@compiled_leaf
def _blocks(
    track, weight, inverse, activations, maximum, setter, left, right, low, high, start, order,
    count, units, scales, peaks, tops, tile, tiles, laid, opened,
):  # fmt: skip
    """Raise the maxima of inputs left..right of neurons low..high by `count` rows from `start`.

    A chunk's rows are taken in their order, ROWS of them at a time.
    """
    outs, width, one = high - low, right - left, weight.dtype.type(1)
    for first in range(0, count, ROWS):
        some = order[first : first + ROWS]
        _peaks(activations, some, units, start, left, right, peaks)
        if outs == len(weight):
            _peaks(inverse, some, scales, start, 0, 2 * outs, tops)
        else:
            _peaks(inverse, some, scales, start, low, high, tops[:outs])
            _peaks(inverse, some, scales, start, len(weight) + low, len(weight) + high, tops[outs:])
        laid[:], opened[:] = 0, 0
        for i in range(outs):
            weights, best = weight[low + i, left:right], maximum[low + i, left:right]
            into = setter[low + i if track else 0, left:right]
            for group in range(0, width, WIDE):
                bits = _promising(weights, best, peaks, tops[i], tops[outs + i], group)
                at = max(min(group, width - WIDE), 0)
                while bits:
                    c = at + lowest_bit(bits)
                    bits &= bits - np.uint64(1)
                    sign = np.intp(0) if weights[c] > 0 else np.intp(1)
                    if not laid[c]:
                        _lay(activations, some, left, c, tile[:width], laid)
                    if not opened[sign, i]:
                        _lay(inverse, some, sign * len(weight) + low, i, tiles[sign], opened[sign])
                    mine = tiles[sign, i]
                    share = abs(weights[c]) * largest_product(tile[c], mine)
                    share = share if share < one else one  # rounding may carry it past 1 (ES-1)
                    if track and share > best[c]:
                        into[c] = start + first + _first(weights[c], tile[c], mine, share)
                    best[c] = share if share > best[c] else best[c]


@compiled_leaf
def raise_peaks(values, signed, high, low):
    """Raise high to the columns' largest values and low to those of -values, both at least 0."""
    for x in range(len(values)):
        row = values[x]
        for c in range(len(row)):
            high[c] = row[c] if row[c] > high[c] else high[c]
        for c in range(len(row) if signed else 0):
            low[c] = -row[c] if -row[c] > low[c] else low[c]


@compiled_leaf
def _count(values, counts):
    """Add to counts how many of each column are above 0."""
    for x in range(len(values)):
        row = values[x]
        for c in range(len(row)):
            counts[c] += row[c] > 0


@compiled_leaf
def _invert(values):
    """1/z in the place of z, 0 where that is infinite; z may be -0."""
    one, infinite = values.dtype.type(1), values.dtype.type(np.inf)
    for k in range(len(values)):
        inverse = one / values[k]
        values[k] = inverse if abs(inverse) < infinite else values.dtype.type(0)


@compiled_leaf
def _ratios(z, others, bias, ratios):
    """Write max(1, total/|net|), 1 where both are 0, of both signs' z of a+ and, if any, a-."""
    one, out = z.dtype.type(1), len(bias)
    for x in range(len(z)):
        plus, minus, ratio = z[x, :out], z[x, out:], ratios[x]
        for i in range(out):
            net, total = plus[i] - minus[i], plus[i] + minus[i]
            if len(others):
                net = net - others[x, i] + others[x, out + i]
                total = total + others[x, i] + others[x, out + i]
            net = abs(net + bias[i])
            quotient = (total if total > net else net) / net
            ratio[i] = one if quotient != quotient else quotient


@compiled
def _piece(
    track, weight, inverse, activations, chunk, maximum, setter, left, right, low, high
):  # fmt: skip
    """Do inputs left..right of neurons low..high over all rows, a chunk of them at a time."""
    widest, outs, kind = min(COLUMNS, right - left), high - low, weight.dtype
    tile, peaks = np.empty((widest, ROWS), kind), np.empty(widest, kind)
    tiles, tops = np.empty((2, outs, ROWS), kind), np.empty(2 * outs, kind)
    laid, opened = np.empty(widest, np.uint8), np.empty((2, outs), np.uint8)
    order, places = np.empty(chunk + ROWS, np.int64), np.empty(BUCKETS + 1, np.int64)
    units, scales = np.empty(chunk, kind), np.empty(chunk, kind)
    buckets = np.zeros(chunk, np.int16)
    for start in range(0, len(activations), chunk):
        count = min(chunk, len(activations) - start)
        _scales(activations[start : start + count], units[:count], scales[:count], buckets[:count])
        if track:  # the first row to attain a maximum sets it
            buckets[:] = 0
        _sort(buckets[:count], start, places, order)
        order[count : count + ROWS] = order[count - 1]  # a row twice raises no maximum
        for begin in range(left, right, widest):
            _blocks(
                track, weight, inverse, activations, maximum, setter, begin,
                min(begin + widest, right), low, high, start, order, count, units, scales, peaks,
                tops, tile, tiles, laid, opened,
            )  # fmt: skip


def side_by_side(z: Tensor) -> Tensor:
    """(2, n, out) numbers of both signs as (n, 2 out) ones, each row's beside each other."""
    return z.detach().movedim(0, 1).flatten(1).contiguous()


def count_positive(z: Tensor, live: Tensor) -> None:
    """Add to live (2, out) in how many rows z (2, n, out) is above 0."""
    _count(side_by_side(z).numpy(), live.view(-1).numpy())


def invert(z: Tensor) -> Tensor:
    """1/z, 0 where z is 0 or so small that it is infinite; z is overwritten or let go."""
    joined = side_by_side(z)
    _invert(joined.view(-1).numpy())
    return joined.unflatten(1, z.shape[::2]).movedim(1, 0)


def cancellations(z: Sequence[Tensor], bias: Tensor) -> Tensor:
    """max(1, (z^+ + z^-)/|z^+ - z^- + b|) of each row and neuron, 1 where nothing flows.

    Shapes: z one or two of (2, n, out), of a+ and a-; bias (out,); returns (n, out).
    """
    joined = [side_by_side(each).numpy() for each in z]
    ratios = z[0].new_empty(z[0].shape[1:])
    _ratios(joined[0], joined[-1][: len(ratios) * (len(z) - 1)], bias.numpy(), ratios.numpy())
    return ratios


def raise_maxima(
    maximum: Tensor,
    weight: Tensor,
    inverse: Tensor,
    activations: Tensor,
    setter: Tensor | None = None,
) -> None:
    """Raise maxima to min(1, |w_ij| max_x a_j(x) r_i^s(x)), s the sign of w_ij, all on the CPU.

    Shapes: maximum (out, fan_in), weight (out, fan_in) float32 or float64, inverse (2, n, out),
    activations (n, fan_in); setter (out, fan_in) int64, the row that set a maximum.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.
    """
    (out, fan_in), n = weight.shape, len(activations)
    w, a = (t.detach().contiguous().numpy() for t in (weight, activations))
    r = side_by_side(inverse).numpy()
    places = np.empty((1, fan_in), np.int64) if setter is None else setter.numpy()
    chunk = min(n, max(CHUNK // (fan_in + 2 * out), LEAST))
    given = (setter is not None, w, r, a, chunk, maximum.numpy(), places)
    threads = torch.get_num_threads() if out * fan_in * n >= THREAD_PAIRS else 1
    columns = -(-fan_in // threads)
    pieces = iter(
        [
            (left, min(left + columns, fan_in), low, min(low + OUTPUTS, out))
            for left in range(0, fan_in, columns)
            for low in range(0, out, OUTPUTS)
        ]
    )

    def work() -> None:
        for piece in pieces:
            _piece(*given, *piece)

    _side_by_side(work, threads)


def _side_by_side(work: Callable[[], None], threads: int) -> None:
    """Run `work` in this thread and in helpers; the first error of any is raised here.

    Threads of our own, a few tens of microseconds each: numba's layers abort the process where two
    threads call them at once, or a forked child does.
    """
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    helpers = [threading.Thread(target=guarded) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    guarded()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]

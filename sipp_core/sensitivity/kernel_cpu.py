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
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sipp_core.sensitivity._cpu_vector import ROWS, largest_product
from sipp_theory.numeric.compiling import compiled, compiled_leaf, compiled_unordered

# Rows are put in order among LEAST or more, whose CHUNK elements and 1/z stay in the cache.
CHUNK, LEAST = 2**17, 256
COLUMNS, OUTPUTS = 256, 1024  # weights a piece of work: COLUMNS inputs of OUTPUTS neurons
# (weight, row) pairs, some 15 ms, below which waiting for a second thread's turn costs more than it
# brings: torch's own threads keep spinning for a while after each of its operations.
THREAD_PAIRS = 2**28
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
def _columns(rows, order, factors, start, left, right, tile, peaks):
    """Lay columns left..right of a block of rows out, and find their peaks, rows times factors.

    Shapes: order (at most ROWS,); tile (columns, ROWS); peaks (columns,), 0 or at least FLOOR.
    """
    zero, floor = peaks.dtype.type(0), peaks.dtype.type(FLOOR)
    peaks[:] = zero
    for x in range(len(order)):
        row, factor = rows[order[x], left:right], factors[order[x] - start]
        for c in range(len(row)):
            tile[c, np.uint64(x)] = row[c]
        for c in range(len(row)):
            scaled = row[c] * factor
            scaled = scaled if scaled > floor else floor
            scaled = scaled if row[c] > zero else zero
            peaks[c] = scaled if scaled > peaks[c] else peaks[c]


@compiled_leaf
def _promising(weights, best, peaks, plus, minus, flags):
    """Of which weights of a neuron a maximum can rise: min(1, |w| max r max a) > best."""
    one = weights.dtype.type(1)
    for c in range(len(weights)):
        top = plus if weights[c] > 0 else minus
        # A share of 1 is never beaten, and 0 * inf is no share.
        flags[c] = (abs(weights[c]) * (top * peaks[c]) > best[c]) & (best[c] < one)


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
def _climb(track, weights, best, setter, first, entries, plus, minus, chosen):
    """Raise the maxima of a neuron's chosen weights by one block, and say which rows set them."""
    one = weights.dtype.type(1)
    for c in chosen:
        inverses = plus if weights[c] > 0 else minus
        share = abs(weights[c]) * largest_product(entries[c], inverses)
        share = share if share < one else one  # rounding may carry it past 1 (ES-1)
        if track and share > best[c]:
            setter[c] = first + _first(weights[c], entries[c], inverses, share)
        best[c] = share if share > best[c] else best[c]


@compiled_leaf
def _chosen(flags, places):
    """Places of the flags that are 1, of which their number is returned."""
    groups, count = flags.view(np.uint64), np.uint64(0)
    for g in range(len(groups)):
        if groups[g] != 0:
            for c in range(8 * g, 8 * g + 8):
                places[count] = c
                count += np.uint64(flags[c])
    return count


@compiled_leaf
def _block(
    track, weight, maximum, setter, left, right, low, first, tile, peaks, tiles, tops, flags, places
):  # fmt: skip
    """Raise the maxima of inputs left..right of all neurons of a piece by one block of rows."""
    for i in range(tops.shape[1]):
        weights, best = weight[low + i, left:right], maximum[low + i, left:right]
        into = setter[low + i if track else 0, left:right]
        _promising(weights, best, peaks, tops[0, i], tops[1, i], flags)
        chosen = places[: _chosen(flags, places)]
        _climb(track, weights, best, into, first, tile, tiles[0, i], tiles[1, i], chosen)


@compiled_leaf
def raise_peaks(values, high, low):
    """Raise high to the columns' largest values and low to those of -values, both at least 0."""
    for x in range(len(values)):
        row = values[x]
        for c in range(len(row)):
            high[c] = row[c] if row[c] > high[c] else high[c]
        for c in range(len(row)):
            low[c] = -row[c] if -row[c] > low[c] else low[c]


@compiled
def _piece(
    track, weight, plus, minus, activations, chunk, maximum, setter, left, right, low, high
):  # fmt: skip
    """Do inputs left..right of neurons low..high over all rows, a chunk of them at a time."""
    widest, outs, kind = min(COLUMNS, right - left), high - low, weight.dtype
    tile, peaks = np.zeros((widest, ROWS), kind), np.empty(widest, kind)
    tiles, tops = np.zeros((2, outs, ROWS), kind), np.empty((2, outs), kind)
    flags = np.zeros(-(-widest // 8) * 8, np.uint8)
    chosen = np.empty(len(flags) + 1, np.uint64)
    order, places = np.empty(chunk, np.int64), np.empty(BUCKETS + 1, np.int64)
    units, scales = np.empty(chunk, kind), np.empty(chunk, kind)
    buckets = np.zeros(chunk, np.int16)
    for start in range(0, len(activations), chunk):
        count = min(chunk, len(activations) - start)
        _scales(activations[start : start + count], units[:count], scales[:count], buckets[:count])
        if track:  # the first row to attain a maximum sets it
            buckets[:] = 0
        _sort(buckets[:count], start, places, order)
        for begin in range(left, right, widest):
            end = min(begin + widest, right)
            flags[:] = 0
            for first in range(0, count, ROWS):
                some = order[first : min(first + ROWS, count)]
                if len(some) < ROWS:
                    tile[:, len(some) :] = 0
                _columns(activations, some, units, start, begin, end, tile, peaks)
                _columns(plus, some, scales, start, low, high, tiles[0], tops[0])
                _columns(minus, some, scales, start, low, high, tiles[1], tops[1])
                _block(
                    track, weight, maximum, setter, begin, end, low, start + first, tile, peaks,
                    tiles, tops, flags, chosen,
                )  # fmt: skip


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
    w, r, a = (t.detach().contiguous().numpy() for t in (weight, inverse, activations))
    places = np.empty((1, fan_in), np.int64) if setter is None else setter.numpy()
    chunk = min(n, max(CHUNK // (fan_in + 2 * out), LEAST))
    given = (setter is not None, w, r[0], r[1], a, chunk, maximum.numpy(), places)
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

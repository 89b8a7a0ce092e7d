"""The CPU kernel of S = W o maxmul(A, 1/Z): lists of what is not zero, bounds, vector registers.

Every column j of the activations becomes a list of its entries above 0, the largest first; a list
meets LANES neurons at a time, each with the denominator that its weight's sign asks for. Where even
the largest entry left times the largest 1/z would raise no maximum, the rest is passed over: exact,
since rounding is monotone. Weights are shared out to threads, never rows: the bits depend
neither on the number of threads nor on how the work is cut.
"""

# numba infers the types of what it compiles, and its intrinsics are called without `typing`.
# pyright: reportMissingParameterType=false, reportCallIssue=false
from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sipp_core.sensitivity._cpu_vector import LANES, climb, climb_first
from sipp_theory.numeric.compiling import compiled

ROWS = 128  # rows a block: one bound, and one tile of denominators in the first-level cache
SPAN = 512  # rows listed at a time: bounds the memory, whatever the batch
COLUMNS, OUTPUTS = 128, 1024  # weights a piece of work: COLUMNS inputs of OUTPUTS neurons
# (weight, row) pairs, some 15 ms, below which waiting for a second thread's turn costs more than it
# brings: torch's own threads keep spinning for a while after each of its operations.
THREAD_PAIRS = 2**28
LEVELS = 5  # the largest four eighths of a column's range, and the rest


@compiled
def _transpose(activations, order, start, stop, left, right, columns):
    """Copy inputs left..right of some rows, in their order, as columns side by side."""
    for x in range(start, stop):
        row = activations[order[x], left:right]
        for c in range(right - left):
            columns[c, x - start] = row[c]


@compiled
def _list_entries(columns, start, stop, left, right, levels, rows, values, ends, peaks):
    """List what is not zero by column, block of ROWS and level: the largest eighths come first.

    Within a level the rows keep their order. ends[c, block, level] is where its entries begin, and
    none is greater than peaks[c, block, level].
    """
    places, cursors = np.empty(ROWS, np.uint8), np.empty(levels + 1, np.uint64)
    for c in range(right - left):
        into, kept = rows[c], values[c]
        filled = np.uint64(0)
        for block in range(-(-(stop - start) // ROWS)):
            seen = columns[c, block * ROWS : min((block + 1) * ROWS, stop - start)]
            peak = seen[0]
            for a in seen:
                peak = a if a > peak else peak
            cursors[:] = 0
            for x in range(len(seen)):
                places[x] = levels if seen[x] <= 0 else 0
            for level in range(levels):
                bound = peak * seen.dtype.type(1 - level / 8)
                peaks[c, block, level] = bound
                count = np.uint32(0)
                if level == 0:
                    for a in seen:
                        count += np.uint32(a > 0)
                else:
                    for x in range(len(seen)):
                        below = (seen[x] < bound) & (seen[x] > 0)
                        places[x] += np.uint8(below)
                        count += np.uint32(below)
                cursors[level] = count
            for level in range(levels):
                ends[c, block, level] = filled
                here = cursors[level] - (cursors[level + 1] if level + 1 < levels else np.uint64(0))
                cursors[level] = filled
                filled += here
            ends[c, block, levels] = filled
            cursors[levels] = rows.shape[1] - 1  # zeros pile up in a place that nothing reads
            for x in range(len(seen)):
                level = places[x]
                at = cursors[level]
                into[at] = x
                kept[at] = seen[x]
                cursors[level] = at + np.uint64(level < levels)


@compiled
def _active_inputs(activations):
    """Sum of each row over its largest entry, inf for a row of zeros."""
    active = np.empty(len(activations), activations.dtype)
    for x in range(len(activations)):
        row = activations[x]
        total, peak = row[0], row[0]
        for a in row[1:]:
            total += a
            peak = a if a > peak else peak
        active[x] = total / peak if peak > 0 else np.inf
    return active


@compiled
def _tile(inverse, order, first, last, out, lanes, tile, top):
    """Copy one block's denominators of `lanes` neurons side by side, and find the largest."""
    top[:, :] = 0
    for sign in range(2):
        high = top[sign]
        for x in range(first, last):
            source = inverse[sign, order[x], out : out + lanes]
            into = tile[sign, x - first]
            for k in range(lanes):
                into[k] = source[k]
            for k in range(lanes):
                high[k] = into[k] if into[k] > high[k] else high[k]


@compiled
def _hopeless(weights, c, top, peak, best):
    """Whether no maximum of these lanes can rise: min(1, |w| (max r max a)) <= best in all."""
    alive = 0
    for k in range(LANES):
        w = weights[c, k]
        r = top[0, k] if w > 0 else top[1, k]
        share = abs(w) * (r * peak)
        # A share of 1 is never beaten, and 0 * inf is no share.
        alive |= (share > best[c, k]) & (best[c, k] < 1)
    return alive == 0


@compiled
def _raise(weights, c, ratio, best):
    """Raise best to min(1, |w| ratio): rounding may carry a share past 1 (ES-1)."""
    for k in range(LANES):
        share = abs(weights[c, k]) * ratio[k]
        share = share if share < 1 else weights.dtype.type(1)
        # A weight of 0 has no share, even where its 1/z overflows.
        better = (weights[c, k] != 0) & (share > best[c, k])
        best[c, k] = share if better else best[c, k]


@compiled
def _piece(
    track,
    weight,
    inverse,
    activations,
    order,
    rows,
    values,
    maximum,
    setter,
    left,
    right,
    low,
    high,
):
    """Do inputs left..right of neurons low..high over all rows."""
    columns, n = right - left, order.shape[0]
    one = weight.dtype.type(1)
    levels = LEVELS if not track else 1
    # A row of it is no multiple of a page, so that columns do not evict one another.
    entries = np.empty((columns, SPAN + 16), weight.dtype)
    ends = np.empty((columns, SPAN // ROWS, levels + 1), np.int64)
    peaks = np.empty((columns, SPAN // ROWS, levels), weight.dtype)
    tile = np.zeros((2, ROWS, LANES), weight.dtype)
    top = np.zeros((2, LANES), weight.dtype)
    w = np.zeros((columns, LANES), weight.dtype)
    held = np.zeros((columns, LANES), weight.dtype)
    which = np.zeros(LANES, np.int32)
    ratio = np.zeros(LANES, weight.dtype)
    # Addresses by hand: a slice of an array would count references, atomically, at every list.
    size = weight.itemsize
    lane_bytes = LANES * size
    plus, minus = tile.ctypes.data, tile.ctypes.data + ROWS * lane_bytes
    rows_at, values_at = rows.ctypes.data, values.ctypes.data
    weights_at, held_at = w.ctypes.data, held.ctypes.data
    ratio_at, which_at = ratio.ctypes.data, which.ctypes.data
    for start in range(0, n, SPAN):
        stop = min(start + SPAN, n)
        _transpose(activations, order, start, stop, left, right, entries)
        _list_entries(entries, start, stop, left, right, levels, rows, values, ends, peaks)
        for out in range(low, high, LANES):
            lanes = min(LANES, high - out)
            if lanes < LANES:
                w[:, :] = 0
                tile[:, :, :] = 0
            for k in range(lanes):
                for c in range(columns):
                    w[c, k] = weight[out + k, left + c]
                    held[c, k] = maximum[out + k, left + c]
            for first in range(start, stop, ROWS):
                block = (first - start) // ROWS
                _tile(inverse, order, first, min(first + ROWS, stop), out, lanes, tile, top)
                for c in range(columns):
                    signs, mine = weights_at + c * lane_bytes, held_at + c * lane_bytes
                    for level in range(levels):
                        begin, end = ends[c, block, level], ends[c, block, level + 1]
                        if begin == end:
                            continue
                        entry = c * rows.shape[1] + begin
                        at, what = rows_at + entry, values_at + entry * size
                        if _hopeless(w, c, top, peaks[c, block, level], held):
                            break
                        if not track:
                            ratio[:] = 0
                            climb(
                                ratio_at, which_at, signs, plus, minus,
                                at, what, end - begin, one,
                            )  # fmt: skip
                            _raise(w, c, ratio, held)
                            continue
                        which[:] = -1
                        climb_first(mine, which_at, signs, plus, minus, at, what, end - begin, one)
                        for k in range(lanes):
                            if which[k] >= 0:
                                setter[out + k, left + c] = first + which[k]
            for k in range(lanes):
                for c in range(columns):
                    maximum[out + k, left + c] = held[c, k]


def raise_maxima(
    maximum: Tensor,
    weight: Tensor,
    inverse: Tensor,
    activations: Tensor,
    setter: Tensor | None = None,
) -> None:
    """Raise maxima to min(1, |w_ij| max_x a_j(x) r_i^s(x)), s the sign of w_ij, all on the CPU.

    Shapes: maximum (out, fan_in), weight (out, fan_in) float32, inverse (2, n, out),
    activations (n, fan_in).

    Claim: ES-1. Source: [SP] arXiv 1910.05422.
    """
    out, fan_in = weight.shape
    given = [t.detach().contiguous().numpy() for t in (weight, inverse, activations)]
    order = np.arange(activations.shape[0])
    if setter is None and len(order) > ROWS:
        # Rows with few active inputs have the largest shares; after them most lists raise nothing.
        order = np.argsort(_active_inputs(given[2]))
    given.append(order)
    track, places = (
        setter is not None,
        np.empty((0, 0), np.int64) if setter is None else setter.numpy(),
    )
    threads = torch.get_num_threads() if out * fan_in * len(order) >= THREAD_PAIRS else 1
    # As many pieces as threads, or a multiple: they end together.
    columns = -(-fan_in // (threads * -(-fan_in // (threads * COLUMNS)))) if fan_in else 1
    pieces = iter(
        [
            (left, min(left + columns, fan_in), low, min(low + OUTPUTS, out))
            for left in range(0, fan_in, columns)
            for low in range(0, out, OUTPUTS)
        ]
    )

    def work() -> None:
        size = (columns, min(SPAN, len(order)) + 1)
        lists = np.empty(size, np.uint8), np.empty(size, given[0].dtype)
        for piece in pieces:
            _piece(track, *given, *lists, maximum.numpy(), places, *piece)

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

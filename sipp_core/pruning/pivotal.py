"""Inclusion with given probabilities and a fixed count: pivotal sampling.

Independent inclusion lets the number of kept weights of a neuron vary, and with few weights that
variance outweighs what it saves over drawing with replacement. Pivotal sampling keeps the marginal
probabilities and fixes the count (up to one weight). Its indicators are negatively associated
(Dubhashi, Jonasson, Ranjan 2007; Branden, Jonasson 2012), and sum_j v_j B_j with v_j >= 0 is then
dominated, in its moment generating function on either side, by the sum with independent B_j. So
every Chernoff-type bound of SP-8 (Bernstein, Bennett, Cramer) holds for it word for word; the exact
product law (SP-5x) does not, and is only ever promised for independent inclusion.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sipp_theory.numeric.compiling import compiled

# Coins that are thrown at once.
BLOCK = 1 << 20
# Numbers that Philox makes of one count.
PHILOX_AT_ONCE = 4


def pivotal(
    probability: NDArray[np.float64],
    rng: np.random.Generator,
    first: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Draw one sample per row with the given inclusion probabilities and a nearly fixed count.

    Columns meet in order: of two fractional ones, one is decided and the other carries the rest of
    their probability on. The count of a row is the floor or the ceiling of its sum.

    Args:
        probability: (rows, k) in [0, 1].
        rng: random stream; consumes rows * (k + 1) numbers, twice as many with `first`.
        first: (rows, k) columns of each row that meet among themselves, and before the others do;
            all, unless given.

    Returns:
        (rows, k) bool; E of each entry is its probability.

    Raises:
        ValueError: a probability outside [0, 1] or not finite.

    Claim: SP-8 (negatively associated form). Source: [OWN]; Deville and Tille 1998 (the sampler).

    Example:
        >>> kept = pivotal(np.full((5, 4), 0.5), np.random.default_rng(0))
        >>> kept.sum(axis=1).tolist()
        [2, 2, 2, 2, 2]
    """
    if not (probability.min(initial=0.0) >= 0 and probability.max(initial=0.0) <= 1):
        raise ValueError("probability must lie in [0, 1] everywhere")
    rows, k = probability.shape
    flags = np.ones((1, k), np.bool_) if first is None else np.ascontiguousarray(first)
    p, kept = np.ascontiguousarray(probability), np.zeros((rows, k), dtype=np.bool_)
    streams = [rng] if first is None else [rng, _later(rng, rows * (k + 1))]
    step = max(1, BLOCK // max(1, rows))
    pieces = [(at, min(at + step, k + 1)) for at in range(0, k + 1, step)]
    holder, carried = np.zeros((rows, 2), np.intp), np.zeros((rows, 2))

    def throw(stream: np.random.Generator, piece: tuple[int, int]) -> NDArray[np.float64]:
        return stream.random((piece[1] - piece[0], rows))

    def meet(piece: tuple[int, int], coins: Sequence[NDArray[np.float64]]) -> None:
        _duels(p, flags, piece[0], coins[0], coins[-1], holder, carried, kept)

    if len(pieces) == 1 or torch.get_num_threads() < 2:
        for piece in pieces:
            meet(piece, [throw(stream, piece) for stream in streams])
    else:
        with ThreadPoolExecutor(len(streams)) as ahead:  # throws one piece before it is needed

            def thrown(piece: tuple[int, int]) -> list[Future[NDArray[np.float64]]]:
                return [ahead.submit(throw, stream, piece) for stream in streams]

            coming = thrown(pieces[0])
            for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
                coins = [coin.result() for coin in coming]
                coming = [] if following is None else thrown(following)
                meet(piece, coins)
    if first is not None:
        rng.bit_generator.state = streams[-1].bit_generator.state
    return kept


def _later(rng: np.random.Generator, count: int) -> np.random.Generator:
    """The same stream from so many numbers later on."""
    later = copy.deepcopy(rng)
    state, bits = later.bit_generator.state, later.bit_generator
    if isinstance(bits, np.random.Philox) and state["buffer_pos"] == PHILOX_AT_ONCE:
        bits.advance(count // PHILOX_AT_ONCE)
        count %= PHILOX_AT_ONCE
    while count > 0:
        later.random(min(count, BLOCK))
        count -= BLOCK
    return later


@compiled
def _duels(
    probability: Any, flags: Any, start: int, coins: Any, others: Any, holder: Any, carried: Any,
    kept: Any,
) -> None:  # fmt: skip
    """Columns from `start` on meet, as many as there are coins; after the last all is settled.

    Two samples at once, of columns that have a flag, by `coins`, and of those that have none.
    """
    rows, k = probability.shape
    shared, last = len(flags) < rows, min(len(coins), k - start)
    for row in range(rows):
        for column in range(last):
            j = start + column
            flag = flags[0 if shared else row, j]
            coin = coins[column, row] if flag else others[column, row]
            of, p = np.intp(flag), probability[row, j]
            if p >= 1:
                kept[row, j] = True
                continue
            total, held = carried[row, of] + p, holder[row, of]
            if total < 1:
                # The newcomer takes over the merged probability in proportion to what it brought.
                holder[row, of] = j if coin * total < p else held
                carried[row, of] = total
            else:
                wins = coin * (2 - total) < 1 - p
                kept[row, held if wins else j] = True
                holder[row, of] = j if wins else held
                carried[row, of] = total - 1
        if last < len(coins):
            for of, coin in enumerate((others[last, row], coins[last, row])):
                if coin < carried[row, of]:
                    kept[row, holder[row, of]] = True

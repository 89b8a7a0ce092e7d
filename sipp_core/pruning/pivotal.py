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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sipp_theory.numeric.compiling import compiled


def pivotal(probability: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw one sample per row with the given inclusion probabilities and a nearly fixed count.

    Columns meet in order: of two fractional ones, one is decided and the other carries the rest of
    their probability on. The count of a row is the floor or the ceiling of its sum.

    Args:
        probability: (rows, k) in [0, 1].
        rng: random stream; consumes rows * (k + 1) numbers.

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
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probability must lie in [0, 1] everywhere")
    rows, k = probability.shape
    coins = rng.random((k + 1, rows))
    kept = np.empty((rows, k), dtype=np.bool_)
    _duels(np.ascontiguousarray(probability), coins, kept)
    return kept


@compiled
def _duels(probability: Any, coins: Any, kept: Any) -> None:
    rows, k = probability.shape
    for row in range(rows):
        holder, carried = 0, 0.0
        for j in range(k):
            p = probability[row, j]
            kept[row, j] = p >= 1
            if not 0 < p < 1:
                continue
            total = carried + p
            if total < 1:
                # The newcomer takes over the merged probability in proportion to what it brought.
                if coins[j, row] * total < p:
                    holder = j
                carried = total
            else:
                if coins[j, row] * (2 - total) < 1 - p:
                    kept[row, holder] = True
                    holder = j
                else:
                    kept[row, j] = True
                carried = total - 1
        if coins[k, row] < carried:
            kept[row, holder] = True

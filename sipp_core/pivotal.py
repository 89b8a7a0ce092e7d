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

import numpy as np
from numpy.typing import NDArray


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
    columns = np.ascontiguousarray(probability.T)
    coins = rng.random((k + 1, rows))
    kept = columns >= 1
    every = np.arange(rows)
    holder, carried = np.zeros(rows, dtype=np.int64), np.zeros(rows)
    for j in range(k):
        p = columns[j]
        meets = (p > 0) & (p < 1)
        total = carried + p
        merge = meets & (total < 1)
        # The newcomer takes over the merged probability in proportion to what it brought.
        with np.errstate(invalid="ignore", divide="ignore"):
            newcomer = merge & (coins[j] * total < p)
            decide = meets & ~merge
            old_kept = decide & (coins[j] * (2 - total) < 1 - p)
        kept[holder[old_kept], every[old_kept]] = True
        new_kept = decide & ~old_kept
        kept[j, new_kept] = True
        holder = np.where(newcomer | old_kept, j, holder)
        carried = np.where(merge, total, np.where(decide, total - 1, carried))
    last = coins[k] < carried
    kept[holder[last], every[last]] = True
    return np.ascontiguousarray(kept.T)

"""From a real-valued allocation to whole draws (AL-1), to the last draw of the budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.allocation.pair import pair_rows
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float


def round_allocation(real: ArrayLike, capacity: ArrayLike, budget: float) -> Float:
    """Round a real-valued allocation to whole draws by largest remainder.

    The total is exactly min(floor(B), sum floor(n_i)); ties go to the lower index; every pair with
    a positive amount and room gets at least 1 if B allows that for all of them.

    Args:
        real: (k,) >= 0, real-valued sizes, in draws.
        capacity: (k,) >= 0, most draws a pair may have, or a scalar; rounded down.
        budget: B >= 0, draws in all; rounded down.

    Returns:
        (k,) float64 array of whole numbers with 0 <= sizes <= floor(capacity).

    Raises:
        ValueError: negative or not finite values, shapes that do not fit.

    Claim: AL-1. Source: [OWN] (largest remainder).

    Example:
        >>> round_allocation([2.5, 1.5, 0.01], 10, 4).tolist()
        [2.0, 1.0, 1.0]
    """
    amount, cap = pair_rows(real=real, capacity=capacity)
    room = np.floor(cap)
    total = min(float(np.floor(numeric.at_least("budget", budget, 0.0))), float(room.sum()))
    sizes = np.minimum(np.floor(amount), room)
    live = (amount > 0) & (room >= 1)
    floor = live.astype(np.float64) if live.sum() <= total else np.zeros(amount.size)
    sizes = np.maximum(sizes, floor)
    while (missing := total - sizes.sum()) != 0:
        step = 1.0 if missing > 0 else -1.0
        free = room - sizes if missing > 0 else sizes - floor
        able = np.flatnonzero(free > 0)
        # Most short of its real amount first (most beyond it, when taking away); ties by index.
        order = able[np.argsort(-step * (amount - sizes)[able], kind="stable")]
        share = np.floor(abs(missing) / order.size)
        if share >= 1:
            sizes[order] += step * np.minimum(share, free[order])
        else:
            sizes[order[: int(abs(missing))]] += step
    return sizes

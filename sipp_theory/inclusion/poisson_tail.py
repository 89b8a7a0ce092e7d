"""SP-8 and SP-11 by the exact tail of independent coins: a convolution on a grid.

The grid's bookkeeping is that of `draws.exact`.
"""

from __future__ import annotations

import numpy as np

from sipp_theory.draws.exact import BOOKKEEPING, LARGEST_WINDOW, bernstein_radius, tail_quantile
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float


def coins_tail(values: Float, p: Float, delta: float) -> float:
    """Exact-tail error of sum_j v_j (B_j - p_j), v of any sign: two-point laws folded in in turn.

    Direct convolution adds only non-negative numbers, so its float error is relative and tiny.
    """
    variance = float((p * (1 - p)) @ values**2)
    if variance == 0:
        return 0.0
    log = float(np.log(1 / (BOOKKEEPING * delta)))
    # Residues add up like sqrt(weights), so a finer grid for more of them keeps their share fixed.
    active = np.flatnonzero(values)
    values, p = values[active], p[active]
    step = np.sqrt(variance) / max(128.0, 16.0 * np.sqrt(values.size))
    grid = np.rint(values / step)
    residue = values - step * grid
    rounded = bernstein_radius(float((p * (1 - p)) @ residue**2), float(np.abs(residue).max()), log)
    reach = bernstein_radius(variance, float(np.abs(values).max()), log) + rounded
    size = int(2 * np.ceil(reach / step) + 8)
    if size > LARGEST_WINDOW:
        return np.inf
    centre = int(np.rint(float(grid @ p)))
    pmf = np.zeros(size)
    pmf[-centre % size] = 1.0
    moved = np.empty_like(pmf)
    # A weight that rounds to 0 moves nothing; its residue is in the radius.
    for jump, chance in zip(grid[grid != 0].astype(np.int64) % size, p[grid != 0], strict=True):
        moved[jump:], moved[:jump] = pmf[: size - jump], pmf[size - jump :]
        pmf *= 1 - chance
        moved *= chance
        pmf += moved
    steps = tail_quantile(pmf, 4 * BOOKKEEPING * delta + 1e-14 * values.size, delta)
    shift = abs(float(grid @ p) - centre) * step
    return float(nm.up((step * steps + shift + rounded) * (1 + 1e-12)))

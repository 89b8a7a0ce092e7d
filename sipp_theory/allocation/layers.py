"""SiPP's division of a budget among pairs, in which every layer counts alike (AL-3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.allocation.allocation import Allocation, allocate
from sipp_theory.allocation.pair import pair_rows
from sipp_theory.numeric import checks as numeric

# The constants of the authors' code.
SIPP_DELTA, SIPP_COVERAGE = 1e-16, 3.0


def allocate_by_layer(
    sensitivity_sum: ArrayLike,
    capacity: ArrayLike,
    neurons: ArrayLike,
    budget: float,
    *,
    patches: ArrayLike = 1,
    kernel: ArrayLike = 1,
    delta: float = SIPP_DELTA,
    coverage_factor: float = SIPP_COVERAGE,
) -> Allocation:
    """Share a budget among (neuron, sign) pairs as SiPP's authors do, every layer counting alike.

    min sum_i f_i(m_i)/k_i subject to sum m_i <= B, 0 <= m_i <= n_i, for k_i the neurons of the
    pair's layer and f the estimate of `heuristic_error`. With b = a/6 and V = a/4, a = 2 C S_sum
    ln(8 (patches+1) kernel/delta), f is Bernstein's inverse of AL-1, whose solution this is. At the
    default delta f is close to a/(3m), so m grows like sqrt(S_sum/k): a wide layer does not take
    the budget of the others. f is an estimate for ranking; what an allocation promises is for a
    bound to say.

    Args:
        sensitivity_sum: (k,) S_sum of each pair, 0 or >= 1, no unit.
        capacity: (k,) n >= 0, most weights that a pair may keep.
        neurons: (k,) neurons or filters of the pair's layer, >= 1, or a scalar.
        budget: B >= 0, weights in all.
        patches: (k,) patches an input has in the layer, >= 1 (1 for a dense layer), or a scalar.
        kernel: (k,) positions of the layer's kernel, >= 1 (1 for a dense layer), or a scalar.
        delta: the code's failure probability, in (0, 1).
        coverage_factor: C of the code, >= 1.

    Returns:
        Allocation(sizes, errors, objective, multiplier); errors are estimates f, not bounds.

    Raises:
        ValueError: a value out of range, or shapes that do not fit.

    Claim: AL-3. Source: [SP] arXiv 1910.05422, the authors' code; the closed form [OWN].

    Example:
        >>> allocate_by_layer([4.0, 4.0], 100, [16, 1], 50.0).sizes.round().tolist()
        [10.0, 40.0]
    """
    total, room, width, rows, positions = pair_rows(
        sensitivity_sum=sensitivity_sum, capacity=capacity, neurons=neurons, patches=patches,
        kernel=kernel,
    )  # fmt: skip
    numeric.sensitivity_sum(total)
    width = numeric.at_least("neurons", width, 1)
    rows, positions = numeric.at_least("patches", rows, 1), numeric.at_least("kernel", positions, 1)
    cover = float(numeric.at_least("coverage_factor", coverage_factor, 1.0))
    log = np.log(8 * (rows + 1) * positions) - np.log(numeric.probability("delta", delta))
    scale = 2 * cover * total * log
    return allocate(scale / 6, scale / 4, room, budget, 1 / width)

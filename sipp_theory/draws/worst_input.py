"""The search over the inputs that the instance-exact bounds SP-5, SP-5x and SP-8 share.

Such a bound is a maximum over inputs, and one look at an input is dear. Bernstein with the input's
own variance is cheap and never below it, so it says which inputs can be skipped and where to start
(SP-8 has a screen of its own); a size is then settled one input at a time, until none fails.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sipp_theory.draws.law_of_a_draw import Instance, draw_moments
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float


def bernstein_row_errors(instance: Instance, m: float, delta: float) -> Float:
    """Error promised at each input for m draws by Bernstein with the input's own variance.

    Shapes: returns (n,) float64.

    Claim: SP-3 (per input). Source: Bernstein 1946.
    """
    variance, largest = draw_moments(instance)
    log = nm.log_over(2.0, delta)
    linear = largest * log / 3
    return nm.up((linear + np.sqrt(linear**2 + 2 * variance * log * m)) / m * (1 + 1e-12))


def bernstein_start(instance: Instance, eps: float, delta: float) -> float:
    """Size that Bernstein asks for with each input's own variance: where searches start.

    Claim: SP-3 (per input). Source: Bernstein 1946.

    Example:
        >>> from sipp_theory.draws.law_of_a_draw import draws_instance
        >>> bernstein_start(draws_instance([[1.0, 0.0]], [0.5, 0.5]), 0.5, 0.05)
        36.0
    """
    variance, largest = draw_moments(instance)
    needed = (2 * variance + 2 / 3 * largest * eps) * nm.log_over(2.0, delta) / eps**2
    return float(np.ceil(needed.max() + 1))


def worst_error(
    instance: Instance, screen: Float, row_errors: Callable[[Instance, float], Float],
    floor: float, still: Callable[[float], NDArray[np.bool_]] | None = None,
) -> tuple[float, int]:  # fmt: skip
    """Find the largest error over the inputs, looking only at those that a screen does not clear.

    `still` names the inputs, (n,), of which a dearer screen does not show an error to be small.

    Shapes: screen (n,).

    Example:
        >>> from sipp_theory.draws.law_of_a_draw import draws_instance
        >>> law = draws_instance([[1.0, 0.0], [0.5, 0.5]], [0.5, 0.5])
        >>> worst_error(law, np.array([0.3, 0.1]), lambda part, floor: np.full(1, 0.2), 0.15)
        (0.2, 0)
    """
    order = np.argsort(-screen, kind="stable")
    worst, where, start, width = floor, -1, 0, 1
    while start < order.size and screen[order[start]] > worst:
        rows = order[start : start + width]
        errors = row_errors(Instance(instance.shares[rows], instance.probabilities), worst)
        if errors.max() > worst:
            worst, where = float(errors.max()), int(rows[errors.argmax()])
        start, width = start + width, min(2 * width + 6, 256)
        if still is not None:
            order, start, still = order[start:][still(worst)[order[start:]]], 0, None
    return worst, where


def search_rows(
    failing: Callable[[float], int], solve: Callable[[int, float], float], start: float
) -> float:
    """Least size that holds at every input, one input's search at a time.

    Example:
        >>> needs = [3.0, 5.0]
        >>> search_rows(lambda m: next((i for i, n in enumerate(needs) if m < n), -1),
        ...             lambda row, m: needs[row], 1.0)
        5.0
    """
    size = start
    while np.isfinite(size) and (row := failing(size)) >= 0:
        size = solve(row, size)
    return size


def one_number(name: str, value: Float) -> float:
    """Take a checked argument as one number; an instance-exact bound answers one question a call.

    Example:
        >>> one_number("eps", np.array(0.5))
        0.5
    """
    if value.ndim:
        raise ValueError(f"{name} must be one number here; found an array of shape {value.shape}")
    return float(value)

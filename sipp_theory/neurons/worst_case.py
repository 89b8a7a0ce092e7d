"""NC-6: the largest value of a weighted sum of ReLUs over a box or a ball, from above."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.neurons.relaxation import Relaxation, WorstCase
from sipp_theory.neurons.search import searched_line, searched_parabolas


def worst_relu_sum(
    a: ArrayLike,
    incoming: ArrayLike,
    bias: ArrayLike,
    constant: float,
    centre: ArrayLike,
    radius: ArrayLike,
    steps: int = 200,
) -> WorstCase:
    """Bound the largest value of a weighted sum of ReLUs over a box or a ball.

    sup_x sum_j a_j relu(p_j.x + b_j) + a_0 from above, by intervals, by lines (the LP bound of the
    triangle relaxation) and by parabolas and one eigenvalue. Hand in -a and -a_0 for the least
    value. The search starts at the LP's point and the least bound counts, so that the quadratic one
    never makes it worse.

    Args:
        a: (n,) weights of any sign; u_j - w_j where neurons were dropped, -w_j for the dropped.
        incoming: (n, d) weights p_j.
        bias: (n,) biases b_j, or 0.
        constant: a_0.
        centre: (d,) centre of the region.
        radius: (d,) half widths of a box, or one number, the radius of a ball.
        steps: of the search for good parameters; 0 for intervals and the LP alone.

    Returns:
        The bounds, each valid by itself and rounded outward.

    Raises:
        ValueError: shapes that do not fit, a negative radius, or numbers that are not finite.

    Claim: NC-6. Source: [OWN].

    Example:
        >>> worst = worst_relu_sum([1.0, -1.0], [[1.0], [1.0]], 0.0, 0.0, [0.0], [1.0])
        >>> 0.0 <= worst.bound < 0.6 and worst.interval == 1.0
        False
        >>> 0.0 <= worst.bound <= worst.linear <= worst.interval
        True
    """
    relaxation = Relaxation(a, incoming, bias, constant, centre, radius)
    interval = relaxation.interval()
    line = relaxation.start()
    if not relaxation.open.any():
        return WorstCase(interval, relaxation.linear(line), np.inf)
    line = searched_line(relaxation, min(100, 2 * int(steps)))
    if steps <= 0:
        return WorstCase(interval, relaxation.linear(line), np.inf)
    return WorstCase(
        interval,
        relaxation.linear(line),
        relaxation.bound(searched_parabolas(relaxation, line, int(steps))),
    )

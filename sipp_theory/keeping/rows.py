"""From one row of a layer's input to all of them (SP-13): patches of an image, tokens of a text."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float


def each_row(delta: ArrayLike, rows: ArrayLike) -> Float:
    """Failure probability that one row may have, so that all rows of an input hold with 1 - delta.

    delta/rows: the rows of an input share one draw, so that nothing but the union bound joins them.

    Args:
        delta: failure probability of an input, in (0, 1).
        rows: rows that the layer makes of the input, whole, >= 1; broadcasts.

    Returns:
        float64 failure probability of a row, rounded down.

    Raises:
        ValueError: a value out of range.

    Claim: SP-13. Source: [OWN].

    Example:
        >>> round(float(each_row(0.05, 64)), 8)
        0.00078125
    """
    failure = numeric.probability("delta", delta)
    return failure / numeric.integer_at_least("rows", rows, 1.0) * (1 - 4 * UNIT)


def some_row(delta: ArrayLike, rows: ArrayLike) -> Float:
    """Failure probability of an input whose every row fails with delta at most: min(1, rows delta).

    Args:
        delta: failure probability of a row, in (0, 1).
        rows: rows that the layer makes of the input, whole, >= 1; broadcasts.

    Returns:
        float64 in (0, 1], rounded up; 1 says nothing.

    Raises:
        ValueError: a value out of range.

    Claim: SP-13. Source: [OWN].

    Example:
        >>> float(some_row(0.05, 64))
        1.0
    """
    failure = numeric.probability("delta", delta)
    return np.minimum(1.0, failure * numeric.integer_at_least("rows", rows, 1.0) * (1 + 4 * UNIT))

"""MS-1: matrix Bernstein on the spectral error of entrywise draws, relative to ||A||_2.

The moments of one draw come from `draw_moments` or `closed_moments` of `sparsification`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bernstein import SLACK
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float


def _terms(
    variance: ArrayLike, span: ArrayLike, dimension: ArrayLike
) -> tuple[Float, Float, Float]:
    return (
        nm.at_least("variance", variance, 0.0),
        nm.at_least("span", span, 0.0),
        nm.integer_at_least("dimension", dimension, 2.0),
    )


def spectral_failure(
    variance: ArrayLike, span: ArrayLike, dimension: ArrayLike, m: ArrayLike, eps: ArrayLike
) -> Float:
    """Bound on the chance that the spectral error exceeds eps ||A||.

    Pr(||A^ - A|| >= eps ||A||) <= dimension exp(-m eps^2/(2 variance + 2 span eps/3)).

    Args:
        variance: of one draw, relative to ||A||^2, >= 0.
        span: of one draw, relative to ||A||, >= 0; 0 for a matrix of zeros.
        dimension: rows plus columns, >= 2.
        m: draws, >= 0.
        eps: relative spectral error, >= 0.

    Returns:
        float64 probability, rounded up; 1 where the bound is vacuous.

    Raises:
        ValueError: an argument is out of range.

    Claim: MS-1. Source: Tropp 2015, arXiv 1501.01571, Theorem 6.1.1.

    Example:
        >>> bool(spectral_failure(1.0, 3.0, 4, 1000, 0.5) < 1e-30)
        True
    """
    spread, most, rows = _terms(variance, span, dimension)
    draws, error = nm.at_least("m", m, 0.0), nm.at_least("eps", eps, 0.0)
    scale = 2 * spread + 2 * most * error / 3
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(scale > 0, draws * error**2 / scale, np.where(draws > 0, np.inf, 0.0))
    # The exponent's own rounding counts once for each of its units.
    failure = rows * np.exp(-rate / SLACK) * SLACK
    return np.where((most == 0), 0.0, np.minimum(nm.up(failure) * (failure > 0), 1.0))[()]


def spectral_error(
    variance: ArrayLike, span: ArrayLike, dimension: ArrayLike, m: ArrayLike, delta: ArrayLike
) -> Float:
    """Relative spectral error that matrix Bernstein promises for m draws (exact inverse).

    With L = ln(dimension/delta) and b = span L/3: eps = (b + sqrt(b^2 + 2 variance L m))/m.

    Args:
        variance: of one draw, relative to ||A||^2, >= 0.
        span: of one draw, relative to ||A||, >= 0; 0 for a matrix of zeros.
        dimension: rows plus columns, >= 2.
        m: draws, >= 0, broadcasts.
        delta: failure probability of the whole matrix, in (0, 1).

    Returns:
        float64 error ||A^ - A||/||A||, rounded up; +inf for m = 0; 0 for a matrix of zeros. Vacuous
        from 1 on, which a matrix of zeros reaches.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: MS-1. Source: Tropp 2015, arXiv 1501.01571, Theorem 6.1.1.

    Example:
        >>> bool(spectral_error(1.0, 3.0, 4, 1000, 0.05) < 0.1)
        True
    """
    spread, most, rows = _terms(variance, span, dimension)
    draws = nm.at_least("m", m, 0.0)
    log = np.log(rows / nm.probability("delta", delta))
    linear = most * log / 3
    with np.errstate(divide="ignore", invalid="ignore"):
        eps = (linear + np.sqrt(linear**2 + 2 * spread * log * draws)) / draws * SLACK
    return np.where(most == 0, 0.0, np.where(draws == 0, np.inf, nm.up(eps)))[()]


def spectral_size(
    variance: ArrayLike, span: ArrayLike, dimension: ArrayLike, eps: ArrayLike, delta: ArrayLike
) -> Float:
    """Draws with which matrix Bernstein promises a relative spectral error.

    m = ceil((2 variance + 2 span eps/3) ln(dimension/delta)/eps^2).

    Args:
        variance: of one draw, relative to ||A||^2, >= 0.
        span: of one draw, relative to ||A||, >= 0; 0 for a matrix of zeros.
        dimension: rows plus columns, >= 2.
        eps: relative spectral error, in (0, 1), broadcasts.
        delta: failure probability of the whole matrix, in (0, 1).

    Returns:
        float64 whole number of draws; 0 for a matrix of zeros.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: MS-1. Source: Tropp 2015, arXiv 1501.01571, Theorem 6.1.1.

    Example:
        >>> float(spectral_size(1.0, 3.0, 4, 0.1, 0.05))
        965.0
    """
    spread, most, rows = _terms(variance, span, dimension)
    target = nm.probability("eps", eps)
    log = np.log(rows / nm.probability("delta", delta))
    guess = (2 * spread + 2 * most * target / 3) * log / target**2
    size = nm.least_integer(lambda m: spectral_error(variance, span, dimension, m, delta), guess,
                            target)  # fmt: skip
    return nm.dead_is_free(most, size)

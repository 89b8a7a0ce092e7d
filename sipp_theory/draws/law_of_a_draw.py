"""The law of the estimate at given inputs: what the instance-exact bounds are computed from.

For an input x with shares g (sum 1) the estimate is z^/z = sum of random terms with mean 1. Both
sampling schemes are described by K(mu) = ln E exp(mu s (z^/z - 1)), s = +-1 the side, per unit:
one draw with replacement (multinomial), or the whole neuron (Poisson inclusion).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

# Shares that come from a float32 network add up to 1 only this closely; rows are renormalised.
ROW_SUM_TOLERANCE = 1e-4
SMALL_TILT = 0.5
# Bound on the relative rounding of a sum of a few thousand positive terms, added pairwise.
ROUNDING = 1e-14

LogMgf = Callable[[Float], tuple[Float, Float, Float]]


@dataclass(frozen=True)
class Instance:
    """The live inputs of one sign of one neuron, with the probabilities its weights are drawn by.

    Shapes: shares (n, k), rows add up to 1; probabilities (k,), which add up to 1 (draws) or lie in
    (0, 1] (inclusion).
    """

    shares: Float
    probabilities: Float

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Float:
        """The shares, where an array is asked for."""
        return np.array(self.shares, dtype=dtype, copy=copy)


def checked_shares(shares: ArrayLike) -> Float:
    """Validate shares (n, k) or (k,); drop rows of zeros; renormalise the others to sum 1.

    Shapes: returns (n', k), n' may be 0.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> checked_shares([[0.25, 0.75], [0.0, 0.0]]).tolist()
        [[0.25, 0.75]]
    """
    table = np.atleast_2d(nm.at_least("shares", shares, 0.0))
    if table.ndim != 2:
        raise ValueError(f"shares must be (n, k) or (k,); found shape {table.shape}")
    sums = table.sum(axis=1)
    live = sums > 0
    off = live & (np.abs(sums - 1) > ROW_SUM_TOLERANCE)
    if off.any():
        row = int(np.argmax(off))
        raise ValueError(f"shares row {row} must add up to 1 or be all 0; found sum {sums[row]!r}")
    return table[live] / sums[live, None]


def _checked(shares: ArrayLike, probabilities: ArrayLike) -> tuple[Float, Float]:
    table = checked_shares(shares)
    chance = nm.at_least("probabilities", probabilities, 0.0)
    if chance.shape != table.shape[1:]:
        raise ValueError(
            f"probabilities must have shape {table.shape[1:]}, one a column of shares; "
            f"found {chance.shape}"
        )
    return table, chance


def draws_instance(shares: ArrayLike, probabilities: ArrayLike) -> Instance:
    """Validate the input of a bound on draws with replacement; drop what is never drawn.

    A share outside the support of the probabilities is refused: the estimate would be biased. An
    `Instance` is taken as it is.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> draws_instance([[0.5, 0.5, 0.0]], [0.5, 0.5, 0.0]).shares.shape
        (1, 2)
    """
    if isinstance(shares, Instance):
        return shares
    table, chance = _checked(shares, probabilities)
    if table.shape[0] and abs(chance.sum() - 1) > 1e-6:
        raise ValueError(f"probabilities must add up to 1; found {float(chance.sum())!r}")
    _refuse_outside_support(table, chance)
    support = chance > 0
    return Instance(table[:, support], chance[support] / max(chance.sum(), 1e-300))


def instance_of(
    columns: NDArray[Any], index: NDArray[np.intp], weight: Float, chance: Float
) -> Instance | None:
    """`draws_instance` of what some weights pass on at all inputs, with the same bits.

    None where that is for others to look at: a single input, of which sums are added in another
    order, one at which none of the weights fires, or a number that is out of range.

    Shapes: columns (inputs of the layer, n) >= 0, activations of one weight side by side; index
    (k,) of the weights, weight (k,) their sizes, chance (k,) > 0 in proportion to probabilities.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> law = instance_of(np.ones((3, 2)), np.array([0, 2]), np.array([1.0, 3.0]), np.ones(2))
        >>> law.shares.tolist(), law.probabilities.tolist()
        ([[0.25, 0.75], [0.25, 0.75]], [0.5, 0.5])
    """
    if columns.shape[1] == 1:
        return None
    from sipp_theory.draws import share_loops  # here: a compiler takes its time to load

    shares, sums = np.empty((index.size, columns.shape[1])), np.empty((2, columns.shape[1]))
    share_loops.shares_of(columns, index, weight, shares, sums)
    q = chance / chance.sum()
    usual = (sums[0] > 0) & np.isfinite(sums[0]) & (np.abs(sums[1] - 1) <= ROW_SUM_TOLERANCE)
    if not (usual.all() and (q > 0).all() and np.isfinite(q).all()):
        return None
    return Instance(shares.T, q / max(q.sum(), 1e-300))


def inclusion_instance(shares: ArrayLike, probabilities: ArrayLike) -> Instance:
    """Validate the input of a bound on independent inclusion; drop what never contributes.

    A share where p is 0 is refused: the estimate would be biased.

    Claim: SP-8. Source: [OWN].

    Example:
        >>> inclusion_instance([[0.5, 0.3, 0.2]], [1.0, 0.5, 0.5]).shares.shape
        (1, 2)
    """
    table, chance = _checked(shares, probabilities)
    if (chance > 1).any():
        worst = int(np.argmax(chance))
        raise ValueError(f"probabilities must not exceed 1; found {chance[worst]!r} at {worst}")
    _refuse_outside_support(table, chance)
    moving = (chance > 0) & (chance < 1)
    return Instance(table[:, moving], chance[moving])


def _refuse_outside_support(table: Float, chance: Float) -> None:
    lost = (table > 0) & (chance == 0)
    if lost.any():
        row, column = (int(i) for i in np.argwhere(lost)[0])
        raise ValueError(
            f"weight {column} has share {table[row, column]!r} at input {row} but probability 0: "
            "the estimate would be biased; give it a positive probability"
        )


def draw_moments(instance: Instance) -> tuple[Float, Float]:
    """Variance and largest deviation of one draw, per input.

    Shapes: returns (n,), (n,): Var T and max |T - 1|, T = g/q.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> draw_moments(draws_instance([[1.0, 0.0]], [0.5, 0.5]))[0].tolist()
        [1.0]
    """
    deviation = instance.shares / instance.probabilities - 1
    return deviation**2 @ instance.probabilities, np.abs(deviation).max(axis=1, initial=0.0)


def draws_log_mgf(instance: Instance, side: float) -> LogMgf:
    """K(mu), K'(mu), K''(mu) of one draw, centred and turned towards a side.

    K(mu) = ln sum_j q_j exp(mu side (g_j/q_j - 1)).

    Shapes: mu (n,) >= 0 -> three (n,), K rounded up.

    Claim: SP-5. Source: Cramer 1938; [OWN] in this use.

    Example:
        >>> k, _, _ = draws_log_mgf(draws_instance([[1.0, 0.0]], [0.5, 0.5]), 1.0)(np.zeros(1))
        >>> float(k[0])
        0.0
    """
    deviation = side * (instance.shares / instance.probabilities - 1)
    q = instance.probabilities
    log_q = np.log(q)

    squares = deviation**2

    def moments(mu: Float) -> tuple[Float, Float, Float]:
        k, first, second = np.empty_like(mu), np.empty_like(mu), np.empty_like(mu)
        small = np.empty(mu.shape, dtype=bool)
        for rows in _row_blocks(deviation):
            tilt = mu[rows, None] * deviation[rows]
            exponent = tilt + log_q
            shift = exponent.max(axis=1)
            exponent -= shift[:, None]
            mass = np.exp(exponent, out=exponent)
            total = mass.sum(axis=1)
            first[rows] = (mass * deviation[rows]).sum(axis=1) / total
            second[rows] = (mass * squares[rows]).sum(axis=1) / total
            k[rows] = shift + np.log(total) + ROUNDING * (1 + np.abs(shift))
            small[rows] = np.abs(tilt, out=tilt).max(axis=1) <= SMALL_TILT
        # Where all tilts are small, ln of a sum near 1 has no digits left: the mean of the tilt is
        # 0, so K is ln(1 + mean of (e^t - 1 - t)), whose terms are all positive.
        if small.any():
            excess = _exp_excess(mu[small, None] * deviation[small])
            excess *= q  # and no product of matrices, which rounds as it is cut
            k[small] = np.log1p(excess.sum(axis=1)) * (1 + ROUNDING)
        return k, first, np.maximum(second - first**2, 0.0)

    return moments


# Numbers of one temporary that stay in a core's cache.
BLOCK = 2**14


def _row_blocks(table: Float) -> Iterator[slice]:
    """Blocks of rows whose temporaries fit the cache; each row is computed by itself."""
    step = max(1, BLOCK // max(1, table.shape[1]))
    return (slice(first, first + step) for first in range(0, len(table), step))


def _exp_excess(t: Float) -> Float:
    """Compute e^t - 1 - t for |t| <= SMALL_TILT by its series, to the last bit."""
    excess = np.empty_like(t)
    for rows in _row_blocks(t):
        part, series = t[rows], np.zeros_like(t[rows])
        for k in range(16, 2, -1):
            series += 1
            series *= part
            series /= k
        series += 1
        series *= part**2
        np.divide(series, 2, out=excess[rows])
    return excess


def inclusion_log_mgf(instance: Instance, side: float) -> LogMgf:
    """K(mu), K'(mu), K''(mu) of the whole neuron under independent inclusion.

    K(mu) = sum_j [ln(1 - p_j + p_j exp(mu side g_j/p_j)) - mu side g_j].

    Shapes: mu (n,) >= 0 -> three (n,).

    Claim: SP-8. Source: Cramer 1938; [OWN] in this use.

    Example:
        >>> k, _, _ = inclusion_log_mgf(inclusion_instance([[1.0]], [0.5]), 1.0)(np.zeros(1))
        >>> float(k[0])
        0.0
    """
    value = side * instance.shares / instance.probabilities
    p = instance.probabilities
    with np.errstate(divide="ignore"):
        log_odds = np.log(p) - np.log1p(-p)

    squares, log_out, log_in = value**2, np.log1p(-p), np.log(p)

    def moments(mu: Float) -> tuple[Float, Float, Float]:
        k, first, second = np.empty_like(mu), np.empty_like(mu), np.empty_like(mu)
        for rows in _row_blocks(value):
            tilted = mu[rows, None] * value[rows]
            # Probability of inclusion under the tilted law: logistic function of its log-odds.
            chance = 1 / (1 + np.exp(-np.clip(tilted + log_odds, -700, 700)))
            k[rows] = (np.logaddexp(log_out, log_in + tilted) - tilted * p).sum(axis=1)
            first[rows] = ((chance - p) * value[rows]).sum(axis=1)
            second[rows] = (chance * (1 - chance) * squares[rows]).sum(axis=1)
        return k, first, second

    return moments

"""SP-5x: the exact tail of the estimate, by convolution with every rounding on the safe side.

The law of one draw is put on a grid of width h; the m-fold convolution is a power of its Fourier
transform. What the grid changes is paid for: the rounding residues of the draws are independent
and bounded, so their sum is within a Bernstein radius r of its known mean except with probability
eta; mass outside the window folds back inside, where it can only add to a computed tail, and the
tail beyond the window is bounded by Bernstein; the transform's float error is added on top. What
comes out is an upper bound of the exact tail, as privacy-loss accountants compute theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bound import Bound, Neuron, register_bound
from sipp_theory.draws.cramer import cramer_row_errors
from sipp_theory.draws.law_of_a_draw import Instance, draws_instance
from sipp_theory.draws.worst_input import (
    bernstein_row_errors,
    bernstein_start,
    one_number,
    search_rows,
    worst_error,
)
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

# Share of delta spent on each of the four bookkeeping events: grid residue and window, two sides.
BOOKKEEPING = 1e-3
RESOLUTION = 256.0
LARGEST_WINDOW = 2**24
UNIT_ROUNDOFF = 2.0**-53


def bernstein_radius(variance: float, largest: float, log: float) -> float:
    """Radius r with P(S > r) <= exp(-log) for a centred sum S of independent bounded terms.

    r = b + sqrt(b^2 + 2 V log), b = largest log/3.

    V is the total variance, `largest` bounds one centred term; rounded up.

    Example:
        >>> 2.4 < bernstein_radius(1.0, 0.0, 3.0) < 2.5
        True
    """
    linear = largest * log / 3
    return float(nm.up((linear + np.sqrt(linear**2 + 2 * variance * log)) * (1 + 1e-14)))


def tail_quantile(pmf: Float, overhead: float, delta: float) -> float:
    """Least a >= 0 with P(|index| > a) + overhead <= delta; +inf where the window has none.

    Shapes: pmf (n,), the mass of index i at pmf[i % n]; returns whole grid steps.

    Example:
        >>> tail_quantile(np.array([0.5, 0.2, 0.1, 0.2]), 0.0, 0.2)
        1.0
    """
    n = pmf.size
    half = n // 2
    # Index i sits at pmf[i % n]; the two sides are folded onto |i| = 0 .. half.
    both = np.zeros(half + 1)
    both[0] = pmf[0]
    both[1 : (n - 1) // 2 + 1] = (
        pmf[1 : (n - 1) // 2 + 1] + pmf[: -(n - 1) // 2 - 1 : -1][: (n - 1) // 2]
    )
    if n % 2 == 0:
        both[half] = pmf[half]
    beyond = np.concatenate([np.cumsum(both[::-1])[::-1][1:], [0.0]])
    good = np.flatnonzero(beyond * (1 + 4 * n * UNIT_ROUNDOFF) + overhead <= delta)
    return float(good[0]) if good.size else float("inf")


def draws_tail(laws: Sequence[tuple[Float, Float, float]], delta: float) -> float:
    """Exact-tail error of a sum of independent draws, several laws of them; values are centred.

    Shapes: for each law values (k,), the chances (k,) of a draw, and the number of draws.

    Claim: SP-5x. Source: [OWN].

    Example:
        >>> 0.09 < draws_tail([(np.array([1.0, -1.0]) / 400, np.array([0.5, 0.5]), 400.0)], 0.05)
        True
    """
    moving = [law for law in laws if float(np.abs(law[0]).max(initial=0.0)) * law[2] >= 1e-13]
    draws = sum(m for _, _, m in moving)
    variance = sum(m * float(v**2 @ q) for v, q, m in moving)
    if variance == 0:
        return 0.0
    largest = max(float(np.abs(v).max()) for v, _, _ in moving)
    log = float(np.log(1 / (BOOKKEEPING * delta)))
    step = np.sqrt(variance / draws) / RESOLUTION
    grids = [np.rint(v / step) for v, _, _ in moving]
    residues = [v - step * grid for (v, _, _), grid in zip(moving, grids, strict=True)]
    drifts = [float(r @ q) for r, (_, q, _) in zip(residues, moving, strict=True)]
    spread = sum(
        m * float((r - d) ** 2 @ q)
        for r, d, (_, q, m) in zip(residues, drifts, moving, strict=True)
    )
    drift = sum(m * d for d, (_, _, m) in zip(drifts, moving, strict=True))
    radius = bernstein_radius(spread, step, log)
    reach = bernstein_radius(variance, largest, log) + radius + abs(drift)
    needed = 2 * np.ceil(reach / step) + 8
    if not needed <= LARGEST_WINDOW:  # infinite or no number where a probability is next to none
        return np.inf
    from scipy import fft  # here: it is long to import

    size = int(fft.next_fast_len(int(needed), real=True))  # pyright: ignore[reportArgumentType]
    if size > LARGEST_WINDOW:
        return np.inf
    transform = np.ones(size // 2 + 1, dtype=np.complex128)
    for (_, q, m), grid in zip(moving, grids, strict=True):
        pmf = np.zeros(size)
        np.add.at(pmf, np.mod(grid, size).astype(np.int64), q)
        transform *= np.fft.rfft(pmf) ** m
    power = np.fft.irfft(transform, n=size)
    float_error = np.sqrt(size) * (draws + 16 * np.log2(size)) * 4 * UNIT_ROUNDOFF
    centre = round(-drift / step)
    power = np.roll(np.maximum(power, 0.0), -centre)
    steps = tail_quantile(power, 4 * BOOKKEEPING * delta + float_error, delta)
    shift = abs(step * centre + drift)
    return float(nm.up((step * steps + shift + radius) * (1 + 1e-12)))


def exact_row_error(instance: Instance, row: int, m: float, delta: float, known: float) -> float:
    """Exact-tail error at one input, never above the Cramer error known for it.

    Claim: SP-5x. Source: [OWN].

    Example:
        >>> law = draws_instance([[1.0, 0.0]], [0.5, 0.5])
        >>> 0.09 < exact_row_error(law, 0, 400, 0.05, 1.0) < 0.11
        True
    """
    values = (instance.shares[row] / instance.probabilities - 1) / m
    return min(known, draws_tail([(values, instance.probabilities, m)], delta))


def _row_errors(part: Instance, m: float, delta: float, floor: float) -> Float:
    """Exact-tail errors where Cramer's bound does not already show them to be at most floor."""
    errors = cramer_row_errors(part, m, delta)
    for row in np.flatnonzero(errors > floor):
        errors[row] = exact_row_error(part, int(row), m, delta, float(errors[row]))
    return errors


def _worst_exact(
    instance: Instance, m: float, delta: float, floor: float = 0.0
) -> tuple[float, int]:
    screen = bernstein_row_errors(instance, m, delta)
    return worst_error(
        instance, screen, lambda part, known: _row_errors(part, m, delta, known), floor
    )


def exact_error(
    shares: ArrayLike, probabilities: ArrayLike, m: ArrayLike, delta: ArrayLike
) -> np.float64:
    """Least error whose exact tail is at most delta for m draws, at the worst of the given inputs.

    max over x of min{eps : Pr(|z^/z - 1| > eps) <= delta}, the probability bounded from above by a
    convolution on a grid (relative loss in eps below about 1%); never above Cramer's, and equal to
    it where the grid would need more than 2**24 points (m beyond some 1e7).

    Args:
        shares: (n, k) or (k,) g_j(x) in [0, 1]; each row adds up to 1 or is all 0.
        probabilities: (k,) q_j >= 0 that add up to 1, positive wherever a share is.
        m: whole number of draws with replacement, >= 0.
        delta: failure probability at one input, in (0, 1).

    Returns:
        float64 relative error, rounded up; +inf for m = 0 with a live input; 0 with none.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-5x. Source: [OWN]; method after Koskela et al. 2020 and Gopi et al. 2021 (privacy).

    Example:
        >>> bool(exact_error([[1.0, 0.0], [0.5, 0.5]], [0.5, 0.5], 400, 0.05) < 0.11)
        True
    """
    failure = one_number("delta", nm.probability("delta", delta))
    draws = one_number("m", nm.integer_at_least("m", m, 0.0))
    instance = draws_instance(shares, probabilities)
    if instance.shares.size == 0:
        return np.float64(0.0)
    return np.float64(np.inf if draws == 0 else _worst_exact(instance, draws, failure)[0])


def exact_size(
    shares: ArrayLike,
    probabilities: ArrayLike,
    eps: ArrayLike,
    delta: ArrayLike,
    limit: float = np.inf,
) -> np.float64:
    """Number of draws by the exact tail, for the worst of the given inputs.

    An m at which Pr(|z^/z - 1| > eps) <= delta is proved for every input and at m - 1 is not.

    Args:
        shares: (n, k) or (k,) g_j(x) in [0, 1]; each row adds up to 1 or is all 0.
        probabilities: (k,) q_j >= 0 that add up to 1, positive wherever a share is.
        eps: relative error, in (0, 1).
        delta: failure probability at one input, in (0, 1).
        limit: whole number past which a size is of no use; one look tells that it is passed.

    Returns:
        float64 whole number of draws; never more than SP-5; +inf where limit is not
        enough; 0 when no input is live.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-5x. Source: [OWN]; method after Koskela et al. 2020 and Gopi et al. 2021 (privacy).

    Example:
        >>> float(exact_size([[1.0, 0.0], [0.5, 0.5]], [0.5, 0.5], 0.5, 0.05))
        15.0
    """
    target = one_number("eps", nm.probability("eps", eps))
    failure = one_number("delta", nm.probability("delta", delta))
    instance = draws_instance(shares, probabilities)
    if instance.shares.size == 0:
        return np.float64(0.0)
    if np.isfinite(limit) and (limit < 1 or _first_failing(instance, limit, failure, target) >= 0):
        return np.float64(np.inf)

    def solve(row: int, low: float) -> float:
        one = Instance(instance.shares[row : row + 1], instance.probabilities)
        enough = bernstein_start(one, target, failure)
        return nm.search_integer(
            lambda m: float(_row_errors(one, m, failure, 0.0)[0]), target, enough, low
        )

    return np.float64(
        search_rows(lambda m: _first_failing(instance, m, failure, target), solve, 1.0)
    )


def _first_failing(instance: Instance, m: float, delta: float, eps: float) -> int:
    """An input whose error exceeds eps, the likeliest looked at first; -1 if there is none."""
    screen = bernstein_row_errors(instance, m, delta)
    for row in np.argsort(-screen, kind="stable"):
        if screen[row] <= eps:
            return -1
        part = Instance(instance.shares[row : row + 1], instance.probabilities)
        if _row_errors(part, m, delta, eps)[0] > eps:
            return int(row)
    return -1


@register_bound
class ExactTail(Bound):
    """SP-5x: the exact tail at the given inputs."""

    name, claim, title, knows = "exact", "SP-5x", "exact tail", "shares"

    def size(
        self, neuron: Neuron, eps: ArrayLike, delta: ArrayLike, limit: float = np.inf
    ) -> np.float64:
        """Least number of draws, by `exact_size`."""
        shares, probabilities = self.known(neuron)
        return exact_size(shares, probabilities, eps, delta, limit)

    def error(self, neuron: Neuron, m: ArrayLike, delta: ArrayLike) -> np.float64:
        """Error of m draws, by `exact_error`."""
        shares, probabilities = self.known(neuron)
        return exact_error(shares, probabilities, m, delta)

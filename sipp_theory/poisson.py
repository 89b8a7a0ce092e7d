"""SP-8: independent (Poisson) inclusion, p_j = min(1, c s_j), and how large c must be.

Large weights are kept for certain, small ones by a coin, and no draw is wasted on a duplicate.
R = {j : p_j < 1} is where randomness lives and G_R = max_x sum_{j in R} g_j(x) how much of the
neuron it carries. `bernstein` is the claim as written; `kl` is its Bennett form, the Poisson limit
of Chernoff's bound, never worse; `cramer` and `exact` use the shares at the given inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory import _numeric as nm
from sipp_theory._numeric import Float
from sipp_theory.cramer import inverse_rate, one_number, search_rows, worst_error
from sipp_theory.exact import BOOKKEEPING, LARGEST_WINDOW, bernstein_radius, tail_quantile
from sipp_theory.laws import Instance, checked_shares, inclusion_instance, inclusion_log_mgf
from sipp_theory.multinomial import SLACK, _excess

INCLUSION_BOUNDS = ("bernstein", "kl", "cramer", "exact")
RATE_TOLERANCE = 2e-3
# Rates at which the likeliest weight is kept less often than this are not told apart.
LEAST_CERTAINTY = 1e-6
# A float32 network's sensitivities and shares agree to this.
PREMISE_TOLERANCE = 1e-4
# Keeps the rate on the promising side of the error's own rounding; 1e-12 of c costs nothing.
CLOSED_SLACK = 1.0 + 1e-12


def inclusion_probabilities(sensitivity: ArrayLike, rate: float) -> Float:
    """Inclusion probability of each weight, p_j = min(1, c s_j).

    Args:
        sensitivity: (k,) s_j in [0, 1].
        rate: c >= 0; may be +inf (keep every weight with s_j > 0).

    Returns:
        (k,) float64 in [0, 1].

    Raises:
        ValueError: a negative or non-finite sensitivity, or a negative rate.

    Claim: SP-8. Source: [OWN].

    Example:
        >>> inclusion_probabilities([0.5, 0.1, 0.0], 4.0).tolist()
        [1.0, 0.4, 0.0]
    """
    s = nm.at_least("sensitivity", sensitivity, 0.0)
    _check_rate(rate)
    if np.isinf(rate):
        return np.where(s > 0, 1.0, 0.0)
    return np.minimum(1.0, rate * s)


def _check_rate(rate: float) -> None:
    if not rate >= 0:
        raise ValueError(f"rate must be at least 0; found {rate!r}")


def _random_share(s: Float, p: Float, shares: Float | None, coverage_factor: float) -> float:
    """G_R: from the shares where they are given, else from the sensitivities (and at most 1)."""
    moving = p < 1
    total = min(1.0, float(s[moving].sum()) * coverage_factor)
    if shares is None:
        return total
    return min(total, float(shares[:, moving].sum(axis=1).max(initial=0.0)))


def _closed_error(share: float, rate: float, log: float, factor: float, bound: str) -> float:
    """Bernstein or Bennett for terms within b = C/c whose variances add up to at most b G_R."""
    if share == 0:
        return 0.0
    scale = factor * log / rate
    bernstein = (scale / 3 + np.sqrt((scale / 3) ** 2 + 2 * scale * share)) * SLACK
    if bound == "bernstein":
        return float(nm.up(bernstein))
    eps = nm.bisect_up(
        lambda e: share * _excess(e / share) >= scale * SLACK, np.float64(0), np.float64(bernstein)
    )
    return float(nm.up(eps))


def _convolution_error(values: Float, p: Float, delta: float) -> float:
    """Exact-tail error of sum_j v_j (B_j - p_j): two-point laws folded in one after the other.

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
    reach = bernstein_radius(variance, float(values.max()), log) + rounded
    size = int(2 * np.ceil(reach / step) + 8)
    if size > LARGEST_WINDOW:
        return np.inf
    centre = int(np.rint(float(grid @ p)))
    pmf = np.zeros(size)
    pmf[-centre % size] = 1.0
    moved = np.empty_like(pmf)
    # A weight that rounds to 0 moves nothing; its residue is in the radius.
    for jump, chance in zip(grid[grid > 0].astype(np.int64) % size, p[grid > 0], strict=True):
        moved[jump:], moved[:jump] = pmf[: size - jump], pmf[size - jump :]
        pmf *= 1 - chance
        moved *= chance
        pmf += moved
    steps = tail_quantile(pmf, 4 * BOOKKEEPING * delta + 1e-14 * values.size, delta)
    shift = abs(float(grid @ p) - centre) * step
    return float(nm.up((step * steps + shift + rounded) * (1 + 1e-12)))


def _screen(instance: Instance, delta: float) -> Float:
    """Bernstein with each input's own variance: an upper bound of every instance-exact error."""
    values, p = instance.shares / instance.probabilities, instance.probabilities
    log = np.log(2 / delta)
    linear = values.max(axis=1, initial=0.0) * log / 3
    variance = values**2 @ (p * (1 - p))
    return nm.up((linear + np.sqrt(linear**2 + 2 * variance * log)) * (1 + 1e-12))


def _row_errors(part: Instance, delta: float, bound: str, floor: float) -> Float:
    """Errors by Cramer's bound; by the exact tail where that does not show them at most floor."""
    values, p = part.shares / part.probabilities, part.probabilities
    variance = values**2 @ (p * (1 - p))
    exponent = np.full(variance.size, np.log(2 / delta))
    above = inverse_rate(
        inclusion_log_mgf(part, 1.0), variance, exponent, (values * (1 - p)).sum(1)
    )
    below = inverse_rate(inclusion_log_mgf(part, -1.0), variance, exponent, (values * p).sum(1))
    errors = np.maximum(above, below)
    if bound == "exact":
        for row in np.flatnonzero(errors > floor):
            errors[row] = min(errors[row], _convolution_error(values[row], p, delta))
    return errors


def _instance_error(instance: Instance, delta: float, bound: str) -> float:
    """Worst error over the inputs by Cramer's bound or by the exact tail."""
    if instance.shares.size == 0:
        return 0.0
    screen = _screen(instance, delta)
    return worst_error(
        instance, screen, lambda part, floor: _row_errors(part, delta, bound, floor), 0.0
    )[0]


def _failing_row(instance: Instance, delta: float, bound: str, eps: float) -> int:
    """An input whose error exceeds eps, the likeliest looked at first; -1 if there is none."""
    if instance.shares.size == 0:
        return -1
    screen = _screen(instance, delta)
    order = np.argsort(-screen, kind="stable")
    order = order[screen[order] > eps]
    for start in range(0, order.size, 8):
        rows = order[start : start + 8]
        part = Instance(instance.shares[rows], instance.probabilities)
        failing = _row_errors(part, delta, bound, eps) > eps
        if failing.any():
            return int(rows[np.argmax(failing)])
    return -1


def _instance_rate(
    table: Float, s: Float, eps: float, delta: float, bound: str, enough: float
) -> float:
    """Least rate that holds at every input to a relative RATE_TOLERANCE, from the holding side."""

    def instance_at(rate: float, rows: slice | NDArray[np.intp] = slice(None)) -> Instance:
        return inclusion_instance(table[rows], inclusion_probabilities(s, rate))

    def solve(row: int, low: float) -> float:
        rows = np.array([row])
        high, step = max(enough, low * (1 + RATE_TOLERANCE)), 1.5
        # Climb from the failing side, then halve the bracket in log c.
        while low * step < high:
            if _instance_error(instance_at(low * step, rows), delta, bound) <= eps:
                high = low * step
                break
            low *= step
        while high / low > 1 + RATE_TOLERANCE:
            middle = float(np.sqrt(low * high))
            if _instance_error(instance_at(middle, rows), delta, bound) <= eps:
                high = middle
            else:
                low = middle
        return high

    def failing(rate: float) -> int:
        return _failing_row(instance_at(rate), delta, bound, eps)

    start = enough / 64
    while failing(start) < 0 and start * s.max() > LEAST_CERTAINTY:
        start /= 8
    return search_rows(failing, solve, start)


def inclusion_error(
    sensitivity: ArrayLike,
    rate: float,
    delta: float,
    *,
    shares: ArrayLike | None = None,
    coverage_factor: float = 1.0,
    bound: str = "bernstein",
) -> np.float64:
    """Error promised by Poisson inclusion at rate c.

    bernstein: eps = b + sqrt(b^2 + 2 C G_R L/c), b = C L/(3c), L = ln(2/delta);
    kl: the eps with (c/C) G_R h(eps/G_R) = L, h(t) = (1+t) ln(1+t) - t;
    cramer, exact: the Chernoff bound and the exact tail of the worst given input.

    Args:
        sensitivity: (k,) s_j in [0, 1] of one sign of one neuron.
        rate: c >= 0, weights kept per unit of sensitivity; +inf keeps everything.
        delta: failure probability at one input, in (0, 1).
        shares: (n, k) g_j(x), each row adding up to 1 or all 0; needed by cramer and exact. With
            shares any bound speaks of these inputs only (G_R seen there says nothing of others).
        coverage_factor: C with g_j <= C s_j; 1 with shares and on the calibration points.
        bound: "bernstein", "kl", "cramer" or "exact".

    Returns:
        float64 relative error, rounded up; 0 if nothing is random; +inf at rate 0. Vacuous if >= 1.

    Raises:
        ValueError: an argument is out of range, an unknown bound, or shares missing.

    Claim: SP-8. Source: [OWN]; Bernstein 1946, Bennett 1962; SP-5x for "exact".

    Example:
        >>> s = [0.9, 0.2, 0.2, 0.1]
        >>> bool(inclusion_error(s, 4.0, 0.05, bound="kl") <= inclusion_error(s, 4.0, 0.05))
        True
    """
    _check_rate(rate)
    asked = _question(sensitivity, delta, shares, coverage_factor, bound)
    p = inclusion_probabilities(asked.s, rate)
    if rate == 0:
        return np.float64(np.inf if asked.s.any() else 0.0)
    if bound in ("cramer", "exact"):
        assert asked.shares is not None
        instance = inclusion_instance(asked.shares, p)
        return np.float64(_instance_error(instance, asked.delta, bound))
    share = _random_share(asked.s, p, asked.shares, asked.factor)
    return np.float64(_closed_error(share, rate, asked.log, asked.factor, bound))


@dataclass(frozen=True)
class _Question:
    """Validated arguments of the two front functions of this module."""

    s: Float
    delta: float
    factor: float
    shares: Float | None
    log: float


def _question(
    sensitivity: ArrayLike, delta: float, shares: ArrayLike | None, coverage_factor: float,
    bound: str,
) -> _Question:  # fmt: skip
    if bound not in INCLUSION_BOUNDS:
        raise ValueError(
            f"bound must be one of {', '.join(INCLUSION_BOUNDS)} for Poisson inclusion; "
            f"found {bound!r}"
        )
    failure = one_number("delta", nm.probability("delta", delta))
    factor = one_number("coverage_factor", nm.at_least("coverage_factor", coverage_factor, 1.0))
    s = nm.at_least("sensitivity", sensitivity, 0.0)
    if s.ndim != 1:
        raise ValueError(f"sensitivity must be (k,), of one neuron; found shape {s.shape}")
    if (s > 1 + PREMISE_TOLERANCE).any():
        worst = int(np.argmax(s))
        raise ValueError(f"sensitivity must not exceed 1; found {s[worst]!r} at index {worst}")
    closed = bound in ("bernstein", "kl")
    if closed and 0 < s.sum() < 1 - PREMISE_TOLERANCE:
        raise ValueError(f"sensitivity must add up to 0 or at least 1 (ES-2); found {s.sum()!r}")
    table = None
    if shares is None:
        if not closed:
            raise ValueError(f"bound {bound!r} needs shares (n, k) at the inputs it speaks of")
    else:
        table = _premise(checked_shares(shares), s, factor, bound)
    return _Question(np.minimum(s, 1.0), failure, factor, table, float(np.log(2 / failure)))


def _premise(table: Float, s: Float, factor: float, bound: str) -> Float:
    """Check what a promise at given inputs rests on: g_j <= s_j there, and nothing beyond."""
    if factor != 1:
        raise ValueError(
            f"with shares, bound {bound!r} holds at the given inputs: coverage_factor must be 1; "
            f"found {factor!r}"
        )
    if table.shape[1] != s.size:
        raise ValueError(f"shares must have {s.size} columns, one a weight; found {table.shape[1]}")
    over = table > s * (1 + PREMISE_TOLERANCE) + 1e-12
    lost = (table > 0) & (s == 0)
    broken = lost if bound not in ("bernstein", "kl") else over | lost
    if broken.any():
        row, column = (int(i) for i in np.argwhere(broken)[0])
        raise ValueError(
            f"shares: weight {column} has share {table[row, column]!r} at input {row} but "
            f"sensitivity {s[column]!r}, which must be no smaller"
        )
    return table


def _closed_rate(
    s: Float, eps: float, log: float, shares: Float | None, factor: float, bound: str
) -> float:
    """Least c of the closed bounds: between two thresholds 1/s_j the set R, so G_R, is constant."""
    order = np.argsort(-s, kind="stable")
    ranked = s[order][s[order] > 0]
    k = ranked.size
    tail = factor * np.concatenate([np.cumsum(ranked[::-1])[::-1], [0.0]])
    if shares is not None and shares.shape[0]:
        seen = np.cumsum(shares[:, order[:k]][:, ::-1], axis=1)[:, ::-1].max(axis=0)
        tail = np.minimum(tail, np.concatenate([seen, [0.0]]))
    share = np.minimum(tail, 1.0)
    if bound == "bernstein":
        needed = 2 * factor * (share + eps / 3) * log / eps**2
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = factor * log / (share * _excess(eps / np.where(share > 0, share, 1.0)))
    # Two floats past 1/s_j, so that c s_j >= 1 holds in float64 as well.
    certain = nm.up(nm.up(1 / ranked))
    starts = np.concatenate([[0.0], certain])
    ends = np.concatenate([certain, [np.inf]])
    # With j weights certain: c must reach both what the bound needs and where j becomes certain.
    candidates = np.where(share > 0, np.maximum(needed * CLOSED_SLACK, starts), starts)
    feasible = candidates < ends
    return float(candidates[feasible].min())


def inclusion_rate(
    sensitivity: ArrayLike,
    eps: float,
    delta: float,
    *,
    shares: ArrayLike | None = None,
    coverage_factor: float = 1.0,
    bound: str = "bernstein",
) -> np.float64:
    """Least rate c at which Poisson inclusion promises eps.

    bernstein: the least c >= 2 C (G_R(c) + eps/3) ln(2/delta)/eps^2, exact over the steps of G_R;
    kl likewise; cramer and exact by bisection to a relative 2e-3, from the promising side.

    Args:
        sensitivity: (k,) s_j in [0, 1] of one sign of one neuron.
        eps: relative error, in (0, 1).
        delta: failure probability at one input, in (0, 1).
        shares: (n, k) g_j(x); needed by cramer and exact, sharpens G_R for the others. With shares
            any bound speaks of these inputs only.
        coverage_factor: C with g_j <= C s_j; 1 with shares and on the calibration points.
        bound: "bernstein", "kl", "cramer" or "exact".

    Returns:
        float64 c; at 1/min s_j every weight is certain, and more is never asked for; 0 for a dead
        neuron.

    Raises:
        ValueError: an argument is out of range, an unknown bound, or shares missing.

    Claim: SP-8. Source: [OWN]; Bernstein 1946, Bennett 1962; SP-5x for "exact".

    Example:
        >>> s = [0.9, 0.2, 0.2, 0.1]
        >>> c = inclusion_rate(s, 0.5, 0.05)
        >>> bool(inclusion_error(s, float(c), 0.05) <= 0.5)
        True
    """
    target = one_number("eps", nm.probability("eps", eps))
    asked = _question(sensitivity, delta, shares, coverage_factor, bound)
    if not asked.s.any():
        return np.float64(0.0)
    closed = bound if bound in ("bernstein", "kl") else "kl"
    rate = _closed_rate(asked.s, target, asked.log, asked.shares, asked.factor, closed)
    if bound == closed or asked.shares is None:
        return np.float64(rate)
    return np.float64(_instance_rate(asked.shares, asked.s, target, asked.delta, bound, rate))


def expected_kept(sensitivity: ArrayLike, rate: float) -> np.float64:
    """Expected number of weights that Poisson inclusion keeps, sum_j min(1, c s_j).

    Args:
        sensitivity: (k,) s_j in [0, 1].
        rate: c >= 0, may be +inf.

    Returns:
        float64, expected nonzeros.

    Raises:
        ValueError: a negative or non-finite sensitivity, or a negative rate.

    Claim: SP-8. Source: [OWN].

    Example:
        >>> float(expected_kept([0.5, 0.1], 4.0))
        1.4
    """
    return np.float64(inclusion_probabilities(sensitivity, rate).sum())

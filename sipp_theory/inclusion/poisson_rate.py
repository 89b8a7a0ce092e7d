"""SP-8: independent (Poisson) inclusion, p_j = min(1, c s_j), and how large c must be.

Large weights are kept for certain, small ones by a coin, and no draw is wasted on a duplicate.
R = {j : p_j < 1} is where randomness lives and G_R = max_x sum_{j in R} g_j(x) how much of the
neuron it carries. `bernstein` is the claim as written; `kl` is its Bennett form, the Poisson limit
of Chernoff's bound, never worse. Both are closed and computed here; `cramer` and `exact` use the
shares at the given inputs and come from `inclusion_tail`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bernstein import SLACK
from sipp_theory.draws.chernoff_hoeffding import excess
from sipp_theory.draws.law_of_a_draw import checked_shares, inclusion_instance
from sipp_theory.draws.worst_input import one_number
from sipp_theory.inclusion.poisson_sampling import check_rate, inclusion_probabilities
from sipp_theory.inclusion.poisson_tail import instance_error, instance_rate
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

INCLUSION_BOUNDS = ("bernstein", "kl", "cramer", "exact")
# A float32 network's sensitivities and shares agree to this.
PREMISE_TOLERANCE = 1e-4
# Keeps the rate on the promising side of the error's own rounding; 1e-12 of c costs nothing.
CLOSED_SLACK = 1.0 + 1e-12


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
        lambda e: share * excess(e / share) >= scale * SLACK, np.float64(0), np.float64(bernstein)
    )
    return float(nm.up(eps))


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
    check_rate(rate)
    asked = _question(sensitivity, delta, shares, coverage_factor, bound)
    p = inclusion_probabilities(asked.s, rate)
    if rate == 0:
        return np.float64(np.inf if asked.s.any() else 0.0)
    if bound in ("cramer", "exact"):
        assert asked.shares is not None
        instance = inclusion_instance(asked.shares, p)
        return np.float64(instance_error(instance, asked.delta, bound))
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
            needed = factor * log / (share * excess(eps / np.where(share > 0, share, 1.0)))
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
    return np.float64(instance_rate(asked.shares, asked.s, target, asked.delta, bound, rate))

"""SP-8: independent (Poisson) inclusion, p_j = min(1, c s_j), and how large c must be.

Large weights are kept for certain, small ones by a coin of their own, and no draw is wasted on a
duplicate. R = {j : p_j < 1} is where randomness lives and G_R = max_x sum_{j in R} g_j(x) how much
of the neuron it carries. `bernstein` is the claim as written; `kl` is its Bennett form, the Poisson
limit of Chernoff's bound, never worse. Both are closed and computed here; `cramer` and `exact` use
the shares at the given inputs and come from `at_inputs`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.draws.bernstein import SLACK
from sipp_theory.draws.bound import BOUNDS, Inclusion, Names
from sipp_theory.draws.chernoff_hoeffding import excess
from sipp_theory.draws.law_of_a_draw import checked_shares
from sipp_theory.draws.worst_input import one_number
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float


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
    check_rate(rate)
    if np.isinf(rate):
        return np.where(s > 0, 1.0, 0.0)
    return np.minimum(1.0, rate * s)


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


def check_rate(rate: float) -> None:
    """Refuse a rate that is negative or no number.

    Example:
        >>> check_rate(float("inf"))
    """
    if not rate >= 0:
        raise ValueError(f"rate must be at least 0; found {rate!r}")


INCLUSION_BOUNDS = Names(lambda bound: bound.inclusion is not None)
# A float32 network's sensitivities and shares agree to this.
PREMISE_TOLERANCE = 1e-4
# Keeps the rate on the promising side of the error's own rounding; 1e-12 of c costs nothing.
CLOSED_SLACK = 1.0 + 1e-12
# Values of one weight, b ln(2/delta), past which an error is given as infinite.
ENDLESS = 1e150


@dataclass(frozen=True)
class Weights:
    """Validated weights of one sign of one neuron, and how often a promise on them may fail."""

    s: Float
    delta: float
    factor: float
    shares: Float | None

    @property
    def log(self) -> float:
        """ln(2/delta): two sides."""
        return float(nm.log_over(2.0, self.delta))


class Checked(Inclusion):
    """An inclusion bound whose arguments are validated once, for both directions."""

    needs_shares = False

    def __init__(self, name: str):
        self.name = name

    @abstractmethod
    def least_rate(self, weights: Weights, eps: float) -> float:
        """Least rate of a live neuron."""

    @abstractmethod
    def promised(self, weights: Weights, rate: float) -> float:
        """Error at a rate above 0."""

    def rate(
        self, s: ArrayLike, eps: float, delta: float, *, shares: ArrayLike | None = None,
        coverage_factor: float = 1.0,
    ) -> np.float64:  # fmt: skip
        """Least rate c that promises eps; 0 for a dead neuron."""
        target = one_number("eps", nm.probability("eps", eps))
        weights = self._weights(s, delta, shares, coverage_factor)
        return np.float64(self.least_rate(weights, target) if weights.s.any() else 0.0)

    def error(
        self, s: ArrayLike, rate: float, delta: float, *, shares: ArrayLike | None = None,
        coverage_factor: float = 1.0,
    ) -> np.float64:  # fmt: skip
        """Error promised at rate c; +inf at rate 0."""
        check_rate(rate)
        weights = self._weights(s, delta, shares, coverage_factor)
        if rate == 0:
            return np.float64(np.inf if weights.s.any() else 0.0)
        return np.float64(self.promised(weights, rate))

    def _weights(
        self, sensitivity: ArrayLike, delta: float, shares: ArrayLike | None, factor: float
    ) -> Weights:
        failure = one_number("delta", nm.probability("delta", delta))
        factor = one_number("coverage_factor", nm.at_least("coverage_factor", factor, 1.0))
        s = nm.at_least("sensitivity", sensitivity, 0.0)
        if s.ndim != 1:
            raise ValueError(f"sensitivity must be (k,), of one neuron; found shape {s.shape}")
        if (s > 1 + PREMISE_TOLERANCE).any():
            worst = int(np.argmax(s))
            raise ValueError(f"sensitivity must not exceed 1; found {s[worst]!r} at index {worst}")
        if not self.needs_shares and 0 < s.sum() < 1 - PREMISE_TOLERANCE:
            raise ValueError(
                f"sensitivity must add up to 0 or at least 1 (ES-2); found {s.sum()!r}"
            )
        if shares is None and self.needs_shares:
            raise ValueError(f"bound {self.name!r} needs shares (n, k) at the inputs it speaks of")
        table = None if shares is None else self._premise(checked_shares(shares), s, factor)
        return Weights(np.minimum(s, 1.0), failure, factor, table)

    def _premise(self, table: Float, s: Float, factor: float) -> Float:
        """Check what a promise at given inputs rests on: g_j <= s_j there, and nothing beyond."""
        if factor != 1:
            raise ValueError(
                f"with shares, bound {self.name!r} holds at the given inputs: coverage_factor must "
                f"be 1; found {factor!r}"
            )
        if table.shape[1] != s.size:
            raise ValueError(
                f"shares must have {s.size} columns, one a weight; found {table.shape[1]}"
            )
        broken = (table > 0) & (s == 0)
        if not self.needs_shares:
            broken |= table > s * (1 + PREMISE_TOLERANCE) + 1e-12
        if broken.any():
            row, column = (int(i) for i in np.argwhere(broken)[0])
            raise ValueError(
                f"shares: weight {column} has share {table[row, column]!r} at input {row} but "
                f"sensitivity {s[column]!r}, which must be no smaller"
            )
        return table


def _loops() -> ModuleType:
    """The compiled loops, loaded when they are first used: a compiler takes its time."""
    return import_module("sipp_theory.inclusion.closed_loops")


def _rows(
    sensitivity: NDArray[Any], deltas: ArrayLike, coverage_factor: float
) -> tuple[NDArray[Any], Float, float]:
    """Validate neurons, a row each, 0 for a weight that is none of its; with ln(2/delta) and C."""
    factor = one_number("coverage_factor", nm.at_least("coverage_factor", coverage_factor, 1.0))
    s = sensitivity
    if not isinstance(s, np.ndarray) or s.dtype not in (np.float32, np.float64):
        s = nm.numbers("sensitivity", s)
    if s.ndim != 2:
        raise ValueError(f"sensitivity must be (n, k), a neuron each row; found shape {s.shape}")
    if not (s.min(initial=0.0) >= 0 and s.max(initial=0.0) <= 1 + PREMISE_TOLERANCE):
        nm.at_least("sensitivity", s, 0.0)
        raise ValueError(f"sensitivity must not exceed 1; found {float(s.max())!r}")
    total = s.sum(axis=1, dtype=np.float64)
    if (wrong := (total > 0) & (total < 1 - PREMISE_TOLERANCE)).any():
        raise ValueError(
            f"sensitivity must add up to 0 or at least 1 (ES-2); found {float(total[wrong][0])!r}"
        )
    logs = nm.log_over(2.0, nm.probability("delta", deltas))
    return s, np.broadcast_to(logs, len(s)), factor


def _random_share(s: Float, p: Float, shares: Float | None, coverage_factor: float) -> float:
    """G_R: from the shares where they are given, else from the sensitivities (and at most 1)."""
    moving = p < 1
    total = min(1.0, float(s[moving].sum()) * coverage_factor)
    if shares is None:
        return total
    return min(total, float(shares[:, moving].sum(axis=1).max(initial=0.0)))


class Bernstein(Checked):
    """Bernstein for terms within b = C/c whose variances add up to at most b G_R."""

    def closed_error(self, share: Float, scale: Float) -> Float:
        """Error where b ln(2/delta) is `scale` and the random share is above 0; they broadcast."""
        return nm.up(_bernstein(share, scale))

    def errors(
        self, sensitivity: NDArray[Any], rates: Float, deltas: ArrayLike, *,
        coverage_factor: float = 1.0,
    ) -> Float:  # fmt: skip
        """Errors of many neurons: the random share of each, and then one solution for all."""
        s, logs, factor = _rows(sensitivity, deltas, coverage_factor)
        rates = np.asarray(rates, np.float64)
        check_rate(float(np.min(rates, initial=np.inf)))
        share = np.empty(len(s))
        _loops().moving_shares(s, rates, factor, share)
        with np.errstate(over="ignore"):
            scale = np.divide(factor * logs, rates, out=np.full(len(s), np.inf), where=rates > 0)
        errors = np.where(share > 0, np.inf, 0.0)
        solved = (share > 0) & (scale < ENDLESS)
        errors[solved] = self.closed_error(share[solved], scale[solved])
        return errors

    def rates(
        self, sensitivity: NDArray[Any], eps: float, deltas: ArrayLike, *,
        coverage_factor: float = 1.0,
    ) -> Float:  # fmt: skip
        """Least rates of many neurons: with the m least weights left to chance, m as many as can.

        Where fewer are, the rate is above that of the weight that becomes certain, so that the
        most is the least rate; and whether the bound asks for too much to leave m grows with m.
        """
        target = one_number("eps", nm.probability("eps", eps))
        s, logs, factor = _rows(sensitivity, deltas, coverage_factor)
        live, counts = np.empty((len(s), s.shape[1] + 1), s.dtype), np.empty(len(s), np.intp)
        _loops().live_first(s, live, counts)
        for row, count in zip(live, counts.tolist(), strict=True):
            row[:count].sort()
        sums, each = np.empty(live.shape), np.arange(len(s))
        _loops().sums_from_the_least(live, counts, sums)
        starts, ends = np.empty(len(s)), np.empty(len(s))

        def needed(m: NDArray[np.intp]) -> Float:
            _loops().thresholds(live, counts, m, starts, ends)
            share = np.minimum(factor * sums[each, m], 1.0)
            return self.needed_rate(share, target, logs, factor) * CLOSED_SLACK

        most, beyond = np.zeros(len(s), np.intp), counts + 1
        while (beyond - most > 1).any():
            middle = (most + beyond) // 2
            fits = (middle == 0) | (needed(middle) < ends)
            most, beyond = np.where(fits, middle, most), np.where(fits, beyond, middle)
        _loops().leave_ties(live, counts, most)
        rates = needed(most)
        return np.where(counts > 0, np.where(most > 0, np.maximum(rates, starts), starts), 0.0)

    def needed_rate(self, share: Float, eps: float, log: ArrayLike, factor: float) -> Float:
        """Rate that the inequality asks for where the random share is that."""
        return 2 * factor * (share + eps / 3) * np.asarray(log) / eps**2

    def promised(self, weights: Weights, rate: float) -> float:
        """Error at a rate above 0."""
        if weights.shares is None:
            one, factor = weights.s[None], weights.factor
            return float(
                self.errors(one, np.array([rate]), weights.delta, coverage_factor=factor)[0]
            )
        p = inclusion_probabilities(weights.s, rate)
        share = _random_share(weights.s, p, weights.shares, weights.factor)
        if not share:
            return 0.0
        scale = np.array(weights.factor * weights.log / rate)
        return float(self.closed_error(np.array(share), scale)) if scale < ENDLESS else np.inf

    def least_rate(self, weights: Weights, eps: float) -> float:
        """Least c: between two thresholds 1/s_j the set R, so G_R, is constant."""
        s, factor = weights.s, weights.factor
        if weights.shares is None:
            return float(self.rates(s[None], eps, weights.delta, coverage_factor=factor)[0])
        ranked = np.sort(s[s > 0])[::-1]
        k = ranked.size
        tail = factor * np.concatenate([np.cumsum(ranked[::-1])[::-1], [0.0]])
        if weights.shares.shape[0]:
            order = np.argsort(-s, kind="stable")[:k]
            seen = np.cumsum(weights.shares[:, order][:, ::-1], axis=1)[:, ::-1].max(axis=0)
            tail = np.minimum(tail, np.concatenate([seen, [0.0]]))
        share = np.minimum(tail, 1.0)
        needed = self.needed_rate(share, eps, weights.log, factor)
        # Two floats past 1/s_j, so that c s_j >= 1 holds in float64 as well.
        certain = nm.up(nm.up(1 / ranked))
        starts = np.concatenate([[0.0], certain])
        ends = np.concatenate([certain, [np.inf]])
        # With j weights certain: c must reach what the bound needs and where j becomes certain.
        candidates = np.where(share > 0, np.maximum(needed * CLOSED_SLACK, starts), starts)
        return float(candidates[candidates < ends].min())


class Bennett(Bernstein):
    """Bennett's form, (c/C) G_R h(eps/G_R) = ln(2/delta); never worse than Bernstein's."""

    def closed_error(self, share: Float, scale: Float) -> Float:
        """Error where b ln(2/delta) is `scale` and the random share is above 0; they broadcast."""
        high = _bernstein(share, scale)
        return nm.up(
            nm.bisect_up(
                lambda e: share * excess(e / share) >= scale * SLACK, np.zeros_like(high), high
            )
        )

    def needed_rate(self, share: Float, eps: float, log: ArrayLike, factor: float) -> Float:
        """Rate that the inequality asks for where the random share is that."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (
                factor * np.asarray(log) / (share * excess(eps / np.where(share > 0, share, 1.0)))
            )


def _bernstein(share: Float, scale: Float) -> Float:
    return (scale / 3 + np.sqrt((scale / 3) ** 2 + 2 * scale * share)) * SLACK


def _named(bound: str) -> Inclusion:
    inclusion = BOUNDS[bound].inclusion if bound in BOUNDS else None
    if inclusion is None:
        raise ValueError(
            f"bound must be one of {', '.join(INCLUSION_BOUNDS)} for Poisson inclusion; "
            f"found {bound!r}"
        )
    return inclusion


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
    return _named(bound).error(
        sensitivity, rate, delta, shares=shares, coverage_factor=coverage_factor
    )


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
    kl likewise; cramer to a relative 1e-4 and exact to 2e-4, from the promising side.

    Args:
        sensitivity: (k,) s_j in [0, 1] of one sign of one neuron.
        eps: relative error, in (0, 1).
        delta: failure probability at one input, in (0, 1).
        shares: (n, k) g_j(x); needed by cramer and exact, sharpens G_R for the others. With shares
            any bound speaks of these inputs only.
        coverage_factor: C with g_j <= C s_j; 1 with shares and on the calibration points.
        bound: "bernstein", "kl", "cramer" or "exact".

    Returns:
        float64 c; at 1/min s_j every weight is certain, and more is never needed; 0 for a dead
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
    return _named(bound).rate(
        sensitivity, eps, delta, shares=shares, coverage_factor=coverage_factor
    )

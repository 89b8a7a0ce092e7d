"""Occam's bound (GN-3): the true error of a network from the bits of a file that decodes to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric import log_tail as tail
from sipp_theory.numeric.checks import UNIT, Float

OccamForm = Literal["binomial", "kl", "hoeffding"]


def occam_bound(
    form: OccamForm, *, errors: ArrayLike, n: ArrayLike, bits: ArrayLike, delta: ArrayLike
) -> Float:
    """Upper bound on the true error rate of a network that a file of so many bits decodes to.

    With a prefix-free code fixed before the n points are seen, each network h has the share 2^-B(h)
    of delta, and these add up to delta at most (Kraft). "binomial": the largest p with Pr(Bin(n, p)
    <= errors) >= delta 2^-B, exact for each network; "kl": the largest p with n kl(errors/n || p)
    <= B ln 2 + ln(1/delta), by Chernoff; "hoeffding": errors/n + sqrt((B ln 2 + ln(1/delta))/(2n)).
    With probability 1 - delta over the points it holds for all networks at once, however one was
    chosen on them. binomial <= kl <= hoeffding, also as computed.

    Args:
        form: "binomial", "kl" or "hoeffding".
        errors: errors counted on the n points, whole, 0 <= errors <= n; any shape.
        n: number of i.i.d. points, whole, >= 1; broadcasts.
        bits: B >= 0, everything paid: the file and each choice outside of it; broadcasts.
        delta: failure probability over the points, in (0, 1); broadcasts.

    Returns:
        float64 array, an error rate in (0, 1], rounded up; 1 is vacuous.

    Raises:
        ValueError: an unknown form, or an argument out of range; the message names it.

    Claim: GN-3. Source: Blumer et al. 1987; Langford 2005 (binomial tail inversion).

    Example:
        >>> given = dict(errors=1200, n=60_000, bits=6000, delta=0.05)
        >>> forms = ("binomial", "kl", "hoeffding")
        >>> [round(float(occam_bound(form, **given)), 4) for form in forms]
        [0.1196, 0.1197, 0.2062]
    """
    rate = _named(form)
    k, trials = counted(errors, n)
    cost = tail.log_level(numeric.at_least("bits", bits, 0.0), numeric.probability("delta", delta))
    k, trials, cost = np.broadcast_arrays(k, trials, cost)
    flat = tuple(np.array(a, np.float64).ravel() for a in (k, trials, cost))
    return np.clip(rate(*flat), 5e-324, 1.0).reshape(k.shape)[()]


def bits_allowed(
    form: OccamForm, *, errors: ArrayLike, n: ArrayLike, risk: ArrayLike, delta: ArrayLike
) -> Float:
    """Most bits that a file may have for its bound to stay at a given error rate.

    The inverse of `occam_bound` in the bits.

    Args:
        form: "binomial", "kl" or "hoeffding".
        errors: errors counted on the n points, whole, 0 <= errors <= n; any shape.
        n: number of i.i.d. points, whole, >= 1; broadcasts.
        risk: error rate that the bound may have, in (0, 1); broadcasts.
        delta: failure probability over the points, in (0, 1); broadcasts.

    Returns:
        float64 array of bits >= 0, rounded down: `occam_bound` of them is at most risk. NaN where
        not even a file of 0 bits would do.

    Raises:
        ValueError: an unknown form, or an argument out of range; the message names it.

    Claim: GN-3. Source: Langford 2005, as `occam_bound`.

    Example:
        >>> given = dict(errors=1200, n=60_000, risk=0.116, delta=0.05)
        >>> float(bits_allowed("binomial", **given) // 1), float(bits_allowed("kl", **given) // 1)
        (5704.0, 5698.0)
    """
    rate = _named(form)
    k, trials = counted(errors, n)
    target, level = numeric.probability("risk", risk), numeric.probability("delta", delta)
    k, trials, target, level = (
        np.array(a, np.float64) for a in np.broadcast_arrays(k, trials, target, level)
    )
    shape = k.shape
    k, trials, target, level = (a.ravel() for a in (k, trials, target, level))
    bits = (_paid(form, k, trials, target) + np.log(level)) / np.log(2.0)
    size = np.where(np.isfinite(bits), np.maximum(np.abs(bits), 1.0), 0.0)
    # The last digits of the two directions differ; the bound itself has the last word.
    allowed = np.full(bits.shape, np.nan)
    for step in (0.0, *(UNIT * 2.0 ** np.arange(1, 52))):
        spare = np.where(np.isfinite(bits), bits - step * size, -1.0)
        pending = np.isnan(allowed) & (spare >= 0)
        if not pending.any():
            break
        fits = rate(k, trials, tail.log_level(np.maximum(spare, 0.0), level)) <= target
        allowed = np.where(pending & fits, spare, allowed)
    none = np.isnan(allowed) & (rate(k, trials, tail.log_level(np.zeros(k.shape), level)) <= target)
    return np.where(none, 0.0, allowed).reshape(shape)[()]


def counted(errors: ArrayLike, n: ArrayLike) -> tuple[Float, Float]:
    """Check and broadcast a number of errors among n points.

    Shapes: returns (errors, n).
    """
    k = numeric.integer_at_least("errors", errors, 0)
    trials = numeric.integer_at_least("n", n, 1)
    k, trials = np.broadcast_arrays(k, trials)
    if (k > trials).any():
        index = tuple(int(i) for i in np.argwhere(k > trials)[0])
        where = f" at index {index[0] if len(index) == 1 else index}" if index else ""
        raise ValueError(
            f"errors must not exceed n; found {k[index]:g} of {trials[index]:g}{where}"
        )
    return k, trials


def _named(form: str) -> Callable[[Float, Float, Float], Float]:
    forms = {"binomial": _binomial_form, "kl": _kl_form, "hoeffding": _hoeffding_form}
    if form not in forms:
        raise ValueError(f"form must be one of {get_args(OccamForm)}; found {form!r}")
    return forms[form]


def _hoeffding_form(k: Float, n: Float, cost: Float) -> Float:
    return np.minimum((k / n + np.sqrt(cost / (2 * n))) * (1 + 8 * UNIT), 1.0)


def _kl_form(k: Float, n: Float, cost: Float) -> Float:
    rate = np.ones(k.shape)
    none, some = k == 0, (k > 0) & (k < n)
    rate[none] = -np.expm1(-cost[none] / n[none]) * (1 + 8 * UNIT)
    rate[some] = tail.kl_rate(k[some], n[some], cost[some])
    # Pinsker: Hoeffding's rate is never below this one, so the smaller of the two is safe.
    return np.minimum(rate, _hoeffding_form(k, n, cost))


def _binomial_form(k: Float, n: Float, cost: Float) -> Float:
    limit = _kl_form(k, n, cost)
    rate = limit.copy()
    some = (k > 0) & (k < n)
    # At a level above 1/2 the rate may lie below k/n, where the series would not fall.
    high = some & (cost < 1.0)
    rate[high] = binomial.rate_above(k[high], n[high], np.exp(-cost[high]) * (1 - 4 * UNIT))
    deep = some & (cost >= 1.0)
    rate[deep] = tail.binomial_rate(k[deep], n[deep], cost[deep], limit[deep])
    return np.minimum(rate, limit)


def _paid(form: str, k: Float, n: Float, risk: Float) -> Float:
    """Logarithm of 1/level at which the bound is the risk, -inf where it is above at any level."""
    if form == "hoeffding":
        return np.where(risk * n > k, 2 * n * np.maximum(risk - k / n, 0.0) ** 2, -np.inf)
    above = (k < n) & (risk * n > k)
    paid = np.full(k.shape, -np.inf)
    kl = tail.divergence(k[above], n[above], risk[above])[0]
    paid[above] = kl if form == "kl" else -tail.log_tail(k[above], n[above], risk[above])[0]
    if form == "binomial":
        below = (k < n) & ~above
        with np.errstate(divide="ignore"):
            paid[below] = -np.log(binomial.lower_tail(k[below], n[below], risk[below]))
    return paid

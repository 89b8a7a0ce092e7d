"""SP-11: one tail for a neuron, both signs of its weights and both halves of its inputs at once.

One Chernoff bound on z^ - z, a sum of independent terms of either sign, needs no union over signs
and halves, and lets them cancel; the exact form bounds the same tail by convolution. All neurons of
a layer are answered for in one call, with one search a neuron for the rate that is enough at every
row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.draws.worst_input import one_number
from sipp_theory.inclusion.neuron_laws import Coins, Draws, GivenDraws, Index, Layer
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

RATE_TOLERANCE = 1e-4
STEPS = 60


def least_rates(law: Layer, eps: float, tolerance: float = RATE_TOLERANCE) -> Float:
    """Least rate of each neuron at which the error is at most eps at every row, (out,).

    To a relative tolerance, from the holding side; at the rate from which all is certain the error
    is 0. One search a neuron over the rows that were seen to fail, until none does.
    """
    known = law.least_rates(eps, tolerance)
    if known is not None:
        return known
    certain = law.certain()
    everyone = np.flatnonzero((law.size > 0).any(axis=1) & (certain > 0))
    rate = np.zeros(len(law.weight))
    low, guess = np.zeros_like(rate), np.minimum(2 * (1 + eps / 3) * law.log / eps**2, certain)
    seen: list[list[int]] = [[] for _ in rate]
    open_, rate[everyone] = everyone, guess[everyone]
    while open_.size:
        _, where = law.worst(rate[open_], open_, eps)
        failing = where >= 0
        for neuron, row in zip(open_[failing], where[failing], strict=True):
            seen[neuron].append(int(row))
        first = ~failing & np.array([not seen[neuron] for neuron in open_])
        if first.any():  # the guess holds at once: a smaller one is tried until it fails
            low[open_[first]] = 0.0
            screen = law.screen(rate[open_[first]], open_[first])
            for neuron, row in zip(open_[first], screen.argmax(axis=1), strict=True):
                seen[neuron].append(int(row))
        low[open_[failing]] = np.maximum(low[open_[failing]], rate[open_[failing]])
        open_ = open_[failing | first]
        _solve(law, open_, seen, rate, low, certain, eps, tolerance)
    return rate


def _solve(
    law: Layer, neurons: Index, seen: list[list[int]], rate: Float, low: Float, certain: Float,
    eps: float, tolerance: float,
) -> None:  # fmt: skip
    """Write to `rate` the least rates of some neurons at the rows seen so far."""
    lo, hi, now = low[neurons].copy(), certain[neurons].copy(), rate[neurons].copy()
    index = np.concatenate([np.full(len(seen[i]), p) for p, i in enumerate(neurons)] or [[]])
    rows = np.concatenate([seen[i] for i in neurons] or [[]]).astype(np.intp)
    index, known = index.astype(np.intp), dict[tuple[float, ...], float]()
    for step in range(STEPS):
        going = (hi > lo * (1 + tolerance)) & (hi > 0)
        pair = going[index]
        if not pair.any():
            break
        error = np.zeros(neurons.size)
        at, here, its = now[index[pair]], neurons[index[pair]], rows[pair]
        looks = list(zip(here, its, *law.means(at, here), strict=True))
        new = np.array([place for place, look in enumerate(looks) if look not in known], np.intp)
        errors = law.errors(at[new], here[new], its[new], np.zeros(new.size))
        known.update((looks[place], float(e)) for place, e in zip(new, errors, strict=True))
        np.maximum.at(error, index[pair], [known[look] for look in looks])
        holds = error <= eps
        hi, lo = np.where(going & holds, now, hi), np.where(going & ~holds, now, lo)
        # The error falls about like the root of the rate; every third step halves the bracket.
        with np.errstate(divide="ignore", invalid="ignore"):
            aim = now * (error / eps) ** 2
            aim = np.where(holds, aim * (1 - tolerance / 3), aim * (1 + tolerance / 3))
            middle = np.where(lo > 0, np.sqrt(lo * hi), hi / 8)
        poor = ~((aim > lo) & (aim < hi)) | (step % 3 == 2)
        now = np.where(going, np.where(poor, middle, aim), now)
    rate[neurons] = hi


def _layer(
    weight: ArrayLike, rows: ArrayLike, scores: ArrayLike, delta: ArrayLike
) -> tuple[Float, Float, Float, Float, Float]:
    """Validate a layer; weights, rows, scores, z~ of every row (out, n), delta (out,)."""
    w, a = nm.finite("weight", weight), nm.finite("rows", rows)
    s = nm.at_least("scores", scores, 0.0)
    if w.ndim != 2 or s.shape != w.shape or a.ndim != 2 or a.shape[1] != w.shape[1]:
        raise ValueError(
            "weight and scores must be (out, k) and rows (n, k); found shapes "
            f"{w.shape}, {s.shape} and {a.shape}"
        )
    failure = nm.probability("delta", delta)
    if failure.shape not in ((), (len(w),)):
        raise ValueError(f"delta must be one number or (out,); found shape {failure.shape}")
    # Neither shares nor errors depend on scale; this one keeps products in range.
    top = np.abs(w).max(axis=1, initial=0.0, keepdims=True)
    w = np.divide(w, top, out=np.zeros_like(w), where=top > 0)
    peak = np.abs(a).max(axis=1, initial=0.0, keepdims=True)
    a = np.divide(a, peak, out=np.zeros_like(a), where=peak > 0)
    return w, a, s, np.abs(w) @ np.abs(a).T, np.broadcast_to(failure, len(w))


def _lost(w: Float, a: Float, scores: Float) -> NDArray[np.bool_]:
    """Neurons with a weight that counts at a row and has score 0: their estimate is biased."""
    fires = (a != 0).any(axis=0)
    return ((w != 0) & fires & (scores == 0)).any(axis=1)


def tail_error(
    weight: ArrayLike, rows: ArrayLike, probabilities: ArrayLike, delta: ArrayLike,
    *, exact: bool = False, threads: int = 1,
) -> Float:  # fmt: skip
    """Error of each neuron when its weights are included by independent coins.

    The least eps with Pr(|z^ - z| > eps z~) <= delta by Chernoff's bound at the worst row:
    K(t) = sum_j ln(1 - p_j + p_j e^(t v_j)) - t p_j v_j, v_j = w_j a_j/(p_j z~), both tails at
    ln(2/delta), no union over signs of weights or halves of inputs. It holds as well for coins that
    are coupled by pivotal sampling within groups in which every w_j a_j has one sign at every row;
    the exact tail holds for independent ones alone.

    Args:
        weight: (out, k) real.
        rows: (n, k) real activations of any sign; rows with z~ = 0 do not count.
        probabilities: (out, k) p_j in [0, 1], the chance that a weight is kept, as w_j/p_j.
        delta: failure probability of a neuron at one row, in (0, 1); one number or (out,).
        exact: by convolution in place of Chernoff's bound.
        threads: neurons to work on at a time, >= 1; the same bits for any number.

    Returns:
        (out,) float64 relative to z~, rounded up; 0 where nothing is random, +inf where a weight
        that counts is never kept; vacuous from 1 on.

    Raises:
        ValueError: shapes that do not fit, a probability above 1, or a value out of range.

    Claim: SP-11. Source: [OWN]; Cramer 1938, Deville and Tille 1998.

    Example:
        >>> p = [[0.5, 0.5, 0.5, 0.5]]
        >>> mixed = tail_error([[1.0, 1.0, -1.0, -1.0]], [[1.0, 1.0, 1.0, 1.0]], p, 0.05)
        >>> bool(mixed[0] <= 1.0 + 1e-9)
        True
    """
    w, a, p, size, failure = _layer(weight, rows, probabilities, delta)
    if (p > 1).any():
        raise ValueError(f"probabilities must not exceed 1; found {float(p.max())!r}")
    law = Coins(w, a, p, size, failure, exact, threads)
    return _worst_of(law, _lost(w, a, p))


def tail_draws_error(
    weight: ArrayLike, rows: ArrayLike, scores: ArrayLike, draws: ArrayLike, delta: ArrayLike,
    *, exact: bool = False, threads: int = 1,
) -> Float:  # fmt: skip
    """Error of each neuron when weights of each sign are drawn with replacement.

    As `tail_error`, with K(t) = sum over signs of m ln sum_j q_j e^(t v_j) - t m q_j v_j,
    v_j = w_j a_j/(m q_j z~), q in proportion to the scores of a sign.

    Args:
        weight: (out, k) real.
        rows: (n, k) real activations of any sign.
        scores: (out, k) >= 0.
        draws: (2, out) whole numbers of draws from the weights above and below 0; +inf for a sign
            that is kept whole.
        delta: failure probability of a neuron at one row, in (0, 1).
        exact: by convolution in place of Chernoff's bound.
        threads: pairs of neuron and row to work on at a time, >= 1; the same bits for any number.

    Returns:
        (out,) float64 relative to z~, rounded up; +inf where a weight that counts is never drawn.

    Raises:
        ValueError: shapes that do not fit, or a value out of range.

    Claim: SP-11. Source: [OWN]; Cramer 1938.

    Example:
        >>> one = np.ones((1, 2))
        >>> error = tail_draws_error(one, [[1.0, 0.5]], one, [[9.0], [0.0]], 0.1)
        >>> bool(0 < error[0] < 1)
        True
    """
    w, a, s, size, failure = _layer(weight, rows, scores, delta)
    m = np.asarray(draws, dtype=np.float64)
    if m.shape != (2, len(w)) or not (m >= 0).all() or (m[np.isfinite(m)] % 1 != 0).any():
        raise ValueError(f"draws must be (2, out) whole numbers >= 0, or +inf; found {draws!r}")
    law = GivenDraws(w, a, s, size, failure, exact, threads, given=m)
    sizes = np.where(w > 0, m[0][:, None], m[1][:, None])
    return _worst_of(law, _lost(w, a, np.where(np.isinf(sizes), 1.0, s * (sizes > 0))))


def _worst_of(law: Layer, lost: NDArray[np.bool_]) -> Float:
    everyone = np.flatnonzero(~lost)
    error = np.where(lost, np.inf, 0.0)
    error[everyone] = law.worst(np.ones(everyone.size), everyone)[0]
    return error


def tail_rate(
    weight: ArrayLike, rows: ArrayLike, scores: ArrayLike, eps: ArrayLike, delta: ArrayLike,
    *, exact: bool = False, tolerance: float = RATE_TOLERANCE, threads: int = 1,
) -> Float:  # fmt: skip
    """Least rate c of each neuron with which coins of p_j = min(1, c s_j) promise eps.

    Args:
        weight: (out, k) real.
        rows: (n, k) real activations of any sign.
        scores: (out, k) s_j >= 0, of any scale.
        eps: error relative to z~, in (0, 1).
        delta: failure probability of a neuron at one row, in (0, 1); one number or (out,).
        exact: by convolution in place of Chernoff's bound.
        tolerance: how far above the least a rate may be, relative, in (0, 1).
        threads: neurons to work on at a time, >= 1; the same bits for any number.

    Returns:
        (out,) float64 rates: `tail_error` is at most eps there, to the tolerance the least;
        0 for a neuron without a live row, +inf where a weight that counts has score 0.

    Raises:
        ValueError: shapes that do not fit, or a value out of range.

    Claim: SP-11. Source: [OWN].

    Example:
        >>> w, a = [[1.0, 1.0, -1.0, -1.0]], [[1.0, 1.0, 1.0, 1.0]]
        >>> c = tail_rate(w, a, np.ones((1, 4)), 0.5, 0.1)
        >>> bool(tail_error(w, a, np.minimum(1, c[:, None] * np.ones((1, 4))), 0.1)[0] <= 0.5)
        True
    """
    w, a, s, size, failure = _layer(weight, rows, scores, delta)
    target = one_number("eps", nm.probability("eps", eps))
    closeness = one_number("tolerance", nm.probability("tolerance", tolerance))
    rate = least_rates(Coins(w, a, s, size, failure, exact, threads), target, closeness)
    return np.where(_lost(w, a, s), np.inf, rate)


def tail_draws(
    weight: ArrayLike, rows: ArrayLike, scores: ArrayLike, eps: ArrayLike, delta: ArrayLike,
    *, exact: bool = False, threads: int = 1,
) -> Float:  # fmt: skip
    """Draws from each sign of each neuron with which eps is promised.

    m = ceil(c S_s) from the weights of one sign, S_s the sum of their scores, with the least c that
    does; a sign that would be drawn from as often as it has weights is kept whole.

    Args:
        weight: (out, k) real.
        rows: (n, k) real activations of any sign.
        scores: (out, k) >= 0.
        eps: error relative to z~, in (0, 1).
        delta: failure probability of a neuron at one row, in (0, 1).
        exact: by convolution in place of Chernoff's bound.
        threads: pairs of neuron and row to work on at a time, >= 1; the same bits for any number.

    Returns:
        (2, out) float64 draws from the weights above and below 0; +inf for a sign that is kept
        whole, also where a weight that counts has score 0.

    Raises:
        ValueError: shapes that do not fit, or a value out of range.

    Claim: SP-11. Source: [OWN].

    Example:
        >>> w, a = np.ones((1, 50)), np.ones((1, 50))
        >>> m = tail_draws(w, a, np.ones((1, 50)), 0.9, 0.5)
        >>> bool(tail_draws_error(w, a, np.ones((1, 50)), m, 0.5)[0] <= 0.9)
        True
    """
    w, a, s, size, failure = _layer(weight, rows, scores, delta)
    target = one_number("eps", nm.probability("eps", eps))
    law = Draws(w, a, s, size, failure, exact, threads)
    draws = law.draws(least_rates(law, target), np.arange(len(w)))
    return np.where(_lost(w, a, s), np.inf, draws)

"""SV-3, SV-4, SV-8 and SV-9: sizes and errors of sampled coresets, merges and streams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws.bernstein import bernstein_size
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float
from sipp_theory.svm.bounds import class_means, steepest
from sipp_theory.svm.problem import (
    hyperplane,
    instance,
    points,
    positive_number,
    slacks,
    svm_objective,
)

GUARD = 1 + 1e-12


def query_coreset_size(total: ArrayLike, eps: ArrayLike, delta: ArrayLike) -> Float:
    """Points of a sensitivity sample that keep F within 1 +- eps at one (w, b).

    Bernstein's size with a draw's range M = S. At a single query it says nothing about a minimiser;
    SV-10 certifies that.

    Args:
        total: S >= 1, the sum of the bounds that are drawn by.
        eps: relative error, in (0, 1).
        delta: failure probability, in (0, 1).

    Returns:
        Whole number of draws with replacement, rounded up.

    Raises:
        ValueError: an argument is out of range.

    Claim: SV-3. Source: SP-3; [SV] arXiv 1708.03835.

    Example:
        >>> float(query_coreset_size(100.0, 0.1, 0.05))
        75475.0
    """
    return bernstein_size(total, eps, delta)


def uniform_coreset_size(
    total: ArrayLike, dimension: ArrayLike, eps: ArrayLike, delta: ArrayLike, constant: ArrayLike
) -> Float:
    """Points that keep F within 1 +- eps everywhere: (c S/eps^2)(d ln S + ln(1/delta)).

    Args:
        total: S >= 1, the sum of the bounds that are drawn by.
        dimension: d >= 1.
        eps: relative error, in (0, 1).
        delta: failure probability, in (0, 1).
        constant: c > 0. The papers leave it open: the promise needs a known one.

    Returns:
        Whole number of draws, rounded up.

    Raises:
        ValueError: an argument is out of range.

    Claim: SV-3. Source: [SV] arXiv 1708.03835; Braverman, Feldman and Lang 2016, arXiv 1612.00889.

    Example:
        >>> float(uniform_coreset_size(100.0, 5, 0.1, 0.05, 1.0))
        260216.0
    """
    S, d = nm.at_least("total", total, 1.0), nm.integer_at_least("dimension", dimension, 1.0)
    error, c = nm.probability("eps", eps), nm.at_least("constant", constant, 0.0)
    if (c == 0).any():
        raise ValueError("constant must be above 0; found 0.0")
    size = c * S / error**2 * (d * np.log(S) + np.log(1 / nm.probability("delta", delta)))
    return np.ceil(size * GUARD)


def coreset_suboptimality(eps: ArrayLike) -> Float:
    """F(w_C)/F* - 1 of a coreset's minimiser where F is kept within 1 +- eps everywhere.

    (1 + eps)/(1 - eps) - 1 = 2 eps/(1 - eps); it needs the uniform event.

    Args:
        eps: relative error at every (w, b), >= 0.

    Returns:
        float64 array, rounded up; +inf from eps = 1 on.

    Raises:
        ValueError: a negative eps.

    Claim: SV-3. Source: [SV] arXiv 1708.03835.

    Example:
        >>> round(float(coreset_suboptimality(0.1)), 6)
        0.222222
    """
    error = nm.at_least("eps", eps, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error < 1, nm.up(2 * error / np.where(error < 1, 1 - error, 1.0) * GUARD)
                        * (error > 0), np.inf)[()]  # fmt: skip


def merged_error(eps: ArrayLike, levels: ArrayLike) -> Float:
    """Error of a coreset of coresets, `levels` deep: (1 + eps)^levels - 1.

    Args:
        eps: relative error of each reduction at every (w, b), >= 0.
        levels: reductions that a point passes, >= 0.

    Returns:
        float64 array, rounded up. For unbiased reductions `thinned_variance` is far less.

    Raises:
        ValueError: an argument is out of range.

    Claim: SV-4. Source: [SV] arXiv 1708.03835.

    Example:
        >>> round(float(merged_error(0.1, 2)), 9)
        0.21
    """
    error, depth = nm.at_least("eps", eps, 0.0), nm.integer_at_least("levels", levels, 0.0)
    compound = np.expm1(depth * np.log1p(error))
    return np.where(compound > 0, nm.up(compound * (1 + 1e-14 * (2 + depth))), 0.0)[()]


def thinned_variance(terms: ArrayLike, inclusion: ArrayLike) -> float:
    """Variance of sum f_i 1[i kept]/pi_i with independent inclusions: sum f_i^2 (1/pi_i - 1).

    Poisson inclusion at rate r repeated L times is one at rate r^L; for any conditionally unbiased
    reduction the error is a martingale, whose variance adds up over levels and does not compound.

    Args:
        terms: (n,) finite f_i.
        inclusion: (n,) probabilities in (0, 1] of surviving all levels; broadcasts.

    Returns:
        The variance, rounded up.

    Raises:
        ValueError: an argument is out of range.

    Claim: SV-4. Source: [OWN].

    Example:
        >>> round(thinned_variance([1.0, 2.0], 0.25), 9)
        15.0
    """
    f, p = nm.finite("terms", terms), nm.finite("inclusion", inclusion)
    if ((p <= 0) | (p > 1)).any():
        raise ValueError(
            f"inclusion must lie in (0, 1]; found {float(p[(p <= 0) | (p > 1)].flat[0])!r}"
        )
    return float((f**2 * (1 / p - 1)).sum()) * GUARD


def stream_objective(
    w: ArrayLike, b: float, means: ArrayLike, y: ArrayLike, C: float, weight: ArrayLike,
    spread: ArrayLike,
) -> float:  # fmt: skip
    """Upper bound of F(w, b) from the means of groups alone, for streams that are read once.

    F <= F_G + ||w|| sum_G spread_G, spread_G = C sum_{i in G} u_i ||x_i - mean_G||; each hinge is
    ||w||-Lipschitz.

    Args:
        w: (d,) finite normal.
        b: finite intercept.
        means: (G, d) finite weighted means.
        y: (G,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        weight: (G,) u_G >= 0.
        spread: (G,) >= 0, in units of C u times length.

    Returns:
        The bound, rounded up.

    Raises:
        ValueError: an argument is out of range, or there is one class.

    Claim: SV-4. Source: [OWN].

    Example:
        >>> means = [[1.0], [-0.5]]
        >>> round(stream_objective([1.0], 0.0, means, [1, -1], 2.0, [1, 1], [0.5, 0.0]), 9)
        2.0
    """
    wide = nm.at_least("spread", spread, 0.0)
    normal, _ = hyperplane(w, b, points(means).shape[1])
    at = svm_objective(normal, b, means, y, C, weight)
    return float((at + np.linalg.norm(normal) * wide.sum()) * (1 + 1e-12))


@dataclass(frozen=True)
class UniformScores:
    """Scores that SV-8 draws by.

    Attributes:
        scores: (n,) c_i (al + be ||x_i - o||), in proportion to which points are drawn.
        total: their sum T, which is no less than the total sensitivity.

    Claim: SV-8. Source: [OWN]; cf. Alishahi and Phillips 2024, arXiv 2402.14092.
    """

    scores: Float
    total: float


def uniform_scores(
    X: ArrayLike, y: ArrayLike, C: float, lower: float, sample_weight: ArrayLike | None = None
) -> UniformScores:
    """Scores of a coreset for all (w, b) whose error does not depend on the dimension.

    c_i (al + be ||x_i - o||), o the mean, be = phi* (SV-1F),
    al = 1/F_lb + 1/A + max_y ||mu_y - o|| phi*.

    Args:
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        lower: F_lb > 0, a certain lower bound of the least objective.
        sample_weight: (n,) u >= 0; 1 if not given.

    Returns:
        The scores with their total.

    Raises:
        ValueError: an argument is out of range, or there is one class.

    Claim: SV-8. Source: [OWN]; cf. Alishahi and Phillips 2024, arXiv 2402.14092.

    Example:
        >>> uniform_scores([[0.0], [1.0], [3.0], [4.0]], [-1, -1, 1, 1], 0.01, 0.03).total > 1
        True
    """
    given = instance(X, y, C, sample_weight)
    floor = positive_number("lower", lower)
    _, R, plus, minus = class_means(given)
    phi = steepest(min(plus, minus), R, floor)
    centre = given.c @ given.X / given.c.sum()
    away = max(
        float(np.linalg.norm((given.c * side) @ given.X / (given.c * side).sum() - centre))
        for side in (given.y > 0, given.y < 0)
    )
    al = 1 / floor + 1 / min(plus, minus) + away * phi
    scores = given.c * (al + phi * np.linalg.norm(given.X - centre, axis=1))
    return UniformScores(scores, float(scores.sum()) * GUARD)


def uniform_error(total: ArrayLike, m: ArrayLike, delta: ArrayLike) -> Float:
    """Supremum over all (w, b) of |F_C/F - 1| with probability 1 - delta, by symmetrisation.

    T (2 sqrt(2) + sqrt(ln(2/delta)/2))/sqrt(m), for m draws in proportion to SV-8's scores. Vacuous
    from 1 on, which C n = 10 mostly reaches: shown, not used.

    Args:
        total: T > 0, of `uniform_scores`.
        m: draws with replacement, >= 0.
        delta: failure probability, in (0, 1).

    Returns:
        float64 array, rounded up; +inf for m = 0.

    Raises:
        ValueError: an argument is out of range.

    Claim: SV-8. Source: [OWN]; cf. Alishahi and Phillips 2024, arXiv 2402.14092.

    Example:
        >>> round(float(uniform_error(2.0, 10_000, 0.05)), 4)
        0.0837
    """
    return _rademacher(total, m, delta, 2 * np.sqrt(2))


def control_variate_error(total: ArrayLike, m: ArrayLike, delta: ArrayLike) -> Float:
    """Supremum of |F_C - F| near a reference with probability 1 - delta, of SV-9's coreset.

    T (2/sqrt(m) + sqrt(ln(2/delta)/(2 m))), T = rho0 sum_band c_i s_i, for m draws in proportion to
    c_i s_i from the band |r_i| <= rho0 s_i, over ||(w, b) - reference||_{Q^-1} <= rho0.

    Args:
        total: T >= 0, in units of the objective.
        m: draws with replacement, >= 0.
        delta: failure probability, in (0, 1).

    Returns:
        float64 array in units of the objective, rounded up; +inf for m = 0, 0 where T = 0.

    Raises:
        ValueError: an argument is out of range.

    Claim: SV-9. Source: [OWN].

    Example:
        >>> round(float(control_variate_error(2.0, 10_000, 0.05)), 4)
        0.0672
    """
    return _rademacher(total, m, delta, 2.0)


def _rademacher(total: ArrayLike, m: ArrayLike, delta: ArrayLike, leading: float) -> Float:
    T, draws = nm.at_least("total", total, 0.0), nm.integer_at_least("m", m, 0.0)
    tail = np.sqrt(np.log(2 / nm.probability("delta", delta)) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = T * (leading + tail) / np.sqrt(draws) * GUARD
    return np.where(T == 0, 0.0, np.where(draws == 0, np.inf, nm.up(bound)))[()]


@dataclass(frozen=True)
class ControlVariate:
    """The exact part of F around a reference, and what is left to sample.

    Attributes:
        constant: sum of c over the points with a hinge at the reference.
        linear: (d + 1,) sum c y (x, 1) over them: l(w, b) = constant - linear . (w, b).
        active: (n,) psi_i, whether the point has a hinge there.
        band: (n,) whether it may change sides: |r_i| <= rho0 s_i.
        scores: (n,) c_i s_i in the band, 0 outside.
        total: T = rho0 sum of the scores.

    Claim: SV-9. Source: [OWN].
    """

    constant: float
    linear: Float
    active: np.ndarray
    band: np.ndarray
    scores: Float
    total: float


def control_variate(
    w: ArrayLike,
    b: float,
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    radius: float,
    sample_weight: ArrayLike | None = None,
    metric: ArrayLike | None = None,
) -> ControlVariate:
    """Split F around a reference into a linear part, exact, and residuals that few points have.

    F = ||w||^2/2 + l(w, b) + sum c_i rho_i with l = sum c_i psi_i (1 - y_i (<x_i, w> + b)) and
    rho_i = h_i - psi_i (1 - y_i (<x_i, w> + b)) >= 0, which is 0 unless i changes sides, and at
    most (rho0 s_i - |r_i|)_+ where ||(w, b) - reference||_{Q^-1} <= rho0, s_i = ||(x_i, 1)||_Q.

    Args:
        w: (d,) normal of the reference.
        b: its intercept.
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        radius: rho0 > 0.
        sample_weight: (n,) u >= 0; 1 if not given.
        metric: (d + 1, d + 1) Q, symmetric and positive definite; the identity if not given.

    Returns:
        The parts.

    Raises:
        ValueError: an argument is out of range, or there is one class.

    Claim: SV-9. Source: [OWN].

    Example:
        >>> parts = control_variate([1.0], -2.0, [[0.0], [1.0], [3.0], [4.0]], [-1, -1, 1, 1], 1.0,
        ...                         0.1)
        >>> parts.band.tolist(), parts.constant
        ([False, True, True, False], 0.0)
    """
    rows = points(X)
    normal, offset = hyperplane(w, b, rows.shape[1])
    given = instance(rows, y, C, sample_weight)
    rho = positive_number("radius", radius)
    wide = np.column_stack([rows, np.ones(len(rows))])
    Q = np.eye(wide.shape[1]) if metric is None else nm.finite("metric", metric)
    if Q.shape != (wide.shape[1],) * 2 or not np.allclose(Q, Q.T):
        raise ValueError(f"metric must be symmetric, {wide.shape[1]} x {wide.shape[1]}; found "
                         f"shape {Q.shape}")  # fmt: skip
    size = np.sqrt(np.maximum(((wide @ Q) * wide).sum(axis=1), 0.0))
    r = slacks(normal, offset, rows, given.y)
    active = r > 0
    band = np.abs(r) <= rho * size * GUARD
    scores = np.where(band, given.c * size, 0.0)
    weight = given.c * active
    return ControlVariate(float(weight.sum()), (weight * given.y) @ wide, active, band, scores,
                          float(rho * scores.sum()) * GUARD)  # fmt: skip

"""SV-10: a bound on the suboptimality of any (w, b), from weighted means of groups of points.

Replace each group of points of one class by its weighted mean: the hinge is convex, so by Jensen
F_G <= F everywhere, and any dual value of the few means is a lower bound of F*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float
from sipp_theory.svm.problem import (
    Instance,
    dual_lower,
    hinge_sum,
    hyperplane,
    instance,
    points,
    primal_value,
    suboptimality,
)
from sipp_theory.svm.solver import solve

# Beyond the points nearest the hinge, groups are by class, side and powers of two of the distance.
LEVELS = 12
DUAL_TOLERANCE = 1e-9


@dataclass(frozen=True)
class SvmCertificate:
    """What is certain about a hyperplane.

    Attributes:
        primal: F(w, b), rounded up.
        dual: lower bound of the least objective F*, rounded down.
        eps: F(w, b) <= (1 + eps) F*, rounded up; +inf where the dual bound is 0.
        points: points with weight above 0.
        groups: weighted means that the dual bound looked at.
        w: (d,) the hyperplane that is best for the means; a better start for the next round.
        b: its intercept.

    Claim: SV-10. Source: [OWN].
    """

    primal: float
    dual: float
    eps: float
    points: int
    groups: int
    w: Float
    b: float

    @property
    def vacuous(self) -> bool:
        """Whether it says nothing."""
        return not np.isfinite(self.eps)


def group_dual(
    sums: Float, y: Float, c: Float, norm_sums: Float, additions: int,
    w: Float, b: float, tol: float = DUAL_TOLERANCE,
) -> tuple[float, Float, float, Float]:  # fmt: skip
    """A lower bound of F* from groups, with the best hyperplane and multipliers of the means.

    sums (G, d): sum c_i x_i of each group; y (G,); c (G,) their weights > 0; norm_sums (G,): sum
    c_i ||x_i||; additions: of the largest group; (w, b): where to start.
    """
    means = sums / c[:, None]
    best = solve(Instance(means, y, c), tol, w, b)
    dual, alpha = dual_lower(best.alpha, means, y, c, norm_sums / c, additions + 2)
    return max(dual, 0.0), best.w, best.b, alpha


def distance_labels(r: Float, y: Float, scale: Float, singles: int) -> np.ndarray:
    """(n,) group of each point: singletons for those nearest the hinge, then class, side, level."""
    distance = np.abs(r) / scale
    order = np.argsort(distance, kind="stable")
    labels = np.empty(len(r), np.intp)
    labels[order[:singles]] = np.arange(min(singles, len(r)))
    rest = order[singles:]
    labels[rest] = min(singles, len(r)) + coarse(r[rest], y[rest], distance[rest])
    return labels


def coarse(r: Float, y: Float, distance: Float) -> np.ndarray:
    """(n,) whole numbers below 4 (2 LEVELS + 1): class, side of the hinge, level of distance."""
    # 2^(level - 1) <= distance < 2^level; no distance at all has the exponent of 1/2 there.
    level = np.clip(np.frexp(distance)[1] + (LEVELS - 1), 0, 2 * LEVELS)
    level[distance == 0] = 0
    return level + (2 * LEVELS + 1) * (2 * (y > 0).astype(np.int32) + (r > 0))


def group_means(
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    groups: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[Float, Float, Float]:
    """Weighted means of groups of points of one class, with the groups' weights.

    F_G(w, b) = ||w||^2/2 + C sum_G u_G max(0, 1 - y_G (<x_G, w> + b)) <= F(w, b) everywhere.

    Args:
        X: (n, d) finite points.
        y: (n,) labels -1 and 1.
        C: penalty, > 0.
        groups: (n,) whole numbers >= 0 that name each point's group.
        sample_weight: (n,) u >= 0; 1 if not given.

    Returns:
        (G, d) means, (G,) labels and (G,) weights u_G, of the groups with weight above 0.

    Raises:
        ValueError: a group that holds points of both classes, or another argument out of range.

    Claim: SV-10. Source: [OWN].

    Example:
        >>> means, y, u = group_means([[0.0], [2.0], [5.0]], [1, 1, -1], 1.0, [0, 0, 1])
        >>> means.ravel().tolist(), y.tolist(), u.tolist()
        ([1.0, 5.0], [1.0, -1.0], [2.0, 1.0])
    """
    given = instance(X, y, C, sample_weight)
    names = nm.integer_at_least("groups", groups, 0.0).astype(np.intp)
    if names.shape != given.y.shape:
        raise ValueError(f"groups must have {len(given.y)} entries; found shape {names.shape}")
    sums, labels, weights, _ = group_sums(given, names)
    return sums / weights[:, None], labels, weights / float(C)


def group_sums(given: Instance, names: np.ndarray) -> tuple[Float, Float, Float, Float]:
    """Sums c x (G, d), labels, sums of c, and sums c ||x|| of the groups with weight above 0."""
    live = given.c > 0
    X, y, c = given.X[live], given.y[live], given.c[live]
    kept, place = np.unique(names[live], return_inverse=True)
    weights = np.bincount(place, c)
    plus = np.bincount(place, c * (y > 0))
    mixed = np.flatnonzero((plus > 0) & (np.bincount(place, c * (y < 0)) > 0))
    if len(mixed):
        raise ValueError(
            f"a group must hold points of one class; group {kept[mixed[0]]} holds both, so its "
            "mean bounds nothing; group each class by itself"
        )
    sums = np.zeros((len(kept), X.shape[1]))
    np.add.at(sums, place, c[:, None] * X)
    norms = np.bincount(place, c * np.linalg.norm(X, axis=1))
    labels = np.where(plus > 0, 1.0, -1.0)
    return sums, labels, np.asarray(weights, np.float64), np.asarray(norms, np.float64)


def jensen_certificate(
    w: ArrayLike,
    b: float,
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    sample_weight: ArrayLike | None = None,
    singles: int = 10_000,
    groups: ArrayLike | None = None,
) -> SvmCertificate:
    """How far any (w, b) is from the optimum, at the cost of a small problem.

    The `singles` points nearest the hinge stay by themselves, the others are grouped by class, side
    of the hinge and distance; F(w, b)/D_G - 1 bounds F(w, b)/F* - 1, with any partition. It is
    exact iff no group straddles its hinge at the optimum. `sipp_core.svm.certify_svm` is the same
    from chunks of a stream.

    Args:
        w: (d,) finite normal.
        b: finite intercept.
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given.
        singles: points that stay by themselves, >= 0. Has no effect where groups are given.
        groups: (n,) whole numbers >= 0, a partition of your own.

    Returns:
        The certificate. No sensitivity, no probability and no constant is in it.

    Raises:
        ValueError: a group of both classes, or another argument out of range.

    Claim: SV-10. Source: [OWN].

    Example:
        >>> X, y = [[0.0], [1.0], [3.0], [4.0]], [-1, -1, 1, 1]
        >>> jensen_certificate([1.0], -2.0, X, y, 10.0).eps < 1e-6
        True
        >>> round(jensen_certificate([2.0], -4.0, X, y, 10.0).eps, 6)
        3.0
    """
    rows = points(X)
    normal, offset = hyperplane(w, b, rows.shape[1])
    given = instance(rows, y, C, sample_weight)
    count = int(nm.integer_at_least("singles", singles, 0.0))
    norms = np.linalg.norm(rows, axis=1)
    r, hinge = hinge_sum(normal, offset, rows, given.y, given.c, norms)
    primal = primal_value(normal, hinge)
    if groups is None:
        names = distance_labels(r, given.y, np.sqrt(1 + norms**2), count)
    else:
        names = nm.integer_at_least("groups", groups, 0.0).astype(np.intp)
        if names.shape != given.y.shape:
            raise ValueError(f"groups must have {len(given.y)} entries; found shape {names.shape}")
    sums, labels, weights, norm_sums = group_sums(given, names)
    most = int(np.bincount(np.unique(names, return_inverse=True)[1]).max())
    dual, best, at, _ = group_dual(
        sums, labels, weights, norm_sums, most, normal, offset
    )  # fmt: skip
    eps = suboptimality(primal, dual)
    live = int((given.c > 0).sum())
    return SvmCertificate(primal, dual, eps, live, len(weights), best, at)

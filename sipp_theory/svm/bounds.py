"""Upper bounds of SVM sensitivities s_i = sup over (w, b) of c_i h_i/F: SV-1, SV-1F, SV-2, SV-6."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import UNIT, Float
from sipp_theory.svm.problem import Instance, balanced, instance, positive_number

# Distances to means take some d roundings each; bounds are widened by this share.
GUARD = 1e-9


class Clusters:
    """Cells of one class each: their weights, and how far points are from their means."""

    def __init__(self, given: Instance, names: ArrayLike | None) -> None:
        y, c = given.y, given.c
        labels = (y > 0).astype(np.intp) if names is None else np.asarray(
            nm.integer_at_least("clusters", names, 0.0), np.intp
        )  # fmt: skip
        if labels.shape != y.shape:
            raise ValueError(f"clusters must have {len(y)} entries; found shape {labels.shape}")
        cells, self.of = np.unique(labels, return_inverse=True)
        plus = np.bincount(self.of, y > 0)
        mixed = np.flatnonzero((plus > 0) & (plus < np.bincount(self.of)))
        if len(mixed):
            raise ValueError(
                f"a cluster must hold points of one class; cluster {cells[mixed[0]]} holds both"
            )
        # In units of c = C u; a cell without weight has points of sensitivity 0 only.
        self.weight = np.bincount(self.of, c)[self.of]
        means = np.zeros((len(cells), given.X.shape[1]))
        np.add.at(means, self.of, c[:, None] * given.X)
        total = np.bincount(self.of, c)
        means /= np.where(total > 0, total, 1.0)[:, None]
        self.toward = given.y[:, None] * (means[self.of] - given.X)
        self.distance = np.linalg.norm(self.toward, axis=1) * (1 + GUARD)


def class_means(given: Instance) -> tuple[Float, float, float, float]:
    """mu_+ - mu_-, its length R rounded up, and C U_+ and C U_-."""
    plus, minus = given.c * (given.y > 0), given.c * (given.y < 0)
    gap = plus @ given.X / plus.sum() - minus @ given.X / minus.sum()
    return gap, float(np.linalg.norm(gap)) * (1 + GUARD), float(plus.sum()), float(minus.sum())


def steepest(A: float, R: float, lower: float = 0.0) -> float:
    """phi* = sup_t t/max(t^2/2 + A (2 - R t)_+, lower), rounded up."""
    root = np.sqrt(A)
    peak = 2 * root if root * R <= 1 else 2 / R

    def least(t: float) -> float:
        return t * t / 2 + A * max(2 - R * t, 0.0)

    if least(peak) >= lower:
        return float(peak / least(peak)) * (1 + GUARD)
    t = np.sqrt(2 * lower)
    if R * t < 2:
        t = A * R + np.sqrt(max(A * A * R * R - 4 * A + 2 * lower, 0.0))
    return float(t / lower) * (1 + GUARD)


def cluster_sensitivities(
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    sample_weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    lower: float = 0.0,
) -> Float:
    """Bounds on sensitivities from distances to cluster means.

    s_i <= u_i/U_c + C u_i D_i phi*, phi* = sup_t t/max(t^2/2 + A (2 - R t)_+, F_lb) with
    A = C min(U_+, U_-) and R = ||mu_+ - mu_-||; without a lower bound of F*, phi* is
    1/(sqrt(A)(2 - sqrt(A) R)) where sqrt(A) R <= 1, else R.

    Args:
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given.
        clusters: (n,) whole numbers >= 0, cells of one class each; the classes if not given.
        lower: F_lb, a certain lower bound of the least objective (SV-1F); 0 for none.

    Returns:
        (n,) bounds, at most 1, rounded up.

    Raises:
        ValueError: a cluster of both classes, one class only, or an argument out of range.

    Claim: SV-1. Source: [OWN].

    Example:
        >>> s = cluster_sensitivities([[0.0], [1.0], [3.0], [4.0]], [-1, -1, 1, 1], 0.01)
        >>> s.round(3).tolist()
        [0.522, 0.522, 0.522, 0.522]
    """
    given = instance(X, y, C, sample_weight)
    floor = float(nm.at_least("lower", lower, 0.0))
    cells = Clusters(given, clusters)
    _, R, plus, minus = class_means(given)
    phi = steepest(min(plus, minus), R, floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(given.c > 0, given.c / cells.weight, 0.0)
    return np.minimum(1.0, (share + given.c * cells.distance * phi) * (1 + GUARD))


def baykal_sensitivities(
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    optimum: float,
    sample_weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    constant: float = 3.0,
) -> Float:
    """Bounds on sensitivities as the paper prints them, for any C.

    u_i min(1, 1/U_c + max(k a, (9/2)(sqrt(4 a^2 + 2 D_i^2/(9 opt)) - 2 a))),
    a = (U - U_c)/(2 U U_c). The paper has C = 1; another C is the problem of sqrt(C) x with opt/C.

    Args:
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        optimum: the least objective F*, > 0. The bound holds for what is not above it.
        sample_weight: (n,) u >= 0; 1 if not given.
        clusters: (n,) whole numbers >= 0, cells of one class each; the classes if not given.
        constant: k > 0: 3 in the authors' code, 2 in the paper's lemma.

    Returns:
        (n,) scores, each at most its weight u_i. They bound c_i h_i/F.

    Raises:
        ValueError: a cluster of both classes, one class only, or an argument out of range.

    Claim: SV-2. Source: [SV] arXiv 2002.06469, and the authors' code.

    Example:
        >>> X, y = [[0.0], [1.0], [3.0], [4.0]], [-1, -1, 1, 1]
        >>> baykal_sensitivities(X * 20, y * 20, 1.0, 5.0).round(3).tolist()[:4]
        [0.446, 0.446, 0.446, 0.446]
    """
    given = instance(X, y, C, sample_weight)
    best, k = positive_number("optimum", optimum), positive_number("constant", constant)
    penalty = float(C)
    cells = Clusters(given, clusters)
    u, total, cell = given.c / penalty, given.c.sum() / penalty, cells.weight / penalty
    cell = np.where(cell > 0, cell, 1.0)
    a = (total - cell) / (2 * total * cell)
    square = 2 * (penalty * cells.distance / (1 + GUARD)) ** 2 / (9 * best)
    term = 4.5 * (np.sqrt(4 * a * a + square) - 2 * a)
    return u * np.minimum(1.0, 1 / cell + np.maximum(k * a, term))


def _class_mixtures(given: Instance, cells: Clusters, steps: int) -> Float:
    """Family (a): the largest nu with weight spread over the cell and over both class means."""
    gap, _, plus, minus = class_means(given)
    own = np.where(given.y > 0, plus, minus)
    other = plus + minus - own
    square, mixed = (cells.toward**2).sum(axis=1), cells.toward @ gap
    best = np.zeros(len(given.y))
    for eta in np.geomspace(1e-4, 1e4, steps):
        for factor in (1.0, *(() if gap @ gap == 0 else (np.sqrt(square.mean() / (gap @ gap)),))):
            e = eta * factor
            if not e > 0:
                continue
            length = square + 2 * e * mixed + e * e * (gap @ gap)
            with np.errstate(divide="ignore"):
                nu = 4 * e / np.maximum(length, 1e-12 * (square + e * e * (gap @ gap)) + 1e-300)
                box = 1 / (1 / cells.weight + e / own)
            best = np.maximum(best, np.minimum(np.minimum(nu, box), other / e))
    return best


def _dual_mixtures(given: Instance, cells: Clusters, alpha: Float, steps: int) -> Float:
    """Family (b): the largest nu with weight spread over the cell and theta times a dual point."""
    a = balanced(np.clip(alpha, 0, given.c), given.y)
    w, total = (a * given.y) @ given.X, float(a.sum())
    norm, square = float(w @ w), (cells.toward**2).sum(axis=1)
    along = cells.toward @ w
    best = np.zeros(len(given.y))
    for theta in np.linspace(0, 1, steps + 2)[1:-1]:
        room = 2 * theta * total - theta**2 * norm
        if not room > 0:
            continue
        root = np.sqrt((theta * along) ** 2 + square * room)
        with np.errstate(divide="ignore", invalid="ignore"):
            # The same root written without a difference, where one would cancel.
            other = root + theta * np.abs(along)
            nu = np.where(along > 0, room / other, other / square)
        nu = np.where(np.isfinite(nu), nu, np.inf)
        best = np.maximum(best, np.minimum(nu, (1 - theta) * cells.weight))
    return best


def dual_sensitivities(
    X: ArrayLike,
    y: ArrayLike,
    C: float,
    sample_weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    alpha: ArrayLike | None = None,
    steps: int = 48,
) -> Float:
    """Bounds on sensitivities by weak duality.

    If for some nu > 0 and a in [0, c]: sum a y = nu y_i and
    sum a - nu >= ||sum a y x - nu y_i x_i||^2/2, then c_i h_i/F <= c_i/nu everywhere. Two families
    of such a: weight spread over i's cluster and over the class means, and over i's cluster and a
    dual point; the larger nu is taken.

    Args:
        X: (n, d) finite points.
        y: (n,) labels -1 and 1, both with weight.
        C: penalty, > 0.
        sample_weight: (n,) u >= 0; 1 if not given.
        clusters: (n,) whole numbers >= 0, cells of one class each; the classes if not given.
        alpha: (n,) multipliers of the second family, those of a solution at best; without them the
            first family alone.
        steps: values tried of each family's parameter, >= 1.

    Returns:
        (n,) bounds, at most 1, rounded up.

    Raises:
        ValueError: a cluster of both classes, one class only, or an argument out of range.

    Claim: SV-6. Source: [OWN].

    Example:
        >>> s = dual_sensitivities([[0.0], [1.0], [3.0], [4.0]], [-1, -1, 1, 1], 0.01)
        >>> bool((s <= 0.522).all())
        True
    """
    given = instance(X, y, C, sample_weight)
    count = int(nm.integer_at_least("steps", steps, 1.0))
    cells = Clusters(given, clusters)
    nu = _class_mixtures(given, cells, count)
    if alpha is not None:
        a = nm.finite("alpha", alpha)
        if a.shape != given.y.shape:
            raise ValueError(f"alpha must have {len(given.y)} entries; found shape {a.shape}")
        nu = np.maximum(nu, _dual_mixtures(given, cells, a, count))
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.where(given.c > 0, given.c / nu * (1 + GUARD + UNIT), 0.0)
    return np.minimum(1.0, bound)

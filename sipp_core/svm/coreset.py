"""`SVMCoreset`: a few weighted points in the place of many, by every way of the papers."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sipp_core.svm.adaptive import residual_minimiser
from sipp_core.svm.arguments import check_parameters, class_factors, labelled
from sipp_core.svm.blocks import dense
from sipp_theory.numeric.checks import Float
from sipp_theory.svm import (
    baykal_sensitivities,
    cluster_sensitivities,
    control_variate,
    dimension_sensitivities,
    dual_sensitivities,
    lewis_weights,
)
from sipp_theory.svm.problem import Instance, check_scale
from sipp_theory.svm.solver import solve

METHODS = ("uniform", "sensitivity", "baykal", "leverage", "lewis", "control-variate")
# The optimum that bounds and references start from is solved to here.
TOLERANCE = 1e-4
# What NumPy can draw at once.
MOST_DRAWS = 2**63 - 1
RADIUS, QUANTILE = 2.5, 0.95


class SVMCoreset(BaseEstimator):
    """A weighted sample on which a linear SVM is nearly as good as on all points.

    Points are drawn with replacement in proportion to scores, weighted u_i k_i/(size p_i) for k_i
    draws, so that F is unbiased at every hyperplane (SV-3). On i.i.d. data "uniform" ties with
    every sensitivity; those win with outliers, heavy tails and separable classes. "control-variate"
    is best by far at the same size (SV-9): half of it is a pilot, half residuals near the pilot's
    hinge; its exact linear part is no sample of points, so that it has `solve` only.

    Attributes:
        size: draws, >= 2.
        C: penalty that the scores are for, > 0.
        method: "uniform", by weight; "sensitivity", the least of SV-1F, SV-6 and SV-7; "baykal"
            (SV-2, by k-means cells); "leverage", sqrt of leverage scores; "lewis", l1 Lewis
            weights; or "control-variate".
        class_weight: dict, "balanced" (U/(K U_k), by weight) or None; two classes.
        random_state: seed; int, RandomState or None.
        classes_: (2,) labels, negative and positive.
        sample_indices_: (m,) distinct rows that were drawn, rising.
        sample_weight_: (m,) their weights, class weights included.
        sensitivity_: (n,) scores that were drawn by.
        total_sensitivity_: their sum.

    Claim: SV-3. Source: [SV] arXiv 1708.03835, arXiv 2002.06469; [OWN].
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's way)
        "size": [Interval(Integral, 2, MOST_DRAWS, closed="both")],
        "C": [Interval(Real, 0, None, closed="neither")],
        "method": [StrOptions(set(METHODS))],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        size: int = 1000,
        C: float = 1.0,
        *,
        method: str = "sensitivity",
        class_weight: Any = None,
        random_state: Any = None,
    ) -> None:
        self.size = size
        self.C = C
        self.method = method
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SVMCoreset:
        """Score all points and draw.

        Args:
            X: (n, d) array or CSR; it is held in float64.
            y: (n,) labels of two classes.
            sample_weight: (n,) u >= 0; a weight of 0 is never drawn.

        Returns:
            The coreset.

        Raises:
            ValueError: parameters or data that are refused, or other than two classes.
        """
        check_parameters(self)
        X, y, weight = labelled(self, X, y, sample_weight)
        self.classes_ = np.unique(y[weight > 0])
        if len(self.classes_) != 2:
            raise ValueError(
                f"a coreset is for two classes with weight above 0; found {len(self.classes_)}; "
                "make one for each class against the rest"
            )
        signs = np.where(y == self.classes_[1], 1.0, -1.0)
        totals = np.array([weight[y == k].sum() for k in self.classes_])
        factors = class_factors(self.class_weight, self.classes_.tolist(), totals)
        u = weight * factors[(y == self.classes_[1]).astype(np.intp)]
        rows, C = dense(X), float(self.C)
        check_scale(rows, C * u)
        rng = check_random_state(self.random_state)
        if self.method == "control-variate":
            self._residuals(Instance(rows, signs, C * u), rng)
            return self
        self.sensitivity_ = self._scores(rows, signs, u, rng)
        self.total_sensitivity_ = float(self.sensitivity_.sum())
        p = self.sensitivity_ / self.total_sensitivity_
        counts = rng.multinomial(self.size, p)
        self.sample_indices_ = np.flatnonzero(counts)
        kept = self.sample_indices_
        self.sample_weight_ = u[kept] * counts[kept] / (self.size * p[kept])
        self._solved = None
        return self

    def fit_resample(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[Any, Any, Float]:
        """Fit, and return the points with their weights.

        Args:
            X: (n, d) array or CSR.
            y: (n,) labels of two classes.
            sample_weight: (n,) u >= 0.

        Returns:
            (m, d) rows, (m,) labels and (m,) weights, for any solver that takes `sample_weight`.

        Raises:
            ValueError: as `fit`; and with method="control-variate", which is more than points.
        """
        self.refuse_without_points()
        self.fit(X, y, sample_weight)
        X, y = validate_data(self, X, y, accept_sparse="csr", reset=False)
        return X[self.sample_indices_], y[self.sample_indices_], self.sample_weight_

    def refuse_without_points(self) -> None:
        """Refuse, for `fit_resample`, the method that is more than points with weights."""
        if self.method == "control-variate":
            raise ValueError(
                "method='control-variate' has an exact linear part, which no weighted points "
                "express; use fit and solve, or CoresetSVC"
            )

    def solve(self, X: Any, y: Any) -> tuple[Float, float]:
        """The best hyperplane of the coreset; certify it with `certify_svm`.

        Args:
            X: (n, d) the points that were fitted.
            y: (n,) their labels.

        Returns:
            (d,) w, and b. With one class among the points drawn, w = 0 and b is its sign.

        Raises:
            ValueError: other points than those that were fitted.
        """
        check_is_fitted(self, "sample_indices_")
        if self._solved is not None:
            return self._solved
        X, y = validate_data(self, X, y, accept_sparse="csr", reset=False)
        if X.shape[0] != len(self.sensitivity_):
            raise ValueError(
                f"solve needs the {len(self.sensitivity_)} points that were fitted; found "
                f"{X.shape[0]}"
            )
        rows = dense(X[self.sample_indices_])
        signs = np.where(y[self.sample_indices_] == self.classes_[1], 1.0, -1.0)
        if abs(signs.sum()) == len(signs):
            return np.zeros(rows.shape[1]), float(signs[0])
        solution = solve(Instance(rows, signs, float(self.C) * self.sample_weight_), 1e-7)
        return solution.w, solution.b

    def _scores(self, X: Float, y: Float, u: Float, rng: np.random.RandomState) -> Float:
        """(n,) what points are drawn in proportion to; 0 where u is 0."""
        C, share = float(self.C), u / u.sum()
        if self.method == "uniform":
            return share
        if self.method in ("leverage", "lewis"):
            scale = u if self.method == "lewis" else np.sqrt(u)
            rows = scale[:, None] * np.column_stack([X, np.ones(len(y))])
            scores = lewis_weights(rows) if self.method == "lewis" else _leverage(rows)
            return np.where(u > 0, scores + share, 0.0)
        best = solve(Instance(X, y, C * u), TOLERANCE)
        cells = _cells(X, y, rng)
        if self.method == "baykal":
            return baykal_sensitivities(X, y, C, best.dual, u, cells)
        return np.minimum.reduce([
            cluster_sensitivities(X, y, C, u, lower=best.dual),
            cluster_sensitivities(X, y, C, u, cells, best.dual),
            dual_sensitivities(X, y, C, u, cells, best.alpha),
            dimension_sensitivities(X, y, C, u),
        ])  # fmt: skip

    def _residuals(self, given: Instance, rng: np.random.RandomState) -> None:
        """A pilot of half the size, and residuals around its solution for the other half."""
        half = self.size // 2
        first, other, whole = (_pilot(given, half // k, rng) for k in (2, 2, 1))
        parts = [solve(one, TOLERANCE) for one in (first, other, whole)]
        ends = [np.append(one.w, one.b) for one in parts]
        wide = np.column_stack([given.X, np.ones(len(given.y))])
        metric = 1 / ((wide**2).mean(axis=0) + 1 / given.c.sum())
        length = np.sqrt((wide**2) @ metric)
        apart = np.abs(whole.X @ (ends[0] - ends[1])[:-1] + (ends[0] - ends[1])[-1])
        near = np.sqrt((whole.X**2) @ metric[:-1] + metric[-1])
        radius = max(RADIUS * float(np.quantile(apart / near, QUANTILE)) / np.sqrt(2), 1e-9)
        C = float(self.C)
        split = control_variate(
            ends[2][:-1], float(ends[2][-1]), given.X, given.y, C, radius, given.c / C,
            np.diag(metric),
        )  # fmt: skip
        self.sensitivity_, self.total_sensitivity_ = split.scores, float(split.scores.sum())
        self._solved = ends[2][:-1], float(ends[2][-1])
        if self.total_sensitivity_ == 0:
            self.sample_indices_, self.sample_weight_ = np.arange(0), np.zeros(0)
            return
        p = split.scores / split.scores.sum()
        counts = rng.multinomial(self.size - half, p)
        kept = np.flatnonzero(counts)
        self.sample_indices_ = kept
        self.sample_weight_ = given.c[kept] / C * counts[kept] / ((self.size - half) * p[kept])
        at = residual_minimiser(
            given.X[kept], given.y[kept], C * self.sample_weight_, split.linear, ends[2]
        )
        moved = np.abs(wide @ (at - ends[2])) / length
        # Outside of the neighbourhood nothing was sampled, and the linear part leads anywhere.
        if np.isfinite(at).all() and float(np.quantile(moved, QUANTILE)) <= 2 * radius:
            self._solved = at[:-1], float(at[-1])


def _pilot(given: Instance, size: int, rng: np.random.RandomState) -> Instance:
    """Draws balanced between the classes, unbiased."""
    index, weight = [], []
    for side in (-1.0, 1.0):
        c = np.where(given.y == side, given.c, 0.0)
        draws = max(size // 2, 1)
        counts = rng.multinomial(draws, c / c.sum())
        kept = np.flatnonzero(counts)
        index.append(kept)
        weight.append(counts[kept] * c.sum() / draws)
    rows = np.concatenate(index)
    return Instance(given.X[rows], given.y[rows], np.concatenate(weight))


def _leverage(rows: Float) -> Float:
    """(n,) square roots of leverage scores."""
    values, vectors = np.linalg.eigh(rows.T @ rows)
    kept = values > 1e-12 * max(float(values[-1]), 1e-300)
    return np.sqrt((((rows @ vectors[:, kept]) / np.sqrt(values[kept])) ** 2).sum(axis=1))


def _cells(X: Float, y: Float, rng: np.random.RandomState) -> np.ndarray:
    """(n,) k-means cells of each class, as many as the papers begin with: 2 ln(2 n)."""
    names = np.zeros(len(y), np.intp)
    first = 0
    for side in (-1.0, 1.0):
        mine = np.flatnonzero(y == side)
        k = int(min(np.ceil(len(mine) / 10), 2 * np.ceil(np.log(2 * len(mine)))))
        if k > 1:
            seed = rng.randint(2**31 - 1)
            clustering = KMeans(k, init="k-means++", n_init="auto", max_iter=20, random_state=seed)
            with warnings.catch_warnings():
                # Repeated points make fewer cells, which bounds do not mind.
                warnings.simplefilter("ignore", ConvergenceWarning)
                names[mine] = first + clustering.fit_predict(X[mine])
        else:
            names[mine] = first
        first += k
    return names

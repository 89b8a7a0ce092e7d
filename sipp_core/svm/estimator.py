"""`CoresetSVC`: a linear SVM for scikit-learn, trained on few points, with a certificate."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sipp_core.svm.adaptive import Search, search
from sipp_core.svm.arguments import check_parameters, class_factors, labelled
from sipp_core.svm.blocks import dense
from sipp_core.svm.certify import certify_svm
from sipp_core.svm.chunks import ArrayChunks, Chunks, OneAgainstRest, refuse_strangers
from sipp_core.svm.stream import Stream
from sipp_theory.numeric.checks import Float, numbers
from sipp_theory.svm import SvmCertificate, stream_objective
from sipp_theory.svm.certificate import group_dual
from sipp_theory.svm.problem import Instance, suboptimality
from sipp_theory.svm.solver import solve

Progress = Callable[[int, int, str], None]
# Below so many points a dimension, Newton's passes cost less than a pilot and its bands.
PER_DIMENSION = 1000
PLAIN_ENTRIES = 2**27
# Newton goes on to here whatever the target: it costs a few more passes.
PLAIN_TOLERANCE = 1e-9
# Repeated rows are joined up to here, so that a weight of 2 is two rows to the bit.
JOIN_ENTRIES = 2**21


class CoresetSVC(LinearClassifierMixin, BaseEstimator):
    """Linear support vector classifier with a certified distance from the optimum.

    Minimises ||w||^2/2 + C sum u_i max(0, 1 - y_i (<x_i, w> + b)) with a free intercept, one class
    against the rest. Where there are more than 1000 d points: a pilot sample, control variates, and
    bands of single points that double until the target is certified (SV-11); else Newton's method
    on all points (SV-0). What is certified rests on SV-10 alone: no probability, no assumption.

    Attributes:
        C: penalty, > 0.
        target: relative suboptimality F/F* - 1 to certify, > 0.
        band: points that stay by themselves in the first certificate, >= 1.
        coreset_size: points of the pilot sample, and of a stream's levels in `partial_fit`, >= 2.
        class_weight: dict, "balanced" (U/(K U_k), by weight) or None.
        random_state: seed of the draws; int, RandomState or None.
        n_jobs: joblib's workers for a pass; they move no bit.
        classes_: (K,) labels.
        coef_: (1, d) or (K, d).
        intercept_: (1,) or (K,).
        certificates_: `SvmCertificate` of each binary problem. After `partial_fit` they speak of
            the whole stream, which was read once, and are loose.
        certified_eps_: the largest eps of them.
        class_weight_: (K,) factors of the weights.
        n_features_in_: d.

    Claim: SV-11. Source: [OWN].
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's way)
        "C": [Interval(Real, 0, None, closed="neither")],
        "target": [Interval(Real, 0, None, closed="neither")],
        "band": [Interval(Integral, 1, None, closed="left")],
        "coreset_size": [Interval(Integral, 2, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        C: float = 1.0,
        *,
        target: float = 1e-3,
        band: int = 10_000,
        coreset_size: int = 10_000,
        class_weight: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.C = C
        self.target = target
        self.band = band
        self.coreset_size = coreset_size
        self.class_weight = class_weight
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        """A stream that has shown one class only has no hyperplane yet."""
        return hasattr(self, "coef_")

    # --- fitting ------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> CoresetSVC:
        """Fit, and certify what was found.

        Args:
            X: (n, d) array, memory-mapped or not, or CSR, of float64 or float32.
            y: (n,) labels of two or more classes.
            sample_weight: (n,) u >= 0. A weight of 0 is no point, one of 2 is the point twice.

        Returns:
            The estimator.

        Raises:
            ValueError: data or parameters that are refused, by name.
        """
        check_parameters(self)
        X, y, weight = labelled(self, X, y, sample_weight)
        live = weight > 0
        if not live.any():
            raise ValueError("sample_weight is 0 everywhere; no point is left to fit")
        if not live.all():
            X, y, weight = X[np.flatnonzero(live)], y[live], weight[live]
        self.classes_ = np.unique(y)
        self._refuse_one_class()
        self._set_class_weight(np.array([weight[y == k].sum() for k in self.classes_]))
        self._stream = None
        n, d = X.shape
        if n < PER_DIMENSION * d and n * d <= PLAIN_ENTRIES:
            self._fit_plain(X, np.searchsorted(self.classes_, y), weight)
        else:
            self._fit_chunks(ArrayChunks(X, y, weight), None)
        return self

    def fit_chunks(
        self, chunks: Chunks, class_totals: dict[Any, float], progress: Progress | None = None
    ) -> CoresetSVC:
        """Fit on chunks that can be read again, such as files larger than the memory.

        Args:
            chunks: what `read_chunks` returns, or an object with `columns`, a length, and
                `read(number)` -> (X, y, weight).
            class_totals: weight of each label, as `scan` finds it.
            progress: callback (done, total, what).

        Returns:
            The estimator.

        Raises:
            ValueError: one class, or parameters that are refused.
        """
        check_parameters(self)
        self.classes_ = np.array(sorted(class_totals))
        self._refuse_one_class()
        totals = numbers("class_totals", [class_totals[k] for k in self.classes_.tolist()])
        if not (np.isfinite(totals) & (totals > 0)).all():
            raise ValueError(f"class_totals must be above 0 and finite; found {class_totals!r}")
        self._set_class_weight(totals)
        self._stream = None
        self.n_features_in_ = chunks.columns
        self._fit_chunks(chunks, progress)
        return self

    def _fit_plain(self, X: Any, index: np.ndarray, weight: Float) -> None:
        rows = np.asarray(dense(X), np.float64)
        if rows.size <= JOIN_ENTRIES:
            joined, place = np.unique(np.column_stack([rows, index]), axis=0, return_inverse=True)
            weight = np.asarray(np.bincount(place.ravel(), weight), np.float64)
            rows, index = np.ascontiguousarray(joined[:, :-1]), joined[:, -1].astype(np.intp)
        tol = min(PLAIN_TOLERANCE, self.target)
        certificates = []
        for k in self._positives():
            y = np.where(index == k, 1.0, -1.0)
            given = Instance(rows, y, float(self.C) * weight * self.class_weight_[index])
            done = solve(given, tol)
            certificates.append(
                SvmCertificate(done.primal, done.dual, done.eps, len(y), len(y), done.w, done.b)
            )
        self._keep(certificates)

    def _fit_chunks(self, chunks: Chunks, progress: Progress | None) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._keep([
            search(Search(
                OneAgainstRest(chunks, self.classes_, k, self.class_weight_), float(self.C),
                float(self.target), int(self.band), int(self.coreset_size), seed, self.n_jobs,
                progress,
            ))
            for k in self._positives()
        ])  # fmt: skip

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> CoresetSVC:
        """Take in a chunk of a stream that is read once: merge and reduce, then solve.

        Args:
            X: (n, d) array or CSR.
            y: (n,) labels.
            classes: all labels; needed in the first call, unless `fit` has seen them. A stream
                after `fit` begins anew.
            sample_weight: (n,) u >= 0.

        Returns:
            The estimator. It has `coef_` once two classes were seen; memory does not grow with the
            stream but by a logarithm.

        Raises:
            ValueError: data or parameters that are refused, an unknown label, no classes in the
                first call, or class_weight="balanced", which needs all labels.
        """
        check_parameters(self)
        first = getattr(self, "_stream", None) is None
        X, y, weight = labelled(self, X, y, sample_weight, first and not hasattr(self, "classes_"))
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all labels; give partial_fit a dict of weights"
            )
        if first:
            if classes is None:
                classes = getattr(self, "classes_", None)
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit")
            self.classes_ = np.unique(classes)
            self._refuse_one_class()
            self._set_class_weight(np.ones(len(self.classes_)))
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            self._stream = Stream(int(self.coreset_size), len(self.classes_), X.shape[1], seed)
            for name in ("coef_", "intercept_"):
                vars(self).pop(name, None)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes must be those of the first call, {self.classes_!r}")
        refuse_strangers(y, self.classes_)
        index = np.searchsorted(self.classes_, y)
        weight = weight * self.class_weight_[index]
        side = np.zeros(len(y), np.intp)
        if hasattr(self, "coef_"):
            scores = np.asarray(X @ self.coef_.T + self.intercept_)
            side = (scores.max(axis=1) > 0).astype(np.intp)
        assert self._stream is not None
        self._stream.add(X, index, weight, side)
        self._solve_stream(self._stream)
        return self

    def _solve_stream(self, stream: Stream) -> None:
        held = stream.sample()
        if len(np.unique(held.index)) < 2:
            return
        rows = np.asarray(dense(held.X), np.float64)
        sums, groups, u, norms, spread = stream.groups()
        C, certificates = float(self.C), []
        for k in self._positives():
            y = np.where(held.index == k, 1.0, -1.0)
            if not ((y > 0).any() and (y < 0).any()):
                return
            done = solve(Instance(rows, y, C * held.weight), min(1e-6, float(self.target)))
            side = np.where(groups == k, 1.0, -1.0)
            lower, _, _, _ = group_dual(
                C * sums, side, C * u, C * norms, stream.seen, done.w, done.b
            )
            upper = stream_objective(done.w, done.b, sums / u[:, None], side, C, u, C * spread)
            certificates.append(
                SvmCertificate(
                    upper, lower, suboptimality(upper, lower), stream.seen, len(u), done.w, done.b
                )
            )
        self._keep(certificates, warn=False)

    # --- certifying ---------------------------------------------------------------------------

    def certify(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[SvmCertificate, ...]:
        """Certify the fitted hyperplanes on any points, with this C and these class weights.

        Args:
            X: (n, d) array or CSR.
            y: (n,) labels among the classes.
            sample_weight: (n,) u >= 0.

        Returns:
            One certificate for two classes, else one a class: each class against the rest.

        Raises:
            ValueError: data that are refused, or a class without points.
        """
        check_is_fitted(self, "coef_")
        X, y, weight = labelled(self, X, y, sample_weight, False)
        refuse_strangers(y, self.classes_)
        index = np.searchsorted(self.classes_, y)
        weight = weight * self.class_weight_[index]
        return tuple(
            certify_svm(
                self.coef_[row], self.intercept_[row], X, np.where(index == k, 1, -1),
                float(self.C), weight, band=int(self.band), classes=(-1, 1),
            )
            for row, k in enumerate(self._positives())
        )  # fmt: skip

    def certify_chunks(
        self, chunks: Chunks, progress: Progress | None = None
    ) -> tuple[SvmCertificate, ...]:
        """Certify on data that need not fit into memory, as `certify` does on arrays.

        Args:
            chunks: what `read_chunks` returns.
            progress: callback (done, total, what).

        Returns:
            One certificate for two classes, else one a class.

        Raises:
            ValueError: data that are refused, or labels that are none of the classes.
        """
        check_is_fitted(self, "coef_")
        if chunks.columns != self.n_features_in_:
            raise ValueError(
                f"the model was fitted to {self.n_features_in_} columns; the data have "
                f"{chunks.columns}"
            )

        def parts(k: int) -> Iterator[tuple[Any, np.ndarray, Float]]:
            for number in range(len(chunks)):
                X, y, weight = chunks.read(number)
                refuse_strangers(y, self.classes_)
                index = np.searchsorted(self.classes_, y)
                signs = np.where(index == k, 1, -1)
                yield X, signs, weight * self.class_weight_[index]

        return tuple(
            certify_svm(
                self.coef_[row], self.intercept_[row], parts(k), C=float(self.C),
                band=int(self.band), classes=(-1, 1), progress=progress,
            )
            for row, k in enumerate(self._positives())
        )  # fmt: skip

    # --- what they share ----------------------------------------------------------------------

    def _positives(self) -> range:
        """Indices of the classes that stand against the rest."""
        return range(1, 2) if len(self.classes_) == 2 else range(len(self.classes_))

    def _refuse_one_class(self) -> None:
        if len(self.classes_) < 2:
            only = self.classes_.tolist()
            raise ValueError(
                "there must be at least two classes with weight above 0; found "
                + (f"one class, {only[0]!r}" if only else "none")
            )

    def _set_class_weight(self, totals: Float) -> None:
        self.class_weight_ = class_factors(self.class_weight, self.classes_.tolist(), totals)

    def _keep(self, certificates: list[SvmCertificate], warn: bool = True) -> None:
        self.coef_ = np.array([one.w for one in certificates])
        self.intercept_ = np.array([one.b for one in certificates])
        self.certificates_ = tuple(certificates)
        self.certified_eps_ = max(one.eps for one in certificates)
        self.n_iter_ = 1
        if warn and self.certified_eps_ > self.target:
            warnings.warn(
                f"certified {self.certified_eps_:.2g}, above the target {self.target:g}; scale the "
                "columns alike, or give a larger band or target",
                ConvergenceWarning,
                stacklevel=3,
            )

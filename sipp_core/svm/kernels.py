"""SV-12: how far a kernel machine by Nystroem's features is from the kernel's own optimum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import KERNEL_PARAMS, pairwise_kernels
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sipp_core.svm.blocks import dense
from sipp_core.svm.chunks import refuse_strangers
from sipp_core.svm.estimator import CoresetSVC
from sipp_theory.numeric.checks import Float
from sipp_theory.svm import SvmCertificate
from sipp_theory.svm.kernel import kernel_dual_of_blocks
from sipp_theory.svm.problem import Instance, hinge_sum, suboptimality
from sipp_theory.svm.solver import solve

Progress = Callable[[int, int, str], None]
# Kernel values that are held at once: 32 MB.
ENTRIES = 2**22
TOLERANCE = 1e-6


def certify_kernel(
    pipeline: Pipeline,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    progress: Progress | None = None,
) -> tuple[SvmCertificate, ...]:
    """Certify a pipeline of `Nystroem` and `CoresetSVC` against the kernel's own optimum.

    With f = sum_j beta_j k(z_j, .) + b, the z_j Nystroem's components, F_K(f) = beta^T K_zz beta/2
    + C sum u_i max(0, 1 - y_i f(x_i)) is this machine's objective and no less than the least one
    F*_K over all functions of the kernel's space; the dual value D_K(a) = sum a - (a y)^T K (a y)/2
    of the multipliers a that solve the problem in Nystroem's features is no more. So F_K(f) <=
    (1 + eps) F*_K: eps holds what Nystroem's features cost too, where `CoresetSVC.certified_eps_`
    speaks of the linear problem in them. Random Fourier features are in no way a part of the
    kernel's space, so that `RBFSampler` cannot be certified like this.

    Args:
        pipeline: fitted; its last two steps are Nystroem, with a kernel of scikit-learn by name
            that is positive semidefinite, and CoresetSVC.
        X: (n, d) points to certify on, as the pipeline takes them.
        y: (n,) labels among the classes.
        sample_weight: (n,) u >= 0.
        progress: callback (done, total, what).

    Returns:
        One certificate for two classes, else one a class; `w`, `b` are in Nystroem's features. It
        takes k^2 kernel values, k the points with multipliers above 0, in blocks of 32 MB.

    Raises:
        ValueError: other steps, a kernel that is no name, or labels that are none of the classes.

    Claim: SV-12. Source: [OWN].

    Example:
        >>> from sklearn.pipeline import make_pipeline
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> y = (X**2).sum(axis=1) > 1.4
        >>> model = make_pipeline(Nystroem(gamma=0.5, n_components=50), CoresetSVC()).fit(X, y)
        >>> certify_kernel(model, X, y)[0].eps < 0.1
        True
    """
    steps = [step for _, step in pipeline.steps]
    if len(steps) < 2 or not (
        isinstance(steps[-2], Nystroem) and isinstance(steps[-1], CoresetSVC)
    ):
        names = ", ".join(type(step).__name__ for step in steps)
        raise ValueError(f"the last two steps must be Nystroem and CoresetSVC; found {names}")
    features, model = steps[-2], steps[-1]
    check_is_fitted(model)
    if not isinstance(features.kernel, str) or features.kernel == "precomputed":
        raise ValueError(f"kernel must be a name of scikit-learn's; found {features.kernel!r}")
    rows = pipeline[:-2].transform(X) if len(steps) > 2 else X
    seen = np.asarray(dense(features.transform(rows)), np.float64)
    rows, centres = (np.asarray(dense(part), np.float64) for part in (rows, features.components_))
    labels = np.asarray(y)
    refuse_strangers(labels, model.classes_)
    index = np.searchsorted(model.classes_, labels)
    weight = model._weights(sample_weight, seen) * model.class_weight_[index]
    known = {name: getattr(features, name) for name in ("gamma", "coef0", "degree")}
    own = {k: v for k, v in known.items() if v is not None and k in KERNEL_PARAMS[features.kernel]}
    own |= features.kernel_params or {}

    def kernel(one: Float, other: Float) -> Float:
        return np.asarray(pairwise_kernels(one, other, metric=features.kernel, **own), np.float64)

    held, certificates = kernel(centres, centres), []
    for row, k in enumerate(model._positives()):
        signs, c = np.where(index == k, 1.0, -1.0), float(model.C) * weight
        w, b = model.coef_[row], float(model.intercept_[row])
        beta = features.normalization_.T @ w
        scores = np.concatenate([
            kernel(part, centres) @ beta for part in np.array_split(rows, _parts(len(rows), len(w)))
        ])  # fmt: skip
        # The scores as one feature: the norm is the kernel's.
        size = np.abs(held).max() * np.abs(beta).sum() + np.abs(scores)
        hinge = hinge_sum(np.ones(1), b, scores[:, None], signs, c, size)[1]
        norm = max(0.0, float(beta @ held @ beta)) + 1e-12 * float(
            np.abs(beta) @ np.abs(held) @ np.abs(beta)
        )
        primal = (norm / 2 + hinge) * (1 + 1e-12)
        best = solve(Instance(seen, signs, c), TOLERANCE, w, b)
        dual = kernel_dual_of_blocks(best.alpha, rows, kernel, signs, c, ENTRIES, progress)
        certificates.append(
            SvmCertificate(
                primal, dual, suboptimality(primal, dual), int((weight > 0).sum()),
                int((best.alpha > 0).sum()), best.w, best.b,
            )
        )  # fmt: skip
    return tuple(certificates)


def _parts(rows: int, columns: int) -> int:
    return max(1, -(-rows * columns // ENTRIES))

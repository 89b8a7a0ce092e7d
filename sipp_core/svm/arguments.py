"""What both estimators take: parameters, points with labels and weights, factors of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from sipp_core.svm.blocks import within_float64
from sipp_theory.numeric.checks import Float, numbers
from sipp_theory.svm.problem import positive_number


def check_parameters(estimator: Any) -> None:
    """Refuse parameters of an estimator before any data are read.

    scikit-learn's own check, and that C and target are within float64.

    Args:
        estimator: a `CoresetSVC` or an `SVMCoreset`.

    Raises:
        ValueError: a parameter out of range, by name.

    Claim: none (plumbing).

    Example:
        >>> from sipp_core.svm import CoresetSVC
        >>> check_parameters(CoresetSVC(C=-1))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        sklearn...InvalidParameterError: The 'C' parameter of CoresetSVC must be a float in ...
    """
    estimator._validate_params()
    for name in ("C", "target"):
        if hasattr(estimator, name):
            positive_number(name, getattr(estimator, name))


def labelled(
    estimator: Any, X: Any, y: Any, sample_weight: Any, reset: bool = True
) -> tuple[Any, np.ndarray, Float]:
    """Rows (n, d), float64 or float32, labels (n,) and weights (n,), checked."""
    with within_float64():
        X, y = validate_data(
            estimator, X, y, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32]
        )
    check_classification_targets(y)
    return X, y, weights(sample_weight, X)


def weights(sample_weight: Any, X: Any) -> Float:
    """(n,) float64 weights >= 0; None is 1."""
    if sample_weight is not None:
        sample_weight = numbers("sample_weight", sample_weight)[()]
    checked = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    return np.asarray(checked, np.float64)


def class_factors(class_weight: Any, labels: list[Any], totals: Float) -> Float:
    """(K,) factors of the weights: of a dict, 1 without one, or so that all classes weigh alike."""
    if class_weight is None:
        return np.ones(len(labels))
    if not isinstance(class_weight, dict):
        return totals.sum() / (len(labels) * totals)
    strange = [k for k in class_weight if k not in labels]
    if strange:
        raise ValueError(f"class_weight names {strange[0]!r}, which is no class of y")
    factors = np.array([numbers("class_weight", class_weight.get(k, 1.0)) for k in labels])
    if not (factors.ndim == 1 and (np.isfinite(factors) & (factors > 0)).all()):
        raise ValueError(f"class_weight must be above 0; found {class_weight!r}")
    return factors

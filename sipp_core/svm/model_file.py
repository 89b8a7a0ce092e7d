"""A trained `CoresetSVC` as a safetensors file with its certificates; nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import math
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from sklearn.utils.validation import check_is_fitted

from sipp_core.runtime import write_atomically
from sipp_core.svm.arguments import check_parameters
from sipp_core.svm.estimator import CoresetSVC
from sipp_theory.svm import SvmCertificate

# Files of the old format carry no checksum.
OLD_FORMAT, FORMAT = "sipp-svm-1", "sipp-svm-2"
FIELDS = ("primal", "dual", "eps", "points", "groups")


def save_model(model: CoresetSVC, path: str | PathLike[str]) -> Path:
    """Write a fitted classifier, whole or not at all.

    Args:
        model: fitted.
        path: where.

    Returns:
        The path.

    Raises:
        ValueError: labels that are neither numbers nor text.
        OSError: the file cannot be written.

    Claim: none (plumbing).

    Example:
        >>> import tempfile
        >>> model = CoresetSVC().fit([[0.0], [1.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = load_model(save_model(model, Path(folder) / "model.safetensors"))
        >>> again.predict([[0.5], [3.5]]).tolist(), again.certified_eps_ == model.certified_eps_
        ([0, 1], True)
    """
    check_is_fitted(model)
    labels = model.classes_.tolist()
    if not all(isinstance(k, int | float | str | bool) for k in labels):
        raise ValueError(f"classes must be numbers or text to be written; found {labels[:3]!r}")
    facts = {
        "format": FORMAT,
        "classes": labels,
        "parameters": {
            name: value
            for name, value in model.get_params().items()
            if name in ("C", "target", "band", "coreset_size", "n_jobs")
        },
        "certificates": [
            {name: _plain(getattr(one, name)) for name in FIELDS} for one in model.certificates_
        ],
    }
    tensors = {
        "coef": np.ascontiguousarray(model.coef_, np.float64),
        "intercept": np.ascontiguousarray(model.intercept_, np.float64),
        "class_weight": np.ascontiguousarray(model.class_weight_, np.float64),
    }
    text = json.dumps(facts | {"sha256": _seal(facts, *tensors.values())})
    content = safetensors.numpy.save(tensors, {"svm": text})
    return write_atomically(path, content)


def _seal(facts: dict[str, Any], *arrays: np.ndarray) -> str:
    """SHA-256 of what a file holds."""
    text = json.dumps({name: value for name, value in facts.items() if name != "sha256"})
    digest = hashlib.sha256(text.encode())
    for one in arrays:
        digest.update(f"{one.dtype} {one.shape}".encode() + one.tobytes())
    return digest.hexdigest()


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def load_model(path: str | PathLike[str]) -> CoresetSVC:
    """Read a classifier that `save_model` wrote.

    Args:
        path: the file.

    Returns:
        The classifier, ready to predict and to certify.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or of another kind.

    Claim: none (plumbing).

    Example:
        >>> load_model("missing.safetensors")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no file missing.safetensors
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    try:
        # Sizes are held against the file's before anything is allocated.
        with safetensors.safe_open(file, "numpy") as held:
            facts = json.loads((held.metadata() or {})["svm"])
            coef, intercept, factors = (
                held.get_tensor(name) for name in ("coef", "intercept", "class_weight")
            )
        return _restored(facts, coef, intercept, factors)
    except (
        safetensors.SafetensorError, KeyError, TypeError, ValueError, AttributeError,
        RecursionError,
    ) as error:  # fmt: skip
        raise ValueError(f"{file} is damaged or no model of `sipp svm fit`: {error}") from error


def _restored(
    facts: dict[str, Any], coef: np.ndarray, intercept: np.ndarray, factors: np.ndarray
) -> CoresetSVC:
    if facts["format"] not in (OLD_FORMAT, FORMAT):
        raise ValueError(f"format {facts['format']!r}, not {FORMAT!r}")
    if facts["format"] == FORMAT and facts["sha256"] != _seal(facts, coef, intercept, factors):
        raise ValueError("its checksum does not match")
    labels = np.array(facts["classes"])
    rows = 1 if len(labels) == 2 else len(labels)
    fits = (
        coef.ndim == 2 and len(coef) == rows and intercept.shape == (rows,) and len(labels) >= 2
        and factors.shape == labels.shape and len(facts["certificates"]) == rows
    )  # fmt: skip
    if not fits or any(one.dtype != np.float64 for one in (coef, intercept, factors)):
        raise ValueError("shapes or types do not fit")
    if not all(np.isfinite(one).all() for one in (coef, intercept, factors)):
        raise ValueError("it holds what is not finite")
    model = CoresetSVC(**facts["parameters"])
    check_parameters(model)
    model.classes_, model.class_weight_ = labels, factors
    model.n_features_in_ = coef.shape[1]
    model._stream = None
    model._keep(
        [
            SvmCertificate(**{n: float(one[n]) for n in FIELDS[:3]}, points=int(one["points"]),
                           groups=int(one["groups"]), w=w, b=float(b))
            for one, w, b in zip(facts["certificates"], coef, intercept, strict=True)
        ],
        warn=False,
    )  # fmt: skip
    return model

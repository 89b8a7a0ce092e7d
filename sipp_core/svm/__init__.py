"""Support vector machines on a few points, with a certificate of suboptimality; no torch (SV)."""

from __future__ import annotations

from sipp_core.svm.arguments import check_parameters
from sipp_core.svm.certify import certify_svm
from sipp_core.svm.coreset import SVMCoreset
from sipp_core.svm.estimator import CoresetSVC
from sipp_core.svm.kernels import certify_kernel
from sipp_core.svm.model_file import load_model, save_model
from sipp_core.svm.readers import read_chunks, scan

__all__ = [
    "CoresetSVC", "SVMCoreset", "certify_kernel", "certify_svm", "check_parameters", "load_model",
    "read_chunks", "save_model", "scan",
]  # fmt: skip

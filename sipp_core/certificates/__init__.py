"""Certificates on held-out inputs (CT)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipp_core.certificates import drawn_network
from sipp_core.certificates.around import LocalCertificates, certify_around
from sipp_core.certificates.attack import ascend
from sipp_core.certificates.certificate import Accuracy, Certificate, Group
from sipp_core.certificates.certify import certify
from sipp_core.certificates.corruptions import Corruption, find_corruption
from sipp_core.certificates.curve import Curve
from sipp_core.certificates.drawn_network import NeededBudget, least_budget
from sipp_core.certificates.errors import count_errors, exact_scores, wrong
from sipp_core.certificates.layer_region import LayerWorstCase
from sipp_core.certificates.measure import output_errors
from sipp_core.certificates.onnx import OnnxNetwork
from sipp_core.certificates.region import RegionCertificate, certify_region
from sipp_core.certificates.scores import (
    ClassChange,
    RelativeL2,
    Score,
    SoftmaxKL,
    TopK,
    find_score,
)
from sipp_core.certificates.sparsest import SparsestResult, sparsest
from sipp_core.runtime import lazily

if TYPE_CHECKING:
    from sipp_core.certificates.saved import (
        CertificateFile,
        certificate_text,
        differences,
        read_certificate,
        save_certificate,
        sealed,
        with_certificate,
    )

__all__ = [
    "Accuracy", "Certificate", "CertificateFile", "ClassChange", "Corruption", "Curve",
    "Group", "LayerWorstCase", "LocalCertificates", "NeededBudget", "OnnxNetwork",
    "RegionCertificate", "RelativeL2", "Score", "SoftmaxKL", "SparsestResult", "TopK",
    "ascend", "certificate_text", "certify", "certify_around", "certify_region",
    "count_errors", "differences", "drawn_network", "exact_scores", "find_corruption",
    "find_score", "least_budget", "output_errors", "read_certificate", "save_certificate",
    "sealed", "sparsest", "with_certificate", "wrong",
]  # fmt: skip

# Files are checked by pydantic, which certifying alone does not need.
__getattr__ = lazily(
    __name__,
    {
        "saved": "CertificateFile certificate_text differences read_certificate save_certificate "
        "sealed with_certificate",
    },
)

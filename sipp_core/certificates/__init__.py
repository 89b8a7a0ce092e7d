"""Certificates on held-out inputs (CT)."""

from __future__ import annotations

from sipp_core.certificates.certificate import Certificate
from sipp_core.certificates.certify import certify, output_errors
from sipp_core.certificates.errors import count_errors, exact_scores, wrong
from sipp_core.certificates.sparsest import SparsestResult, sparsest

__all__ = [
    "Certificate", "SparsestResult", "certify", "count_errors", "exact_scores", "output_errors",
    "sparsest", "wrong",
]  # fmt: skip

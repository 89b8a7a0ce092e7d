"""Certificates from held-out inputs (CT)."""

from __future__ import annotations

from sipp_theory.certificates.certificates import (
    FixedSequence,
    clopper_pearson,
    error_quantile,
    fixed_sequence,
    points_needed,
    tolerance_rank,
    violation_bound,
)
from sipp_theory.certificates.monitoring import confidence_sequence, e_value, log_e_value

__all__ = [
    "FixedSequence", "clopper_pearson", "confidence_sequence", "e_value", "error_quantile",
    "fixed_sequence", "log_e_value", "points_needed", "tolerance_rank", "violation_bound",
]  # fmt: skip

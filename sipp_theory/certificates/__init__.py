"""Certificates from held-out inputs (CT)."""

from __future__ import annotations

from sipp_theory.certificates.accuracy import accuracy_bound, accuracy_drop, family_confidence
from sipp_theory.certificates.band import Band, simultaneous_band
from sipp_theory.certificates.certificates import (
    FixedSequence,
    clopper_pearson,
    error_quantile,
    fixed_sequence,
    points_needed,
    tolerance_rank,
    violation_bound,
)
from sipp_theory.certificates.drawn_network import LeastBudget, least_budget, leaves_entrywise
from sipp_theory.certificates.monitoring import confidence_sequence, e_value, log_e_value

__all__ = [
    "Band", "FixedSequence", "LeastBudget", "accuracy_bound", "accuracy_drop", "clopper_pearson",
    "confidence_sequence", "e_value", "error_quantile", "family_confidence", "fixed_sequence",
    "least_budget", "leaves_entrywise", "log_e_value", "points_needed", "simultaneous_band",
    "tolerance_rank", "violation_bound",
]  # fmt: skip

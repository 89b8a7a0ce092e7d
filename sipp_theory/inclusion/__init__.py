"""Inclusion by probability (SP-8)."""

from __future__ import annotations

from sipp_theory.inclusion.poisson_rate import INCLUSION_BOUNDS, inclusion_error, inclusion_rate
from sipp_theory.inclusion.poisson_sampling import expected_kept, inclusion_probabilities

__all__ = [
    "INCLUSION_BOUNDS", "expected_kept", "inclusion_error", "inclusion_probabilities",
    "inclusion_rate",
]  # fmt: skip

"""Net-Trim (NT)."""

from __future__ import annotations

from sipp_theory.nettrim.nettrim import (
    cascade_error,
    parallel_error,
    parallel_split,
    recovery_failure,
    recovery_samples,
    retrim_error,
)

__all__ = [
    "cascade_error", "parallel_error", "parallel_split", "recovery_failure", "recovery_samples",
    "retrim_error",
]  # fmt: skip

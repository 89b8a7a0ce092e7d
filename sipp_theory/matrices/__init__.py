"""Entrywise sampling and low rank of whole matrices (MS)."""

from __future__ import annotations

from sipp_theory.matrices.approximation import rank_floor, sparse_floor
from sipp_theory.matrices.sparsification import (
    ENTRY_KINDS,
    DrawMoments,
    closed_moments,
    draw_moments,
    entry_probabilities,
)
from sipp_theory.matrices.spectral import spectral_error, spectral_failure, spectral_size

__all__ = [
    "ENTRY_KINDS", "DrawMoments", "closed_moments", "draw_moments", "entry_probabilities",
    "rank_floor", "sparse_floor", "spectral_error", "spectral_failure", "spectral_size",
]  # fmt: skip

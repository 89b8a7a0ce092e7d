"""Optimal allocation of a budget (AL)."""

from __future__ import annotations

from sipp_theory.allocation import layers, pair
from sipp_theory.allocation.allocation import (
    Allocation,
    allocate,
    allocate_for_errors,
    allocate_for_total,
    round_allocation,
)
from sipp_theory.allocation.layers import allocate_by_layer
from sipp_theory.allocation.pair import bernstein_coefficients

__all__ = [
    "Allocation", "allocate", "allocate_by_layer", "allocate_for_errors", "allocate_for_total",
    "bernstein_coefficients", "layers", "pair", "round_allocation",
]  # fmt: skip

"""Weights kept by rule, joined promises, the best of several candidates (SP-6, 7, 9, 10, 12)."""

from __future__ import annotations

from sipp_theory.keeping.best_of_tau import (
    BestOfTau,
    best_of_tau,
    candidates,
    dead_neuron_violation,
    mean_error_bound,
    selected_violation,
)
from sipp_theory.keeping.deterministic import (
    Recentring,
    deterministic_error,
    deterministic_size,
    dropped_share,
    dropped_share_bound,
    keep_most_sensitive,
    recentring,
)
from sipp_theory.keeping.hybrid_and_signs import HybridChoice, combine_signs, hybrid_error
from sipp_theory.keeping.measured import error_of_products, measured_error
from sipp_theory.keeping.rows import each_row, some_row

__all__ = [
    "BestOfTau", "HybridChoice", "Recentring", "best_of_tau", "candidates", "combine_signs",
    "dead_neuron_violation", "deterministic_error", "deterministic_size", "dropped_share",
    "dropped_share_bound", "each_row", "error_of_products", "hybrid_error",
    "keep_most_sensitive", "mean_error_bound", "measured_error", "recentring", "selected_violation",
    "some_row",
]  # fmt: skip

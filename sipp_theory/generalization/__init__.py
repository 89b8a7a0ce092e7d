"""Generalization bounds (GN)."""

from __future__ import annotations

from sipp_theory.generalization.bit_budget import (
    RULES_BITS,
    BitBudget,
    Charge,
    choice_bits,
    count_bits,
    kraft_sum,
    require_prefix_code,
    search_bits,
)
from sipp_theory.generalization.catoni import catoni_bound
from sipp_theory.generalization.compression import (
    CorenetGeneralization,
    compression_bound,
    corenet_generalization,
)
from sipp_theory.generalization.margins import margin_loss, margin_quantiles, margins
from sipp_theory.generalization.occam import OccamForm, bits_allowed, occam_bound

__all__ = [
    "RULES_BITS", "BitBudget", "Charge", "CorenetGeneralization", "OccamForm", "bits_allowed",
    "catoni_bound", "choice_bits", "compression_bound", "corenet_generalization", "count_bits",
    "kraft_sum", "margin_loss", "margin_quantiles", "margins", "occam_bound",
    "require_prefix_code", "search_bits",
]  # fmt: skip

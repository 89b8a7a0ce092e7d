"""Draws with replacement (SP-1 to SP-5x); a new bound is a file here that registers it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from sipp_theory.draws import chernoff_hoeffding, exact, law_of_a_draw
from sipp_theory.draws.bernstein import (
    bernstein_error,
    bernstein_size,
    corenet_error,
    corenet_size,
    heuristic_error,
)
from sipp_theory.draws.bound import (
    BOUNDS,
    KINDS,
    Bound,
    Inclusion,
    Neuron,
    error,
    register_bound,
    sample_size,
)
from sipp_theory.draws.chernoff_hoeffding import kl_error, kl_size
from sipp_theory.draws.cramer import cramer_error, cramer_size
from sipp_theory.draws.distinct_weights import draws_for_distinct, expected_distinct
from sipp_theory.draws.exact import exact_error, exact_size

__all__ = [
    "BOUNDS", "KINDS", "Bound", "Inclusion", "Neuron", "bernstein_error", "bernstein_size",
    "chernoff_hoeffding", "corenet_error", "corenet_size", "cramer_error", "cramer_size",
    "draws_for_distinct", "error", "exact", "exact_error", "exact_size", "expected_distinct",
    "heuristic_error", "kl_error", "kl_size", "law_of_a_draw", "register_bound", "sample_size",
]  # fmt: skip

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)

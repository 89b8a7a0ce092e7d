"""Inclusion by probability (SP-8), and one tail for a whole neuron (SP-11)."""

from __future__ import annotations

from sipp_theory.draws import BOUNDS
from sipp_theory.inclusion import poisson_rate, poisson_tail
from sipp_theory.inclusion.at_inputs import Cramer, ExactTail
from sipp_theory.inclusion.neuron import (
    tail_draws,
    tail_draws_error,
    tail_error,
    tail_rate,
)
from sipp_theory.inclusion.neuron_bound import NeuronTail
from sipp_theory.inclusion.poisson_rate import (
    INCLUSION_BOUNDS,
    Bennett,
    Bernstein,
    expected_kept,
    inclusion_error,
    inclusion_probabilities,
    inclusion_rate,
)

__all__ = [
    "INCLUSION_BOUNDS", "NeuronTail", "expected_kept", "inclusion_error",
    "inclusion_probabilities", "inclusion_rate", "poisson_rate", "poisson_tail", "tail_draws",
    "tail_draws_error", "tail_error", "tail_rate",
]  # fmt: skip

for _form in (Bernstein("bernstein"), Bennett("kl"), Cramer("cramer"), ExactTail("exact")):
    BOUNDS[_form.name].inclusion = _form

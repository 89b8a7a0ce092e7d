"""Data-independent coresets of neurons and filters, and worst-case certificates (NC)."""

from __future__ import annotations

from sipp_theory.neurons.activations import ACTIVATIONS, Activation, activation_range
from sipp_theory.neurons.cones import cone_sensitivities, isolating_input, sign_ratio
from sipp_theory.neurons.peeling import linf_coreset, peeled_sensitivities
from sipp_theory.neurons.regions import middle_and_half, preactivation_range, support
from sipp_theory.neurons.relaxation import Parameters, Relaxation, WorstCase, proven_peak
from sipp_theory.neurons.sampling import (
    ball_error,
    mussay_size,
    network_error,
    neuron_draw,
    neuron_error,
    neuron_mass,
    neuron_probabilities,
    neuron_size,
    one_sign_error,
    region_error,
)
from sipp_theory.neurons.worst_case import worst_relu_sum

__all__ = [
    "ACTIVATIONS", "Activation", "Parameters", "Relaxation", "WorstCase", "activation_range",
    "ball_error", "cone_sensitivities", "isolating_input", "linf_coreset",
    "middle_and_half", "mussay_size", "network_error", "neuron_draw", "neuron_error",
    "neuron_mass", "neuron_probabilities", "neuron_size", "one_sign_error",
    "peeled_sensitivities", "preactivation_range", "proven_peak", "region_error", "sign_ratio",
    "support", "worst_relu_sum",
]  # fmt: skip

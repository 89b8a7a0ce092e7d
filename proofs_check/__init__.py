"""The claims ledger and the evidence for each claim: Monte-Carlo coverage and needed sizes."""

from proofs_check.judging import (
    Coverage,
    judge,
    power,
    refuting_failures,
    trials_for_power,
)
from proofs_check.monte_carlo.first_check import FirstCheck, first_check
from proofs_check.monte_carlo.layer import LayerCoverage, layer_coverage
from proofs_check.monte_carlo.needed import Needed, needed_size
from proofs_check.monte_carlo.network import NetworkCoverage, network_coverage
from proofs_check.monte_carlo.neuron import neuron_coverage
from proofs_check.monte_carlo.neuron_check import NeuronCheck

__all__ = [
    "Coverage",
    "FirstCheck",
    "LayerCoverage",
    "Needed",
    "NetworkCoverage",
    "NeuronCheck",
    "first_check",
    "judge",
    "layer_coverage",
    "needed_size",
    "network_coverage",
    "neuron_coverage",
    "power",
    "refuting_failures",
    "trials_for_power",
]

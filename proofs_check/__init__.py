"""The claims ledger and the evidence for each claim: Monte-Carlo coverage and needed sizes."""

from proofs_check.coverage import (
    Coverage,
    judge,
    power,
    refuting_failures,
    trials_for_power,
)
from proofs_check.first_check import FirstCheck, first_check
from proofs_check.layer import LayerCoverage, layer_coverage
from proofs_check.needed import Needed, needed_size
from proofs_check.network import NetworkCoverage, network_coverage
from proofs_check.neuron import neuron_coverage
from proofs_check.neuron_check import NeuronCheck

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

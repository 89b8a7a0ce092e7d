"""The claims ledger, the evidence for each claim, and the Monte Carlo behind it."""

from proofs_check.ledger.all_claims import LEDGER
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.evidence import Evidence
from proofs_check.ledger.harness import LedgerRun, run
from proofs_check.ledger.judging import Coverage, judge, power, refuting_failures, trials_for_power
from proofs_check.ledger.status import Entry
from proofs_check.monte_carlo.first_check import FirstCheck, first_check
from proofs_check.monte_carlo.layer import LayerCoverage, layer_coverage
from proofs_check.monte_carlo.needed import Needed, needed_size
from proofs_check.monte_carlo.network import NetworkCoverage, network_coverage
from proofs_check.monte_carlo.neuron import neuron_coverage
from proofs_check.monte_carlo.neuron_check import NeuronCheck

__all__ = [
    "LEDGER", "Claim", "Coverage", "Entry", "Evidence", "FirstCheck", "LayerCoverage",
    "LedgerRun", "Needed", "NetworkCoverage", "NeuronCheck", "first_check", "judge",
    "layer_coverage", "needed_size", "network_coverage", "neuron_coverage", "power",
    "refuting_failures", "run", "trials_for_power",
]  # fmt: skip

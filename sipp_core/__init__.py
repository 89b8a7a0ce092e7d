"""Prune trained PyTorch networks with guarantees: sensitivities, samplers, methods, baselines."""

from sipp_core.certificates.certificate import Certificate
from sipp_core.certificates.certify import certify, output_errors
from sipp_core.certificates.sparsest import SparsestResult, sparsest
from sipp_core.compression.compress import Compressed, compress, decompress
from sipp_core.filters.prune import prune_filters
from sipp_core.filters.result import FilterReport, FilterResult, GroupReport
from sipp_core.network.cost import multiply_adds
from sipp_core.network.selection import Except
from sipp_core.network.structure import narrow
from sipp_core.pruning.prune import METHODS, prune
from sipp_core.pruning.result import LayerReport, PruneResult
from sipp_core.pruning.saving import load, save
from sipp_core.sensitivity.calibrate import Calibration, calibrate
from sipp_core.sensitivity.empirical import empirical_sensitivity
from sipp_core.sensitivity.statistics import LayerStatistics

__all__ = [
    "METHODS",
    "Calibration",
    "Certificate",
    "Compressed",
    "Except",
    "FilterReport",
    "FilterResult",
    "GroupReport",
    "LayerReport",
    "LayerStatistics",
    "PruneResult",
    "SparsestResult",
    "calibrate",
    "certify",
    "compress",
    "decompress",
    "empirical_sensitivity",
    "load",
    "multiply_adds",
    "narrow",
    "output_errors",
    "prune",
    "prune_filters",
    "save",
    "sparsest",
]

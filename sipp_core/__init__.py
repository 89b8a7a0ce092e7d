"""Prune trained PyTorch networks with guarantees: sensitivities, samplers, methods, baselines."""

from sipp_core.calibration import Calibration, calibrate
from sipp_core.certificate import Certificate
from sipp_core.certify import certify, output_errors
from sipp_core.compressing import Compressed, compress, decompress
from sipp_core.filter_result import FilterReport, FilterResult, GroupReport
from sipp_core.filters import prune_filters
from sipp_core.flops import multiply_adds
from sipp_core.narrowing import narrow
from sipp_core.prune import METHODS, prune
from sipp_core.result import LayerReport, PruneResult
from sipp_core.saving import load, save
from sipp_core.selection import Except
from sipp_core.sensitivity import empirical_sensitivity
from sipp_core.sparsest import SparsestResult, sparsest
from sipp_core.statistics import LayerStatistics

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

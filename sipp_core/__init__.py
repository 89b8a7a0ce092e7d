"""Prune trained PyTorch networks with guarantees: sensitivities, samplers, methods, baselines."""

from sipp_core import methods, nettrim
from sipp_core.certificates import Certificate, SparsestResult, certify, output_errors, sparsest
from sipp_core.compression import (
    Codebook,
    Compressed,
    compress,
    decompress,
    learning_levels,
    neuron_order,
    rate_control,
)
from sipp_core.filters import FilterReport, FilterResult, GroupReport, prune_filters
from sipp_core.network import Except, multiply_adds, narrow
from sipp_core.pruning import METHODS, LayerReport, PruneResult, load, prune, save
from sipp_core.sensitivity import (
    Calibration,
    LayerStatistics,
    calibrate,
    empirical_sensitivity,
    kernel,
)
from sipp_core.zoo import datasets, models, recipes, retraining, training
from sipp_core.zoo import pretrained as shipped

__all__ = [
    "METHODS", "Calibration", "Certificate", "Codebook", "Compressed", "Except", "FilterReport",
    "FilterResult", "GroupReport", "LayerReport", "LayerStatistics", "PruneResult",
    "SparsestResult", "calibrate", "certify", "compress", "datasets", "decompress",
    "empirical_sensitivity", "kernel", "learning_levels", "load", "methods", "models",
    "multiply_adds", "narrow", "nettrim", "neuron_order", "output_errors", "prune",
    "prune_filters", "rate_control", "recipes", "retraining", "save", "shipped", "sparsest",
    "training",
]  # fmt: skip

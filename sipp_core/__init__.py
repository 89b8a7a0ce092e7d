"""Prune trained PyTorch networks with guarantees: sensitivities, samplers, methods, baselines."""

import warnings

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
from sipp_core.filters import Channels, FilterReport, GroupReport
from sipp_core.methods import prune_filters, registered
from sipp_core.network import Except, multiply_adds, narrow
from sipp_core.pruning import LayerReport, PruneResult, load, prune, save
from sipp_core.sensitivity import (
    Calibration,
    LayerStatistics,
    calibrate,
    empirical_sensitivity,
    kernel,
)
from sipp_core.zoo import datasets, models, recipes, retraining, training
from sipp_core.zoo import pretrained as shipped

METHODS = tuple(registered())

__all__ = [
    "METHODS", "Calibration", "Certificate", "Channels", "Codebook", "Compressed", "Except",
    "FilterReport", "GroupReport", "LayerReport", "LayerStatistics", "PruneResult",
    "SparsestResult", "calibrate", "certify", "compress", "datasets", "decompress",
    "empirical_sensitivity", "kernel", "learning_levels", "load", "methods", "models",
    "multiply_adds", "narrow", "nettrim", "neuron_order", "output_errors", "prune",
    "prune_filters", "rate_control", "recipes", "retraining", "save", "shipped", "sparsest",
    "training",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """`FilterResult` until the next release: there is one result for weights and filters."""
    if name != "FilterResult":
        raise AttributeError(f"module 'sipp_core' has no attribute {name!r}")
    warnings.warn(
        "FilterResult goes in the next release; prune_filters returns a PruneResult",
        DeprecationWarning,
        stacklevel=2,
    )
    return PruneResult

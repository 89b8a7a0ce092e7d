"""Prune trained PyTorch networks with guarantees: sensitivities, samplers, methods, baselines."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from sipp_core.runtime.lazy import lazily

if TYPE_CHECKING:
    from sipp_core import methods, nettrim
    from sipp_core.certificates import (
        Certificate,
        LayerWorstCase,
        LocalCertificates,
        NeededBudget,
        RegionCertificate,
        SparsestResult,
        certify,
        certify_around,
        certify_region,
        least_budget,
        output_errors,
        sparsest,
    )
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
    from sipp_core.methods import prune_filters, prune_neurons
    from sipp_core.network import Except, multiply_adds, narrow
    from sipp_core.neurons import Ball, Box
    from sipp_core.pruning import Export, LayerReport, PruneResult, export, load, prune, save
    from sipp_core.runtime import Batch
    from sipp_core.sensitivity import (
        Calibration,
        LayerStatistics,
        calibrate,
        empirical_sensitivity,
        kernel,
    )
    from sipp_core.sharded import ShardedResult, prune_sharded
    from sipp_core.zoo import datasets, models, recipes, retraining, training
    from sipp_core.zoo import pretrained as shipped

    METHODS: tuple[str, ...]

__all__ = [
    "METHODS", "Ball", "Batch", "Box", "Calibration", "Certificate", "Channels", "Codebook",
    "Compressed", "Except", "Export", "FilterReport", "GroupReport", "LayerReport",
    "LayerStatistics", "LayerWorstCase", "LocalCertificates", "NeededBudget", "PruneResult",
    "RegionCertificate", "ShardedResult", "SparsestResult", "calibrate", "certify",
    "certify_around", "certify_region", "compress", "datasets", "decompress",
    "empirical_sensitivity", "export", "kernel", "learning_levels", "least_budget", "load",
    "methods", "models", "multiply_adds", "narrow", "nettrim", "neuron_order", "output_errors",
    "prune", "prune_filters", "prune_neurons", "prune_sharded", "rate_control", "recipes",
    "retraining", "save", "shipped", "sparsest", "training",
]  # fmt: skip

# Whoever wants one part (`sipp_core.svm` needs no torch) does not wait for the others.
_resolve = lazily(
    __name__,
    {
        "": "methods nettrim",
        "certificates": "Certificate LayerWorstCase LocalCertificates NeededBudget "
        "RegionCertificate SparsestResult certify certify_around certify_region least_budget "
        "output_errors sparsest",
        "compression": "Codebook Compressed compress decompress learning_levels neuron_order "
        "rate_control",
        "filters": "Channels FilterReport GroupReport",
        "methods": "prune_filters prune_neurons",
        "network": "Except multiply_adds narrow",
        "neurons": "Ball Box",
        "pruning": "Export LayerReport PruneResult export load prune save",
        "runtime": "Batch",
        "sensitivity": "Calibration LayerStatistics calibrate empirical_sensitivity kernel",
        "sharded": "ShardedResult prune_sharded",
        "zoo": "datasets models recipes retraining training pretrained",
    },
)


def __getattr__(name: str) -> object:
    """A public name on first use; `FilterResult` until the next release."""
    if name == "METHODS":
        from sipp_core.methods import registered

        return tuple(registered())
    if name == "FilterResult":
        warnings.warn(
            "FilterResult goes in the next release; prune_filters returns a PruneResult",
            DeprecationWarning,
            stacklevel=2,
        )
        return _resolve("PruneResult")
    return _resolve({"shipped": "pretrained"}.get(name, name))

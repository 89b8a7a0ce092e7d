"""Errors through a network (NW)."""

from __future__ import annotations

from sipp_theory.network import cancellation
from sipp_theory.network.cancellation import (
    TailEstimate,
    delta_hat,
    delta_ratio,
    hill_tail_index,
    kappa,
)
from sipp_theory.network.network import (
    NetworkSize,
    compose,
    corenet_network_size,
    corenet_network_size_bound,
    corenet_split,
    log_split,
)
from sipp_theory.network.propagation import absolute_propagation, interval_propagation

__all__ = [
    "NetworkSize", "TailEstimate", "absolute_propagation", "cancellation", "compose",
    "corenet_network_size", "corenet_network_size_bound", "corenet_split", "delta_hat",
    "delta_ratio", "hill_tail_index", "interval_propagation", "kappa", "log_split",
]  # fmt: skip

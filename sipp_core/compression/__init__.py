"""A network as a short file (GN-3): range coder, models of weights, quantization, search."""

from __future__ import annotations

from sipp_core.compression import architecture, neuron_order, rate_control
from sipp_core.compression.architecture import Architecture
from sipp_core.compression.compress import Compressed, compress, decompress, named_in
from sipp_core.compression.quantization import Codebook, learning_levels
from sipp_core.compression.rate_control import (
    RULES_BITS,
    UNPRUNED,
    Coded,
    Schedule,
    candidates,
    charged,
    search,
)

__all__ = [
    "RULES_BITS", "UNPRUNED", "Architecture", "Codebook", "Coded", "Compressed", "Schedule",
    "architecture", "candidates", "charged", "compress", "decompress", "learning_levels",
    "named_in", "neuron_order", "rate_control", "search",
]  # fmt: skip

"""What pruning a network of shards hands back: a folder with a checkpoint, and its report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What may be infinite, which JSON knows no number for.
REAL = ("eps", "measured")


@dataclass(frozen=True, eq=False)
class ShardedResult:
    """A pruned checkpoint on disk, and what was promised and measured of its layers.

    Attributes:
        folder: where the new shards, their index and `sipp.json` are.
        layers: of each pruned layer what `LayerReport.summary()` says: name, shape, nnz_before,
            nnz_after, eps, measured and counts of neurons.
        blocks: names of the blocks, in order.
        outside: names of the tensors outside them, which were copied as they are.
        method: method name.
        seed: seed of every draw.
        inputs: calibration inputs seen.
        holds_for: in words, which inputs the promises speak of.
        claims: THEORY ids that the promises rest on.
        notes: what a reader should know.
        arguments: the arguments of the call.
    """

    folder: Path
    layers: tuple[Mapping[str, Any], ...]
    blocks: tuple[str, ...]
    outside: tuple[str, ...]
    method: str
    seed: int
    inputs: int
    holds_for: str
    claims: tuple[str, ...]
    notes: tuple[str, ...]
    arguments: Mapping[str, object]

    @property
    def nnz_before(self) -> int:
        """Nonzero prunable weights before."""
        return sum(layer["nnz_before"] for layer in self.layers)

    @property
    def nnz_after(self) -> int:
        """Nonzero prunable weights after."""
        return sum(layer["nnz_after"] for layer in self.layers)

    @property
    def kept(self) -> float:
        """Fraction of the prunable weights that are left."""
        return self.nnz_after / sum(math.prod(layer["shape"]) for layer in self.layers)

    def summary(self) -> dict[str, object]:
        """Everything, ready for JSON; infinite errors are the text "inf"."""
        return vars(self) | {
            "folder": str(self.folder),
            "layers": [written(layer) for layer in self.layers],
            "nnz_before": self.nnz_before,
            "nnz_after": self.nnz_after,
            "kept": self.kept,
        }


def written(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's numbers as JSON has them."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in layer.items()
    }


def read(layer: Mapping[str, Any]) -> dict[str, Any]:
    """What `written` wrote."""
    return {k: float(v) if k in REAL and v is not None else v for k, v in layer.items()}

"""What a pruning run hands back: a network, and a report of each layer and of the whole."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sipp_core.filters.result import Channels, FilterReport
from sipp_core.network.structure import Change
from sipp_core.pruning.header import OPTIONAL_ARRAYS, REPORT_ARRAYS, SCALARS
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.saving import save
from sipp_core.runtime.numbers import Float


def _of_channels(report: object, channels: object, name: str) -> Any:
    """A field that stood in a result of its own for filters until 0.2."""
    if name.startswith("__") or not hasattr(channels, name):
        raise AttributeError(f"{type(report).__name__} has no attribute {name!r}")
    text = f".{name} goes in the next release; write .channels.{name}"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    return getattr(channels, name)


@dataclass(frozen=True, eq=False)
class LayerReport:
    """What pruning did to one layer.

    Attributes:
        name: qualified name of the layer.
        shape: (out, fan_in) of its matrix.
        nnz_before: nonzero weights before.
        nnz_after: nonzero weights after; of both factors of a low-rank layer.
        eps: worst relative error promised over the layer's neurons (0: exact; >= 1: vacuous);
            with bound="measured" the measured one.
        eps_neuron: (out,) float64 promised |z^ - z| <= eps z~ per neuron (SP-9).
        budgets: (2, out) int64 weights left per (sign, neuron), positive sign first.
        draws: (2, out) float64 draws with replacement (0: not drawn).
        sensitivity_sum: (2, out) float64 S_sum.
        whole: neurons kept whole.
        dead: neurons no input of the calibration set ever reached; their weights are removed, which
            is exact on that set.
        removed: neurons removed with their edges (CoreNet+).
        vacuous_neurons: neurons whose promise is 1 or more.
        measured: worst |z^ - z|/z~ over the neurons and over all rows of the calibration set, of
            the weights as stored (SP-12): certain there, with no statement about other inputs; None
            where the inputs could not be run again or the layer has another shape.
        measured_neuron: (out,) float64, the same per neuron.
        rows_per_input: rows that the layer of the original network received for each calibration
            input, on average: 1 in a classifier of vectors, the output's positions of a
            convolution, the tokens that count; None in files of earlier releases.
        channels: what became of its channels, where a method removes whole ones.
    """

    name: str
    shape: tuple[int, int]
    nnz_before: int
    nnz_after: int
    eps: float
    eps_neuron: Float
    budgets: np.ndarray
    draws: Float
    sensitivity_sum: Float
    whole: int
    dead: int
    removed: int
    vacuous_neurons: int
    measured: float | None = None
    measured_neuron: Float | None = None
    rows_per_input: float | None = None
    channels: FilterReport | None = None

    def __getattr__(self, name: str) -> Any:
        return _of_channels(self, vars(self).get("channels"), name)

    def summary(self) -> dict[str, object]:
        """Numbers of the report that fit a line, ready for JSON."""
        left_out = (*REPORT_ARRAYS, *OPTIONAL_ARRAYS, "channels", "shape")
        parts: dict[str, object] = {k: v for k, v in vars(self).items() if k not in left_out}
        return parts | {"shape": list(self.shape)}


@dataclass(frozen=True, eq=False)
class PruneResult:
    """A pruned model with everything needed to reproduce it and to know what it promises.

    Attributes:
        model: new model of the same class; the given one was not touched.
        layers: one report a pruned layer.
        method: method name.
        seed: seed of every draw.
        keep: fraction of prunable weights to keep, or None in guarantee mode.
        scope: "layer" or "global" (budget mode).
        eps: relative error allowed, or None in budget mode.
        delta: failure probability of the promises: per neuron and input; per network for CoreNet's
            own mode.
        bound: bound that made the promises.
        coverage_factor: C assumed of fresh inputs (1: the promises speak of calibration inputs).
        inputs: calibration inputs seen.
        distinct: distinct ones among them.
        vacuous: guarantee mode: no weight could be dropped but dead ones; budget mode: some neuron
            is promised nothing (eps >= 1).
        holds_for: in words, which inputs the promises speak of and with what probability.
        notes: what a reader should know (vacuous bounds and their factors, dead neurons, dtypes).
        claims: THEORY ids that the promises rest on.
        versions: versions of the packages used.
        original: fingerprint of the network that was pruned (SHA-256 of its state).
        masks: bool masks of the kept weights by layer name; none of a low-rank layer.
        plans: how each layer was sparsified, for drawing again; empty where a method writes new
            weights, and after `load` unless the file was saved with plans=True.
        digests: fingerprints of the calibration inputs.
        structure: layers that have another shape than in the network that was pruned.
        arguments: the other arguments of the call, the parameters of the method among them; empty
            for a file of an older release.
        channels: what became of whole channels, where the method removes them; None in files of
            earlier releases.
    """

    model: nn.Module
    layers: tuple[LayerReport, ...]
    method: str
    seed: int
    keep: float | None
    scope: str
    eps: float | None
    delta: float
    bound: str
    coverage_factor: float
    inputs: int
    distinct: int
    vacuous: bool
    holds_for: str
    notes: tuple[str, ...]
    claims: tuple[str, ...]
    versions: dict[str, str]
    original: str
    masks: Mapping[str, Tensor] = field(repr=False)
    plans: tuple[LayerPlan, ...] = field(repr=False)
    digests: frozenset[bytes] = field(repr=False)
    structure: tuple[Change, ...] = ()
    arguments: Mapping[str, object] = field(default_factory=dict)
    channels: Channels | None = None

    def __getattr__(self, name: str) -> Any:
        return _of_channels(self, vars(self).get("channels"), name)

    @property
    def nnz_before(self) -> int:
        """Nonzero prunable weights before."""
        return sum(layer.nnz_before for layer in self.layers)

    @property
    def nnz_after(self) -> int:
        """Nonzero prunable weights after."""
        return sum(layer.nnz_after for layer in self.layers)

    @property
    def kept(self) -> float:
        """Fraction of the prunable weights that are left."""
        size = sum(layer.shape[0] * layer.shape[1] for layer in self.layers)
        return self.nnz_after / size

    def save(self, path: str | PathLike[str], *, plans: bool = False) -> Path:
        """Write weights and report to one safetensors file, atomically; see `sipp_core.load`."""
        return save(self, path, plans=plans)

    def summary(self) -> dict[str, object]:
        """Everything but arrays and weights, ready for JSON."""
        names = (*SCALARS, "nnz_before", "nnz_after", "kept")
        parts: dict[str, object] = {} if self.channels is None else self.channels.summary()
        return (
            {name: getattr(self, name) for name in names}
            | parts
            | {
                "notes": list(self.notes),
                "claims": list(self.claims),
                "arguments": dict(self.arguments),
                "layers": [
                    layer.summary() | ({} if layer.channels is None else layer.channels.summary())
                    for layer in self.layers
                ],
            }
        )

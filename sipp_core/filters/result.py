"""What `prune_filters` returns: a smaller model with everything that was done and is promised."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from torch import nn

from sipp_core.runtime.numbers import Float


@dataclass(frozen=True, eq=False)
class FilterReport:
    """What became of one layer.

    Attributes:
        name: qualified name.
        before: (out, in) channels or features.
        after: (out, in) of the new layer.
        weights: how many it had.
        nnz_before: nonzero weights before.
        nnz_after: nonzero weights after.
        zeroed: filters set to zero that keep their place.
        kept_filters: indices of the filters that are left and not zero.
        kept_inputs: indices of the inputs that it still has and uses.
        multiplier: (in,) float64, what each of its inputs' weights was multiplied by; 0 if dropped.
        eps: promised |z^ - z| <= eps z~ for its pre-activations (0: exact; >= 1: vacuous).
        multiply_adds_before: of one input.
        multiply_adds_after: likewise.

    Claim: none (plumbing).
    """

    name: str
    before: tuple[int, int]
    after: tuple[int, int]
    weights: int
    nnz_before: int
    nnz_after: int
    zeroed: int
    kept_filters: np.ndarray
    kept_inputs: np.ndarray
    multiplier: Float
    eps: float
    multiply_adds_before: int
    multiply_adds_after: int

    def summary(self) -> dict[str, object]:
        """Numbers that fit a line, ready for JSON."""
        scalars: dict[str, object] = asdict(self)
        for name in ("kept_filters", "kept_inputs", "multiplier"):
            del scalars[name]
        return scalars | {"before": list(self.before), "after": list(self.after)}


@dataclass(frozen=True, eq=False)
class GroupReport:
    """What became of channels that compete.

    Attributes:
        producers: layers whose filters they are.
        consumers: layers that they enter.
        units: how many there were.
        kept: how many are left.
        dead: how many no calibration input ever sent anywhere; they are gone.
        sensitivity: (units,) float64, the largest share at any consumer.
        sensitivity_sum: S_sum.
        draws: with replacement; 0 if none were made.
        events: pre-activations (filters, signs, patches) that the promise is for at one input.
        eps: worst promise of its consumers.
        frozen: why its channels keep their place, as zeros; empty if they were removed.

    Claim: none (plumbing).
    """

    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    units: int
    kept: int
    dead: int
    sensitivity: Float
    sensitivity_sum: float
    draws: int
    events: int
    eps: float
    frozen: tuple[str, ...]

    def summary(self) -> dict[str, object]:
        """Everything but the sensitivities, ready for JSON."""
        scalars: dict[str, object] = asdict(self)
        del scalars["sensitivity"]
        names = ("producers", "consumers", "frozen")
        return scalars | {name: list(getattr(self, name)) for name in names}


@dataclass(frozen=True, eq=False)
class FilterResult:
    """A smaller model, and what it promises.

    Attributes:
        model: new model; the given one was not touched.
        layers: one report a prunable layer.
        groups: one report a group of channels.
        whole: why, by name of a layer of which no filter can go.
        shapes: (out, in) by name of every layer that shrank, for `narrow`.
        method: "filters-det" or "filters-rand".
        seed: seed of the draws.
        keep: fraction of prunable weights asked for, or None in guarantee mode.
        eps: relative error asked for, or None in budget mode.
        delta: failure probability for a group of channels at one input; all its pre-activations.
        bound: bound behind the sampled promises.
        coverage_factor: C assumed of fresh inputs (1: the promises speak of calibration inputs).
        inputs: calibration inputs seen.
        distinct: distinct ones among them.
        parameters_before: of the model.
        parameters_after: likewise.
        multiply_adds_before: of all Linear and Conv layers for one input.
        multiply_adds_after: likewise; zeros that keep their place count.
        vacuous: guarantee mode: only dead channels could go; budget mode: some layer is promised
            nothing (eps >= 1).
        holds_for: in words, which inputs the promises speak of and with what probability.
        notes: what a reader should know.
        claims: THEORY ids that the promises rest on.
        versions: versions of the packages used.
        original: fingerprint of the network that was pruned.
        digests: fingerprints of the calibration inputs.

    Claim: none (plumbing).
    """

    model: nn.Module
    layers: tuple[FilterReport, ...]
    groups: tuple[GroupReport, ...]
    whole: dict[str, str]
    shapes: dict[str, tuple[int, int]]
    method: str
    seed: int
    keep: float | None
    eps: float | None
    delta: float
    bound: str
    coverage_factor: float
    inputs: int
    distinct: int
    parameters_before: int
    parameters_after: int
    multiply_adds_before: int
    multiply_adds_after: int
    vacuous: bool
    holds_for: str
    notes: tuple[str, ...]
    claims: tuple[str, ...]
    versions: dict[str, str]
    original: str
    digests: frozenset[bytes] = field(repr=False)

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
        return self.nnz_after / sum(layer.weights for layer in self.layers)

    def summary(self) -> dict[str, object]:
        """Everything but arrays and weights, ready for JSON."""
        names = ("method", "seed", "keep", "eps", "delta", "bound", "coverage_factor", "inputs",
                 "distinct", "parameters_before", "parameters_after", "vacuous", "holds_for",
                 "versions", "original", "nnz_before", "nnz_after", "kept",
                 "multiply_adds_before", "multiply_adds_after", "whole")  # fmt: skip
        return {name: getattr(self, name) for name in names} | {
            "notes": list(self.notes),
            "claims": list(self.claims),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "layers": [layer.summary() for layer in self.layers],
            "groups": [group.summary() for group in self.groups],
        }

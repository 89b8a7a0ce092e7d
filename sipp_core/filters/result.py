"""What became of channels: of each layer, of each group that competes, and of the whole network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from torch import nn

from sipp_core.filters.groups import GroupChoice, GroupTable, dead
from sipp_core.filters.rebuild import Ends
from sipp_core.network.layers import PrunableLayer
from sipp_core.network.packed import layer_of
from sipp_core.network.structure import channel_shape
from sipp_core.runtime.numbers import Float


@dataclass(frozen=True, eq=False)
class FilterReport:
    """What became of the channels of one layer.

    Attributes:
        name: qualified name.
        before: (out, in) channels or features.
        after: (out, in) of the new layer.
        zeroed: filters set to zero that keep their place.
        kept_filters: indices of the filters that are left and not zero.
        kept_inputs: indices of the inputs that it still has and uses.
        multiplier: (in,) float64, what each of its inputs' weights was multiplied by; 0 if dropped.
        eps: promised |z^ - z| <= eps z~ for its pre-activations (0: exact; >= 1: vacuous).
        multiply_adds_before: of one input.
        multiply_adds_after: likewise.
    """

    name: str
    before: tuple[int, int]
    after: tuple[int, int]
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
        error: of neurons chosen for a region, what its consumers' pre-activations move by at most
            at each input of it; None for filters, whose promise is relative.
        region_error: likewise, at all its inputs at once; +inf where no bound speaks of them.
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
    error: float | None = None
    region_error: float | None = None

    def summary(self) -> dict[str, object]:
        """Everything but the sensitivities, ready for JSON."""
        scalars: dict[str, object] = asdict(self)
        del scalars["sensitivity"]
        names = ("producers", "consumers", "frozen")
        return scalars | {name: list(getattr(self, name)) for name in names}


@dataclass(frozen=True, eq=False)
class Channels:
    """What became of the channels of a network.

    Attributes:
        groups: one report a group of channels.
        whole: why, by name of a layer of which no filter can go.
        shapes: (out, in) by name of every layer that shrank, for `narrow`.
        parameters_before: of the model.
        parameters_after: likewise.
        multiply_adds_before: of all Linear and Conv layers for one input.
        multiply_adds_after: likewise; zeros that keep their place count.
    """

    groups: tuple[GroupReport, ...]
    whole: dict[str, str]
    shapes: dict[str, tuple[int, int]]
    parameters_before: int
    parameters_after: int
    multiply_adds_before: int
    multiply_adds_after: int

    def summary(self) -> dict[str, object]:
        """Everything but arrays, ready for JSON."""
        return vars(self) | {
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "groups": [group.summary() for group in self.groups],
        }


def layer_report(
    layer: PrunableLayer, new: nn.Module, end: Ends | None, eps: Mapping[str, float],
    costs: tuple[dict[str, int], dict[str, int]],
) -> FilterReport:  # fmt: skip
    """Report what became of one layer."""
    smaller = layer_of(new, layer.name)
    out, before = channel_shape(layer.module)
    if end is None:
        end = Ends(np.ones(out, bool), np.ones(out, bool), np.ones(before), np.ones(before, bool))
    passes = 1 < layer.groups == before
    return FilterReport(
        name=layer.name,
        before=(out, before),
        after=channel_shape(smaller),
        zeroed=int((end.stay & ~end.filters).sum()),
        kept_filters=np.flatnonzero(end.filters),
        kept_inputs=np.flatnonzero(end.wired if passes else end.multiplier != 0),
        multiplier=end.multiplier,
        eps=eps.get(layer.name, 0.0),
        multiply_adds_before=costs[0][layer.name],
        multiply_adds_after=costs[1][layer.name],
    )


def group_report(table: GroupTable, choice: GroupChoice) -> GroupReport:
    """Report what became of one group of channels."""
    return GroupReport(
        producers=table.group.producers,
        consumers=tuple(table.group.inputs),
        units=table.group.units,
        kept=int(choice.kept.sum()),
        dead=dead(table),
        sensitivity=table.sensitivity,
        sensitivity_sum=table.total,
        draws=choice.draws,
        events=table.events,
        eps=max(choice.eps.values()),
        frozen=table.group.frozen,
    )


def is_vacuous(groups: Sequence[GroupReport], guaranteed: bool) -> bool:
    """Whether the run promises nothing, or could remove nothing under its promise."""
    if guaranteed:
        return all(group.kept >= group.units - group.dead for group in groups)
    return any(group.eps >= 1 for group in groups)


def notes(
    groups: Sequence[GroupReport], whole: Mapping[str, str], guaranteed: bool
) -> tuple[str, ...]:
    """Say what a reader should know."""
    lines = []
    if is_vacuous(groups, guaranteed):
        lines.append(
            "vacuous: the bound asks for as many channels as there are, so only channels that no "
            "input reached were removed"
            if guaranteed
            else "vacuous: some layer is promised nothing (eps >= 1); certify the network instead"
        )
    for group in groups:
        if group.frozen and group.kept < group.units:
            lines.append(
                f"{group.units - group.kept} of {group.units} channels of "
                f"{', '.join(group.producers)} are zero but keep their place: "
                + "; ".join(group.frozen[:3])
            )
    gone = sum(group.dead for group in groups)
    if gone:
        lines.append(f"{gone} channels that no calibration input sent anywhere were dropped")
    lines += [f"layer {name!r} keeps all its filters: {why}" for name, why in whole.items()]
    return tuple(lines)

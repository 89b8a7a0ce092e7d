"""What removing filters says of itself: reports, notes, claims, and what its promises hold for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from sipp_core.filters.groups import GroupChoice, GroupTable, dead
from sipp_core.filters.rebuild import Ends
from sipp_core.filters.result import FilterReport, GroupReport
from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.network.structure import channel_shape


def layer_report(
    layer: PrunableLayer, new: nn.Module, end: Ends | None, eps: Mapping[str, float],
    costs: tuple[dict[str, int], dict[str, int]],
) -> FilterReport:  # fmt: skip
    """Report what became of one layer."""
    smaller = new.get_submodule(layer.name)
    out, before = channel_shape(layer.module)
    if end is None:
        end = Ends(np.ones(out, bool), np.ones(out, bool), np.ones(before), np.ones(before, bool))
    passes = layer.groups > 1
    return FilterReport(
        name=layer.name,
        before=(out, before),
        after=channel_shape(smaller),
        weights=layer.weight.numel(),
        nnz_before=int((layer.weight != 0).sum()),
        nnz_after=int((weight_of(smaller) != 0).sum()),
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


def holds_for(method: str, delta: float, factor: float) -> str:
    """Say what the promises hold for."""
    inputs = (
        "every calibration input"
        if factor == 1
        else f"every input at which no channel's share exceeds {factor:g} times its sensitivity"
    )
    chance = (
        "with certainty"
        if method == "filters-det"
        else f"with probability {1 - delta:g} over the draws at each input, a group at a time"
    )
    return (
        f"{inputs}, all filters and patches of a layer at once, {chance}; each relative to the "
        "layer's own input"
    )


def claims_of(method: str, bound: str) -> tuple[str, ...]:
    """Name the claims that the promises rest on."""
    if method == "filters-det":
        return "PF-2", "SP-6"
    return ("PF-2", "SP-1") if bound == "bernstein" else ("PF-1", "SP-1")


def notes(
    groups: Sequence[GroupReport], whole: Mapping[str, str], guaranteed: bool
) -> tuple[str, ...]:
    """Say what a reader should know."""
    found = []
    if is_vacuous(groups, guaranteed):
        found.append(
            "vacuous: the bound asks for as many channels as there are, so only channels that no "
            "input reached were removed"
            if guaranteed
            else "vacuous: some layer is promised nothing (eps >= 1); certify the network instead"
        )
    for group in groups:
        if group.frozen and group.kept < group.units:
            found.append(
                f"{group.units - group.kept} of {group.units} channels of "
                f"{', '.join(group.producers)} are zero but keep their place: "
                + "; ".join(group.frozen[:3])
            )
    gone = sum(group.dead for group in groups)
    if gone:
        found.append(f"{gone} channels that no calibration input sent anywhere were dropped")
    found += [f"layer {name!r} keeps all its filters: {why}" for name, why in whole.items()]
    return tuple(found)

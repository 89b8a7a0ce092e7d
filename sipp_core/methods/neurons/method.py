"""What all coresets of neurons share: a region, what of each group stays, the smaller network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sipp_core.methods.neurons.reporting import eps_by_layer, notes_on, report_of
from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.network.structure import Change
from sipp_core.neurons.budget import within
from sipp_core.neurons.reading import tables_of
from sipp_core.neurons.regions import Ball, Box, Region, box_ends
from sipp_core.neurons.removal import (
    Pairs,
    channels_of,
    corrections,
    costs_of,
    ends_of,
    layer_report,
    smaller,
)
from sipp_core.neurons.selection import Amount, Selection, whole
from sipp_core.neurons.tables import NeuronTable
from sipp_core.pruning.method import Method, Needs, Promise, Pruned
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.table import make_tables
from sipp_core.runtime.arguments import at_least_0
from sipp_core.sensitivity.calibrate import Calibration

FROM_DATA = "data"
Choose = Callable[[Amount], Selection]


@dataclass(frozen=True)
class Neurons(Method):
    """Remove hidden neurons and channels, with a promise for every input of a region.

    A subclass says by `chooser` which neurons of a group stay. `prune_neurons` says what becomes of
    a network; this is the same as a method of `prune`.

    Attributes:
        region: a Box or a Ball; "0:1" for the box of all inputs from 0 to 1; "data" for the least
            box around the calibration inputs.
        margin: by how much that box is wider on every side.
        neurons: how many stay of each group, a number >= 1 or a fraction below 1; 0 lets `keep`
            or `eps` decide.

    Claim: NC-1 to NC-9. Source: [MU] arXiv 1907.04018, arXiv 2008.08316, 2209.08554, [OWN].
    """

    region: Region | str = FROM_DATA
    margin: float = 0.0
    neurons: float = 0.0
    redraws = False
    takes = frozenset({"keep", "eps"})
    default_scope = "global"
    corrected = True  # next biases take the middles of what is dropped
    fits = False  # looks at the inputs themselves, not at the region alone
    claims: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if isinstance(self.region, str) and self.region != FROM_DATA:
            box_ends(self.region)
        if not isinstance(self.region, str | Box | Ball):
            raise TypeError(f"region must be a Box or a Ball; found {type(self.region).__name__}")
        at_least_0("margin", self.margin)
        if self.margin and self.region != FROM_DATA:
            raise ValueError("margin is for the box around data; widen the region itself")
        neurons = at_least_0("neurons", self.neurons)
        if neurons >= 1 and neurons != int(neurons):
            raise ValueError(
                f"neurons must be a whole number or a fraction below 1; found {self.neurons!r}"
            )

    @abstractmethod
    def chooser(self, request: Request, table: NeuronTable, index: int, inputs: Tensor) -> Choose:
        """What stays of one group, for any number of neurons or error."""

    def remarks(self, table: NeuronTable, selection: Selection, delta: float) -> list[str]:
        """What a reader should know of one group besides."""
        return []

    def settings(self) -> dict[str, object]:
        """Parameters by name, the region in words."""
        region = self.region if isinstance(self.region, str) else self.region.words()
        return {"region": region, "margin": self.margin, "neurons": self.neurons}

    def check(self, request: Request) -> None:
        """A number of neurons leaves nothing for a budget or an error to decide."""
        if self.neurons and not (isinstance(request.target, Keep) and request.target.fraction == 1):
            raise ValueError("neurons= says what stays; give keep=1 beside it, and no eps")

    def needs(self, request: Request) -> Needs:
        """The inputs: for the box around them, for what is fitted, and for their shape."""
        return Needs(inputs=True)

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Remove neurons in a copy of the model."""
        inputs = calibration.held_inputs
        if not isinstance(inputs, Tensor):
            raise TypeError("neurons go from models of one input tensor; found a Batch of several")
        region = self._over(inputs)
        model, prunable = request.model, [layer.layer for layer in calibration.layers]
        tables, kept_whole = tables_of(model, inputs, region, prunable)
        widest = max(table.group.units for table in tables)
        if self.neurons > widest:
            raise ValueError(
                f"neurons={self.neurons:g} removes none: the widest layer has {widest}"
            )
        pairs = self._choose(request, tables, inputs, prunable, kept_whole)
        ends = ends_of(model, pairs)
        new = smaller(model, pairs, ends, corrections(pairs, self.corrected))
        costs = costs_of(model, new, inputs[:1])
        channels = channels_of(model, new, pairs, kept_whole, ends, costs)
        eps = eps_by_layer(pairs)
        reports = []
        for table, layer in zip(make_tables(request, calibration.layers), prunable, strict=True):
            report = layer_report(layer, new, ends.get(layer.name), eps.get(layer.name, 0.0), costs)
            reports.append(report_of(table, report, new))
        notes = [
            f"region: {region.words()}",
            f"parameters {channels.parameters_before:,} to {channels.parameters_after:,}",
        ]
        for table, selection in pairs:
            notes += notes_on(table, selection, self.corrected)
            if not selection.kept.all():
                notes += self.remarks(table, selection, request.delta)
        notes += [f"layer {n!r} keeps its neurons: {why}" for n, why in kept_whole.items()]
        return Pruned(
            new, tuple(reports),
            {
                r.name: weight_of(new.get_submodule(r.name)).detach() != 0
                for r in reports
                if r.channels is not None and r.channels.before == r.channels.after
            },
            all(s.kept.all() for _, s in pairs) if request.guaranteed
            else any(s.eps >= 1 for _, s in pairs),
            structure=tuple(Change(n, "narrow", sizes) for n, sizes in channels.shapes.items()),
            notes=tuple(notes), channels=channels,
        )  # fmt: skip

    def _over(self, inputs: Tensor) -> Region:
        """The region, of the shape of the inputs."""
        region = self.region
        if region == FROM_DATA:
            return Box.from_data(inputs, self.margin)
        if isinstance(region, str):
            low, high = box_ends(region)
            return Box(torch.full(inputs.shape[1:], low), torch.full(inputs.shape[1:], high))
        if region.shape != tuple(inputs.shape[1:]):
            raise ValueError(
                f"the region has inputs of shape {region.shape}, the calibration of "
                f"{tuple(inputs.shape[1:])}"
            )
        return region

    def _choose(
        self, request: Request, tables: Sequence[NeuronTable], inputs: Tensor,
        prunable: Sequence[PrunableLayer], kept_whole: dict[str, str],
    ) -> Pairs:  # fmt: skip
        choosers = [
            self.chooser(request, table, index, inputs) for index, table in enumerate(tables)
        ]

        def at(share: float, exact: bool, whole_number: bool = False) -> Pairs:
            pairs = []
            for table, choose in zip(tables, choosers, strict=True):
                n = table.group.units
                count = max(1, min(n, int(share) if whole_number else round(share * n)))
                amount = Amount(count, exact, None, request.delta)
                pairs.append((table, whole(table) if count == n else choose(amount)))
            return pairs

        target = request.target
        if not isinstance(target, Keep):
            amount = Amount(None, True, target.eps, request.delta)
            return [(t, choose(amount)) for t, choose in zip(tables, choosers, strict=True)]
        if self.neurons:
            return at(self.neurons, True, self.neurons >= 1)
        return within(
            target.fraction, request.model, prunable, lambda share: at(share, False), kept_whole
        )

    def promise(self, request: Request) -> Promise:
        """NC-1g at each input; with certainty where nothing is drawn."""
        text = (
            "every input of the region, adversarial or not; eps is |z^ - z| over the mass t of the "
            "neurons that were looked at, for each layer whose inputs were dropped, over the range "
            "of the original layers below"
        )
        if self.certain:
            return Promise(self.claims, f"{text}, with certainty, for the weights as chosen")
        return Promise(
            self.claims,
            f"{text}, at each input by itself with probability {1 - request.delta:g} over the "
            "draws; certify_region says what holds at all inputs at once",
        )

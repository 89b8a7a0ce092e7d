"""Neuron coresets: whole hidden neurons and channels go, for every input of a region."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.filters.rebuild import left, nonzeros
from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.network.selection import LayerChoice
from sipp_core.network.structure import Change
from sipp_core.neurons.probabilities import probabilities, relative_promise
from sipp_core.neurons.reading import INPUTS, reads, tables_of
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
from sipp_core.neurons.selection import (
    Ask,
    Pursuit,
    Selection,
    drawn,
    largest,
    means_of,
    whole,
)
from sipp_core.neurons.tables import NeuronTable
from sipp_core.pruning.method import Facts, Method, Needs, Promise, Pruned, register
from sipp_core.pruning.prune import prune
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.result import LayerReport, PruneResult
from sipp_core.pruning.table import Table, make_tables
from sipp_core.runtime.execution import Progress
from sipp_core.sensitivity.calibrate import Calibration

Rule = Literal["mussay", "mussay-corrected", "norm", "omp", "cone", "uniform", "tukan"]
FROM_DATA = "data"
MUSSAY = "arXiv 1907.04018"
FACTS: dict[Rule, Facts] = {
    "mussay": Facts("Neurons, Mussay", "peer", "Hidden neurons are drawn by |w| phi(beta |p|) and "
                    "the others removed, as the paper has it.", MUSSAY),
    "mussay-corrected": Facts("Neurons, corrected", "peer", "Hidden neurons are drawn by how far "
                              "they move the next layer about the middle of their range, and next "
                              "biases are corrected.", "[OWN] NC-1g"),
    "norm": Facts("Neurons, largest", "peer", "Hidden neurons of largest |w| |p| stay, and next "
                  "biases are corrected.", "[OWN]"),
    "omp": Facts("Neurons, pursuit", "peer", "Hidden neurons are chosen one by one to explain the "
                 "next layer on the inputs, and refitted.", "Tropp, Gilbert and Strauss 2006"),
    "cone": Facts("Neurons, cone", "peer", "Hidden neurons are drawn by their largest share at any "
                  "input of the cone, one linear program each.", "[OWN] NC-8"),
    "uniform": Facts("Neurons, uniform", "peer", "Hidden neurons are drawn uniformly, and next "
                     "biases are corrected.", "[OWN]"),
    "tukan": Facts("Neurons, peeled", "peer", "Hidden neurons are drawn by the rounds in which "
                   "l_inf coresets peel them off.", "arXiv 2209.08554"),
}  # fmt: skip
CLAIMS: dict[Rule, tuple[str, ...]] = {
    "mussay": ("NC-1", "NC-3g", "NC-5"),
    "mussay-corrected": ("NC-1g", "NC-3g", "NC-5"),
    "norm": ("NC-1g", "NC-7"),
    "omp": ("NC-1g", "NC-7"),
    "cone": ("NC-8", "NC-1g"),
    "uniform": ("NC-1g", "NC-3g", "NC-5"),
    "tukan": ("NC-9", "NC-1g"),
}
CERTAIN = ("norm", "omp")
# The paper corrects nothing, and a relative promise needs none.
UNCORRECTED = ("mussay", "cone")


@dataclass(frozen=True)
class Neurons(Method):
    """Remove hidden neurons and channels, with a promise for every input of a region.

    `prune_neurons` says what becomes of a network; this is the same as a method of `prune`.

    Attributes:
        rule: how neurons are chosen.
        region: a Box or a Ball; "0:1" for the box of all inputs from 0 to 1; "data" for the least
            box around the calibration inputs.
        margin: by how much that box is wider on every side.
        neurons: how many stay of each group, a number >= 1 or a fraction below 1; 0 lets `keep`
            or `eps` decide.

    Claim: NC-1 to NC-9. Source: [MU] arXiv 1907.04018, arXiv 2008.08316, 2209.08554, [OWN].
    """

    rule: Rule = "mussay"
    region: Region | str = FROM_DATA
    margin: float = 0.0
    neurons: float = 0.0
    name: str = field(init=False, repr=False)
    facts: Facts = field(init=False, repr=False)
    random: bool = field(init=False, repr=False)
    certain: bool = field(init=False, repr=False)
    redraws = False
    takes: frozenset[str] = field(init=False, repr=False)
    default_scope = "global"

    def __post_init__(self) -> None:
        if self.rule not in FACTS:
            raise ValueError(f"method must be one of {', '.join(FACTS)}; found {self.rule!r}")
        if isinstance(self.region, str) and self.region != FROM_DATA:
            box_ends(self.region)
        if not isinstance(self.region, str | Box | Ball):
            raise TypeError(f"region must be a Box or a Ball; found {type(self.region).__name__}")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise ValueError(f"margin must be at least 0; found {self.margin!r}")
        if self.margin and self.region != FROM_DATA:
            raise ValueError("margin is for the box around data; widen the region itself")
        if not (0 <= self.neurons < 1 or self.neurons == int(self.neurons)):
            raise ValueError(
                f"neurons must be a whole number or a fraction below 1; found {self.neurons!r}"
            )
        object.__setattr__(self, "name", f"neurons-{self.rule}")
        object.__setattr__(self, "facts", FACTS[self.rule])
        object.__setattr__(self, "certain", self.rule in CERTAIN)
        object.__setattr__(self, "random", self.rule not in CERTAIN)
        takes = {"keep"} if self.rule == "omp" else {"keep", "eps"}
        object.__setattr__(self, "takes", frozenset(takes))

    def settings(self) -> dict[str, object]:
        """Parameters by name, the region in words."""
        region = self.region if isinstance(self.region, str) else self.region.words()
        return {
            "rule": self.rule, "region": region, "margin": self.margin, "neurons": self.neurons,
        }  # fmt: skip

    def check(self, request: Request) -> None:
        """A number of neurons leaves nothing for a budget or an error to decide."""
        if self.neurons and not (isinstance(request.target, Keep) and request.target.fraction == 1):
            raise ValueError("neurons= says what stays; give keep=1 beside it, and no eps")

    def needs(self, request: Request) -> Needs:
        """The inputs: for the box around them, for the pursuit, and for their shape."""
        return Needs(inputs=True)

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Remove neurons in a copy of the model."""
        inputs = calibration.held_inputs
        if not isinstance(inputs, Tensor):
            raise TypeError("neurons go from models of one input tensor; found a Batch of several")
        region = self.region
        if region == FROM_DATA:
            region = Box.from_data(inputs, self.margin)
        elif isinstance(region, str):
            low, high = box_ends(region)
            region = Box(torch.full(inputs.shape[1:], low), torch.full(inputs.shape[1:], high))
        if region.shape != tuple(inputs.shape[1:]):
            raise ValueError(
                f"the region has inputs of shape {region.shape}, the calibration of "
                f"{tuple(inputs.shape[1:])}"
            )
        model, prunable = request.model, [layer.layer for layer in calibration.layers]
        tables, kept_whole = tables_of(model, inputs, region, prunable)
        pairs = self._choose(request, tables, inputs, prunable, kept_whole)
        ends = ends_of(model, pairs)
        means = {}
        if self.rule == "omp":
            for table, selection in pairs:
                if not selection.kept.all():
                    means |= means_of(table, reads(model, inputs, table, request.seed))
        taken = corrections(pairs, self.rule not in UNCORRECTED, means)
        new = smaller(model, pairs, ends, taken)
        costs = costs_of(model, new, inputs[:1])
        channels = channels_of(model, new, pairs, kept_whole, ends, costs)
        eps = _by_consumer(pairs)
        sums = make_tables(request, calibration.layers)
        reports = []
        for table, layer in zip(sums, prunable, strict=True):
            found = layer_report(layer, new, ends.get(layer.name), eps.get(layer.name, 0.0), costs)
            reports.append(_report(table, found, new))
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
            notes=_notes(
                region, pairs, kept_whole, self.rule, request.delta,
                channels.parameters_before, channels.parameters_after,
            ),
            channels=channels,
        )  # fmt: skip

    def _choose(
        self, request: Request, tables: Sequence[NeuronTable], inputs: Tensor,
        prunable: Sequence[PrunableLayer], kept_whole: dict[str, str],
    ) -> Pairs:  # fmt: skip
        choosers = [
            self._chooser(request, table, index, inputs) for index, table in enumerate(tables)
        ]

        def at(share: float, exact: bool, whole_number: bool = False) -> Pairs:
            pairs = []
            for table, choose in zip(tables, choosers, strict=True):
                n = table.group.units
                count = max(1, min(n, int(share) if whole_number else round(share * n)))
                ask = Ask(count, exact, None, request.delta)
                pairs.append((table, whole(table) if count == n else choose(ask)))
            return pairs

        target = request.target
        if not isinstance(target, Keep):
            ask = Ask(None, True, target.eps, request.delta)
            return [(t, choose(ask)) for t, choose in zip(tables, choosers, strict=True)]
        if self.neurons:
            return at(self.neurons, True, self.neurons >= 1)
        counts = {layer.name: nonzeros(layer) for layer in prunable}
        size = sum(layer.weight.numel() for layer in prunable)
        budget = math.floor(target.fraction * size + 1e-9)

        def weights(pairs: Pairs) -> int:
            ends = ends_of(request.model, pairs)
            return sum(left(counts[name], ends.get(name)) for name in counts)

        low, high = 0.0, 1.0
        if weights(best := at(1.0, False)) <= budget:
            return best
        best = at(0.0, False)
        if (least := weights(best)) > budget:
            raise ValueError(
                f"keep={target.fraction!r} cannot be met: with one neuron left in each group "
                f"{least} of {size} weights remain, so keep must be at least {least / size:.4g} "
                f"(whole: {', '.join(map(repr, kept_whole)) or 'none'})"
            )
        widest = max(table.group.units for table in tables)
        while high - low > 0.5 / widest:
            middle = (low + high) / 2
            pairs = at(middle, False)
            if weights(pairs) <= budget:
                low, best = middle, pairs
            else:
                high = middle
        return best

    def _chooser(
        self, request: Request, table: NeuronTable, index: int, inputs: Tensor
    ) -> Callable[[Ask], Selection]:
        if self.rule == "norm":
            scores = table.heaviest * np.linalg.norm(table.incoming, axis=1)
            return lambda ask: largest(table, scores, ask)
        if self.rule == "omp":
            pursuit = Pursuit(table, reads(request.model, inputs, table, request.seed))
            return lambda ask: pursuit.select(ask.count or table.group.units)
        q = probabilities(self.rule, table)
        corrected = self.rule not in UNCORRECTED
        return lambda ask: drawn(table, q, ask, request.seed, index, corrected)

    def promise(self, request: Request) -> Promise:
        """NC-1g at each input; with certainty where nothing is drawn."""
        text = (
            "every input of the region, adversarial or not; eps is |z^ - z| over the mass t of the "
            "neurons that were looked at, for each layer whose inputs were dropped, over the range "
            "of the original layers below"
        )
        if self.certain:
            return Promise(CLAIMS[self.rule], f"{text}, with certainty, for the weights as chosen")
        return Promise(
            CLAIMS[self.rule],
            f"{text}, at each input by itself with probability {1 - request.delta:g} over the "
            "draws; certify_region says what holds at all inputs at once",
        )


for _rule in FACTS:
    register(Neurons(_rule))


def _by_consumer(pairs: Pairs) -> dict[str, float]:
    """Promised error of each layer, over the mass; those of several groups add up."""
    found: dict[str, float] = {}
    for table, selection in pairs:
        for c in table.consumers:
            found[c.name] = found.get(c.name, 0.0) + selection.eps
    return found


def _notes(
    region: Region,
    pairs: Pairs,
    kept_whole: dict[str, str],
    rule: Rule,
    delta: float,
    before: int,
    after: int,
) -> tuple[str, ...]:
    notes = [f"region: {region.words()}", f"parameters {before:,} to {after:,}"]
    for table, s in pairs:
        names = ", ".join(table.group.producers)
        if s.kept.all():
            notes.append(f"{names} keeps all its {len(s.kept)} neurons")
            continue
        how = f"{s.draws} draws, " if s.draws else ""
        over = f"{s.region_error:.4g}" if math.isfinite(s.region_error) else "nothing (NC-3g needs"
        over += "" if math.isfinite(s.region_error) else " one activation and no maximum)"
        notes.append(
            f"{names}: {int(s.kept.sum())} of {len(s.kept)} neurons, {how}next pre-activations "
            f"within {s.error:.4g} at one input, over the region {over}; vacuous where these pass "
            f"the pre-activations themselves"
        )
        if rule == "tukan" and len(s.kept) < 2 * np.linalg.matrix_rank(table.incoming) ** 2:
            notes.append(f"{names}: fewer than 2 r^2 neurons, so peeling draws uniformly (NC-9)")
        if rule == "cone":
            notes.append(relative_promise(table, s, delta))
        missing = [c.name for c in table.consumers if not c.biased]
        if missing and rule not in UNCORRECTED:
            notes.append(f"no bias takes the correction in {', '.join(missing)}")
    return (*notes, *(f"layer {n!r} keeps its neurons: {why}" for n, why in kept_whole.items()))


def _report(table: Table, report: object, new: nn.Module) -> LayerReport:
    """One layer's report in the words of all methods; neurons are those of the old layer."""
    from sipp_core.filters.result import FilterReport

    assert isinstance(report, FilterReport)
    out = table.weight.shape[0]
    held = weight_of(new.get_submodule(report.name)).detach().flatten(1).double().cpu().numpy()
    rows = np.arange(out) if len(held) == out else report.kept_filters
    budgets = np.zeros((2, out), dtype=np.int64)
    for sign, mask in enumerate((held > 0, held < 0)):
        budgets[sign, rows] = mask.sum(axis=1)
    eps = np.zeros(out)
    eps[report.kept_filters] = report.eps
    live = (table.total > 0).any(axis=0)
    return LayerReport(
        name=report.name, shape=(out, table.weight.shape[1]),
        nnz_before=int((table.weight != 0).sum()), nnz_after=int(np.count_nonzero(held)),
        eps=float(eps.max(initial=0.0)), eps_neuron=eps, budgets=budgets,
        draws=np.zeros_like(table.total), sensitivity_sum=table.total, whole=0,
        dead=int((~live).sum()), removed=out - len(report.kept_filters),
        vacuous_neurons=int((eps >= 1).sum()), channels=report,
    )  # fmt: skip


def prune_neurons(
    model: nn.Module,
    region: Region,
    *,
    method: Rule | str = "mussay",
    keep: float | None = None,
    neurons: float | None = None,
    eps: float | None = None,
    delta: float | None = None,
    data: Tensor | None = None,
    seed: int = 0,
    layers: LayerChoice = None,
    progress: Progress | None = None,
) -> PruneResult:
    """Remove hidden neurons and channels of a trained model, promised for every input of a region.

    Neurons of a layer that no sum joins with others are drawn or chosen, the others removed with
    their weights; the next layers are re-weighted, and their biases (or the BatchNorm behind them)
    corrected by the middles of what was dropped. A channel is one neuron, its weights summed over
    the kernel (NC-5). BatchNorm is folded in eval mode, pooling keeps the promise at one input.
    Channels that sums join keep their place and are named with the reason.

    Each promise is for one layer's pre-activations over the range of the original layers below, in
    units of the layer's mass t; `certify_region` says what holds of the result, and is sharper.

    Args:
        model: nn.Module of one input tensor whose graph torch.fx can record; never changed.
        region: a Box or Ball of inputs, without the batch axis.
        method: "mussay" (as the paper), "mussay-corrected" (NC-1g), "norm" (largest |w| |p|), "omp"
            (matching pursuit with refit), "cone" (NC-8), "uniform" or "tukan" (NC-9).
        keep: fraction of the prunable weights to keep, in (0, 1].
        neurons: how many neurons of each layer, or a fraction below 1; draws then stay unbiased.
        eps: error in units of t, in (0, 1): the fewest neurons that promise it.
        delta: failure probability of a layer at one input, in (0, 1); 0.05 unless given.
        data: inputs (n, ...) that "omp" fits; without them random inputs of the region,
            2,048 or 64 images.
        seed: seed of every draw, >= 0.
        layers: which layers may change (see `calibrate`); None for all.
        progress: callback (done, total, what).

    Returns:
        The result; `result.model` is a deep copy with smaller layers, `result.channels` says what
        was promised of each group.

    Raises:
        TypeError: wrong types of model, region or numbers.
        ValueError: anything out of range, an operation that no bound knows, no neuron that could
            go, a budget that cannot be met; nothing has been changed.

    Claim: NC-1 to NC-9. Source: [MU] arXiv 1907.04018, arXiv 2008.08316, 2209.08554, [OWN].

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> result = prune_neurons(net, Box(torch.zeros(4), torch.ones(4)), method="norm", keep=0.5)
        >>> result.model[0].weight.shape
        torch.Size([4, 4])
    """
    if not isinstance(region, Box | Ball):
        raise TypeError(f"region must be a Box or a Ball; found {type(region).__name__}")
    if data is not None and method not in ("omp", "neurons-omp"):
        raise ValueError(f"data is what 'omp' fits; method {method!r} looks at none")
    if (keep is None) + (neurons is None) + (eps is None) != 2:
        raise ValueError(
            f"give one of keep, neurons and eps; found {keep!r}, {neurons!r} and {eps!r}"
        )
    if neurons is not None:
        if neurons <= 0:
            raise ValueError(f"neurons must be above 0; found {neurons!r}")
        keep = 1.0
    rule = Neurons(str(method).removeprefix("neurons-"), region, neurons=neurons or 0.0)  # type: ignore[arg-type]
    if eps is not None and delta is None and not rule.certain:
        delta = 0.05
    parameters = next(model.parameters(), None)
    # Each image is many rows.
    count = INPUTS if rule.rule == "omp" and len(region.shape) == 1 else 64
    inputs = region.sample(count, seed) if data is None else data
    if parameters is not None:
        inputs = inputs.to(parameters.dtype)
    return prune(
        model, inputs, method=rule, keep=keep, eps=eps, delta=delta, seed=seed, layers=layers,
        progress=progress,
    )  # fmt: skip

"""Filter pruning: whole filters and channels are removed, so that the network is smaller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import nn

from sipp_core.filters.removal import Removal, remove_channels
from sipp_core.filters.result import FilterReport
from sipp_core.network.layers import weight_of
from sipp_core.network.packed import layer_of
from sipp_core.network.selection import LayerChoice
from sipp_core.network.structure import Change
from sipp_core.pruning.method import Facts, Method, Needs, Promise, Pruned, find_method, register
from sipp_core.pruning.prune import prune
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.result import LayerReport, PruneResult
from sipp_core.pruning.table import Table, make_tables
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.inputs import Inputs
from sipp_core.sensitivity.calibrate import Calibration

BOUNDS = ("bernstein", "printed")
ALIKE = ("errors", "channels")


@dataclass(frozen=True)
class Filters(Method):
    """Remove whole filters by the sensitivity of channels, dropped or drawn.

    `prune_filters` says how channels compete and which keep their place.

    Attributes:
        drawn: whether channels are drawn with replacement by s_c/S, or the least sensitive dropped.
        size: of drawn ones, "bernstein" (PF-2) or "printed" (PF-1).
        alike: of dropped ones what is alike in all groups in budget mode, "errors" or "channels".

    Claim: PF-1, PF-2. Source: [PF] arXiv 1911.07412, [OWN].
    """

    drawn: bool = False
    size: Literal["bernstein", "printed"] = "bernstein"
    alike: Literal["errors", "channels"] = "errors"
    name: str = field(init=False, repr=False)
    facts: Facts = field(init=False, repr=False)
    random: bool = field(init=False, repr=False)
    certain: bool = field(init=False, repr=False)
    takes = frozenset({"keep", "eps", "coverage_factor"})
    default_scope = "global"

    def __post_init__(self) -> None:
        if self.size not in BOUNDS:
            raise ValueError(f"bound must be one of {', '.join(BOUNDS)}; found {self.size!r}")
        if self.alike not in ALIKE:
            raise ValueError(f"alike must be one of {', '.join(ALIKE)}; found {self.alike!r}")
        facts = (
            Facts(
                "Filters, sampled",
                "peer",
                "Whole filters are drawn in proportion to sensitivity; the others are removed.",
                "arXiv 1911.07412",
            )
            if self.drawn
            else Facts(
                "Filters",
                "peer",
                "Whole filters of least sensitivity are removed and the layers made smaller.",
                "arXiv 1911.07412",
            )
        )
        object.__setattr__(self, "name", "filters-rand" if self.drawn else "filters-det")
        object.__setattr__(self, "facts", facts)
        object.__setattr__(self, "random", self.drawn)
        object.__setattr__(self, "certain", not self.drawn)

    def check(self, request: Request) -> None:
        """A parameter that has no effect is refused."""
        if self.alike == "channels" and (self.drawn or request.guaranteed):
            raise ValueError("alike='channels' is for filters that are dropped, with keep=... only")
        if self.size == "printed" and not self.drawn:
            raise ValueError("bound='printed' is for filters that are drawn")

    def needs(self, request: Request) -> Needs:
        """The inputs, to measure channels on."""
        return Needs(inputs=True)

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Remove filters in a copy of the model."""
        assert calibration.held_inputs is not None
        target = request.target
        done = remove_channels(
            request.model,
            calibration.held_inputs,
            [layer.layer for layer in calibration.layers],
            random=self.drawn,
            keep=target.fraction if isinstance(target, Keep) else None,
            eps=None if isinstance(target, Keep) else target.eps,
            delta=request.delta,
            bound=self.size,
            alike=self.alike,
            coverage_factor=request.coverage_factor,
            seed=request.seed,
            progress=request.progress,
        )
        tables = make_tables(request, calibration.layers)
        return Pruned(
            done.model,
            tuple(_report(t, r, done) for t, r in zip(tables, done.layers, strict=True)),
            {
                r.name: weight_of(layer_of(done.model, r.name)).detach() != 0
                for r in done.layers
                if r.before == r.after
            },
            done.vacuous,
            structure=tuple(
                Change(name, "narrow", sizes) for name, sizes in done.channels.shapes.items()
            ),
            notes=(
                f"parameters {done.channels.parameters_before:,} to "
                f"{done.channels.parameters_after:,}, multiply-adds of one input "
                f"{done.channels.multiply_adds_before:,} to {done.channels.multiply_adds_after:,}",
                *done.notes,
            ),
            channels=done.channels,
        )

    def promise(self, request: Request) -> Promise:
        """PF-2 or PF-1 for all filters and patches of a layer at once."""
        factor = request.coverage_factor
        inputs = (
            "every calibration input"
            if factor == 1
            else f"every input at which no channel's share exceeds {factor:g} times its sensitivity"
        )
        chance = (
            f"with probability {1 - request.delta:g} over the draws at each input"
            if self.drawn
            else "with certainty"
        )
        printed = "PF-1" if self.size == "printed" else "PF-2"
        return Promise(
            (printed, "SP-1") if self.drawn else ("PF-2", "SP-6"),
            f"{inputs}, all filters and patches of a layer at once, {chance}; each relative to the "
            "layer's own input",
        )


for _drawn in (False, True):
    register(Filters(_drawn))


def prune_filters(
    model: nn.Module,
    calibration: Inputs | Calibration,
    *,
    method: str = "filters-det",
    keep: float | None = None,
    eps: float | None = None,
    delta: float | None = None,
    bound: Literal["bernstein", "printed"] = "bernstein",
    alike: Literal["errors", "channels"] = "errors",
    coverage_factor: float = 1.0,
    seed: int = 0,
    layers: LayerChoice = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> PruneResult:
    """Remove whole filters of a trained model, with a promise for every layer that used them.

    Channels that enter the same sums are one; the channels of coupled layers compete in one group
    by their sensitivity, the largest share in any pre-activation of the layers that consume them.
    A channel that goes is dropped by all of them, and the filters that made it are removed. Where
    a sum joins several layers (residual networks), or the forward pass writes a width as a number,
    the channel keeps its place as zeros; both are reported.

    filters-det drops the least sensitive channels. filters-rand draws channels with replacement by
    s_c/S and multiplies the consumers' weights by N_c/(m q_c). Budget mode (`keep`): as many of
    the prunable weights as that, promised errors alike in all groups (where they are vacuous, that
    can empty a layer: alike="channels" keeps the same fraction of each). Guarantee mode (`eps`,
    `delta`): the fewest channels of each group with which the bound promises, for all
    pre-activations z of a calibration input at once, |z^ - z| <= eps z~, z~ = |w|.|a|. Channels
    that no calibration input sent anywhere are dropped, which changes nothing on those inputs.
    Promises are relative to a layer's own input; `certify` measures the whole network.

    Args:
        model: nn.Module with Linear or Conv layers whose graph torch.fx or torch.export can record;
            never changed.
        calibration: a tensor (n, ...), an iterable of batches or (input, target) pairs, or what
            `calibrate(inputs=True)` made of them.
        method: "filters-det" or "filters-rand".
        keep: fraction of the prunable weights to keep, in (0, 1].
        eps: relative error of each layer that loses inputs, in (0, 1).
        delta: failure probability of a layer at one input, in (0, 1); 0.05 in budget mode unless
            given.
        bound: of filters-rand, "bernstein" (PF-2) or "printed" (PF-1).
        alike: what is alike in all groups in budget mode: "errors", or, of filters-det, "channels".
        coverage_factor: C >= 1 assumed of fresh inputs, g_c(x) <= C s_c; 1 promises for the
            calibration inputs.
        seed: seed of the draws, >= 0.
        layers: which layers may change (see `calibrate`); None for all.
        batch_size: inputs between two calls of `progress`.
        progress: callback (done, total, what).

    Returns:
        The result; `result.model` is a deep copy with smaller layers, same dtype and device.

    Raises:
        TypeError: wrong types of model, inputs or numbers.
        ValueError: anything out of range, a forward pass that cannot be recorded, no channel that
            could go, a budget that cannot be met; nothing has been changed.

    Claim: PF-1, PF-2. Source: [PF] arXiv 1911.07412, [OWN].

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(8, 6), nn.Sigmoid(), nn.Linear(6, 2))
        >>> result = prune_filters(net, torch.rand(16, 8), method="filters-det", keep=0.5)
        >>> result.model[0].weight.shape, result.nnz_after
        (torch.Size([3, 8]), 30)
    """
    rule = find_method(method)
    if not isinstance(rule, Filters):
        raise ValueError(
            f"method must be {' or '.join(Filters(drawn).name for drawn in (False, True))}; found "
            f"{method!r}"
        )
    return prune(
        model, calibration, method=Filters(rule.drawn, bound, alike), keep=keep, eps=eps,
        delta=delta, coverage_factor=coverage_factor, seed=seed, layers=layers,
        batch_size=batch_size, progress=progress,
    )  # fmt: skip


def _report(table: Table, report: FilterReport, done: Removal) -> LayerReport:
    """One layer's report in the words of all methods; neurons are those of the old layer."""
    out = table.weight.shape[0]
    new = weight_of(layer_of(done.model, report.name)).detach().flatten(1).double().cpu().numpy()
    # Where filters were removed, what is left stands in the old order.
    rows = np.arange(out) if len(new) == out else report.kept_filters
    budgets = np.zeros((2, out), dtype=np.int64)
    for sign, mask in enumerate((new > 0, new < 0)):
        budgets[sign, rows] = mask.sum(axis=1)
    live = (table.total > 0).any(axis=0)
    eps = np.zeros(out)
    eps[report.kept_filters] = report.eps
    untouched = np.zeros(out, dtype=bool)
    if report.before[1] == len(report.kept_inputs) and bool((report.multiplier == 1).all()):
        untouched[report.kept_filters] = True
    return LayerReport(
        name=report.name,
        shape=(out, table.weight.shape[1]),
        nnz_before=int((table.weight != 0).sum()),
        nnz_after=int(np.count_nonzero(new)),
        eps=float(eps.max(initial=0.0)),
        eps_neuron=eps,
        budgets=budgets,
        draws=np.zeros_like(table.total),
        sensitivity_sum=table.total,
        whole=int((untouched & live).sum()),
        dead=int((~live).sum()),
        removed=out - len(report.kept_filters),
        vacuous_neurons=int((eps >= 1).sum()),
        channels=report,
    )

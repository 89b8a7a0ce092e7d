"""`prune_filters`: remove whole filters and channels, so that the network is smaller and faster."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from torch import nn

from sipp_core.filters import choice as filter_choice
from sipp_core.filters import reporting
from sipp_core.filters.choice import BOUNDS, METHODS
from sipp_core.filters.graph import ChannelGraph, channel_graph, example_of
from sipp_core.filters.groups import GroupChoice, GroupTable
from sipp_core.filters.rebuild import Ends, ends, left, nonzeros, rebuild
from sipp_core.filters.result import FilterResult
from sipp_core.filters.sensitivity import ChannelCalibration, measure_channels
from sipp_core.network.cost import multiply_adds, parameter_count
from sipp_core.network.layers import PrunableLayer, prunable_layers
from sipp_core.network.selection import LayerChoice
from sipp_core.network.structure import channel_shape
from sipp_core.runtime import provenance
from sipp_core.runtime.arguments import whole
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.numbers import Bool
from sipp_core.runtime.provenance import Provenance, fingerprint, remember

DEFAULT_DELTA = 0.05
ALIKE = ("errors", "channels")


def prune_filters(
    model: nn.Module,
    calibration: Inputs,
    *,
    method: str,
    keep: float | None = None,
    eps: float | None = None,
    delta: float | None = None,
    bound: str = "bernstein",
    alike: str = "errors",
    coverage_factor: float = 1.0,
    seed: int = 0,
    layers: LayerChoice = None,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> FilterResult:
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

    In a process group of torch.distributed every process does all of the work by itself.

    Args:
        model: nn.Module with Linear or Conv layers whose graph torch.fx can record; never changed.
        calibration: a tensor (n, ...), or an iterable of batches or (input, target) pairs.
        method: "filters-det" or "filters-rand".
        keep: fraction of the prunable weights to keep, in (0, 1].
        eps: relative error of each layer that loses inputs, in (0, 1).
        delta: failure probability of a group at one input, in (0, 1); 0.05 in budget mode unless
            given.
        bound: of filters-rand, "bernstein" (PF-2) or "printed" (PF-1).
        alike: what is alike in all groups in budget mode: "errors", or, of filters-det, "channels".
        coverage_factor: C >= 1 assumed of fresh inputs, g_c(x) <= C s_c; 1 promises for the
            calibration inputs.
        seed: seed of the draws, >= 0.
        layers: which layers may change (see `calibrate`); None for all.
        batch_size: inputs a calibration forward pass.
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
    failure = _check(method, keep, eps, delta, bound, coverage_factor)
    _check_alike(alike, method, eps)
    seed, batch_size = whole("seed", seed, 0), whole("batch_size", batch_size, 1)
    # One-shot iterators are read twice.
    held = calibration if hasattr(calibration, "__len__") else list(calibration)
    if isinstance(layers, Iterable) and not isinstance(layers, str | type):
        layers = list(layers)
    example = example_of(next(iter(batches(held, batch_size))))
    prunable = prunable_layers(model, layers)
    graph = channel_graph(model, example, layers)
    if not graph.groups:
        reasons = "; ".join(f"layer {name!r}: {why}" for name, why in graph.whole.items())
        raise ValueError(f"no filter of the model can be removed: {reasons}")
    measured = measure_channels(
        model, held, _consumers(graph), batch_size=batch_size, progress=progress
    )
    tables = _tables(model, graph, measured, failure, float(coverage_factor), bound)
    if eps is None:
        assert keep is not None
        choices = _within_budget(model, prunable, graph, tables, method, float(keep), seed, alike)
    else:
        choices = filter_choice.by_error(tables, method, float(eps), seed)
    found = ends(model, graph.groups, choices)
    new = rebuild(model, found)
    remember(new, Provenance(measured.digests, seed))
    costs = multiply_adds(model, example[:1]), multiply_adds(new, example[:1])
    groups = tuple(map(reporting.group_report, tables, choices))
    guaranteed = eps is not None
    return FilterResult(
        model=new,
        layers=tuple(
            reporting.layer_report(layer, new, found.get(layer.name), promised(choices), costs)
            for layer in prunable
        ),
        groups=groups,
        whole=graph.whole,
        shapes=_shapes(new, found),
        method=method,
        seed=seed,
        keep=keep,
        eps=eps,
        delta=failure,
        bound=bound,
        coverage_factor=float(coverage_factor),
        inputs=measured.inputs,
        distinct=len(measured.digests),
        parameters_before=parameter_count(model),
        parameters_after=parameter_count(new),
        multiply_adds_before=sum(costs[0].values()),
        multiply_adds_after=sum(costs[1].values()),
        vacuous=reporting.is_vacuous(groups, guaranteed),
        holds_for=reporting.holds_for(method, failure, coverage_factor),
        notes=reporting.notes(groups, graph.whole, guaranteed),
        claims=reporting.claims_of(method, bound),
        versions=provenance.versions(),
        original=fingerprint(model),
        digests=measured.digests,
    )


def _check(
    method: str, keep: float | None, eps: float | None, delta: float | None, bound: str,
    coverage_factor: float,
) -> float:  # fmt: skip
    """Validate the arguments of `prune_filters`; return the failure probability to use."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; found {method!r}")
    if bound not in BOUNDS:
        raise ValueError(f"bound must be one of {', '.join(BOUNDS)}; found {bound!r}")
    if (keep is None) == (eps is None):
        raise ValueError(
            "give either keep=... (budget mode) or eps=... (guarantee mode); found "
            f"keep={keep!r}, eps={eps!r}"
        )
    if eps is not None and delta is None and method == "filters-rand":
        raise ValueError("guarantee mode needs delta=..., the failure probability, beside eps")
    failure = DEFAULT_DELTA if delta is None else delta
    for name, value in (("keep", keep), ("eps", eps), ("delta", failure),
                        ("coverage_factor", coverage_factor)):  # fmt: skip
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError(f"{name} must be a number; found {value!r}")
    if keep is not None and not 0 < keep <= 1:
        raise ValueError(f"keep must lie in (0, 1]; found {keep!r}")
    for name, value in (("eps", eps), ("delta", failure)):
        if value is not None and not 0 < value < 1:
            raise ValueError(f"{name} must lie in (0, 1); found {value!r}")
    if not (math.isfinite(coverage_factor) and coverage_factor >= 1):
        raise ValueError(f"coverage_factor must be at least 1; found {coverage_factor!r}")
    return float(failure)


def _check_alike(alike: str, method: str, eps: float | None) -> None:
    if alike not in ALIKE:
        raise ValueError(f"alike must be one of {', '.join(ALIKE)}; found {alike!r}")
    if alike == "channels" and (method != "filters-det" or eps is not None):
        raise ValueError("alike='channels' is for method='filters-det' with keep=... only")


def _consumers(graph: ChannelGraph) -> dict[tuple[str, int], tuple[np.ndarray, int]]:
    return {
        (name, index): (labels, group.units)
        for index, group in enumerate(graph.groups)
        for name, labels in group.inputs.items()
    }


def _tables(
    model: nn.Module, graph: ChannelGraph, measured: ChannelCalibration, delta: float,
    factor: float, bound: str,
) -> list[GroupTable]:  # fmt: skip
    eta_star = max(channel_shape(model.get_submodule(n))[0] for g in graph.groups for n in g.inputs)
    found = []
    for index, group in enumerate(graph.groups):
        stats = {name: measured.statistics[name, index] for name in group.inputs}
        events = sum(
            channel_shape(model.get_submodule(name))[0] * each.rows * (4 if each.signed else 2)
            for name, each in stats.items()
        )
        shares = {name: each.sensitivity for name, each in stats.items()}
        found.append(GroupTable(group, shares, max(1, events), eta_star, delta, factor, bound))
    return found


def _within_budget(
    model: nn.Module, prunable: Sequence[PrunableLayer], graph: ChannelGraph,
    tables: list[GroupTable], method: str, keep: float, seed: int, alike: str,
) -> list[GroupChoice]:  # fmt: skip
    """Choose within keep times the number of prunable weights; refuse what cannot be met."""
    counts = {layer.name: nonzeros(layer) for layer in prunable}
    size = sum(layer.weight.numel() for layer in prunable)
    budget = math.floor(keep * size + 1e-9)

    def count(kept: Sequence[Bool]) -> int:
        plain = [GroupChoice(k.astype(np.float64), 0, {}) for k in kept]
        found = ends(model, graph.groups, plain)
        return sum(left(counts[name], found.get(name)) for name in counts)

    choices = filter_choice.by_budget(tables, method, budget, count, seed, alike)
    least = count([choice.kept for choice in choices])
    if least > budget:
        whole_layers = ", ".join(map(repr, graph.whole)) or "none"
        raise ValueError(
            f"keep={keep!r} cannot be met: with one channel left in each group {least} of {size} "
            f"weights remain, so keep must be at least {least / size:.4g} (no filter can go from "
            f"layers {whole_layers})"
        )
    return choices


def promised(choices: Sequence[GroupChoice]) -> dict[str, float]:
    """Error promised to each consumer: of what several groups bring, the worst.

    Claim: PF-2. Source: [OWN]: the groups' parts of z add up to no more than z~.
    """
    found: dict[str, float] = {}
    for choice in choices:
        for name, eps in choice.eps.items():
            found[name] = max(eps, found.get(name, 0.0))
    return found


def _shapes(new: nn.Module, found: dict[str, Ends]) -> dict[str, tuple[int, int]]:
    """Counts of the layers that shrank."""
    return {
        name: channel_shape(new.get_submodule(name))
        for name, end in found.items()
        if not (end.stay.all() and end.wired.all())
    }

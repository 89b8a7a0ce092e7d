"""A pruned network in the shape of the original, so that both can be walked node by node.

Which pruned neuron stands for which original one is a choice that no bound depends on for being
true, only for being near: rows that are alike are paired.
"""

from __future__ import annotations

import copy
import re
from itertools import zip_longest

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from sipp_core.filters.flow import function_name
from sipp_core.filters.graph import ChannelGroup, channel_graph
from sipp_core.filters.recording import trace
from sipp_core.network.layers import SUPPORTED, weight_of
from sipp_core.network.structure import Norm, channel_shape
from sipp_core.neurons.maps import NOTHING, RESHAPES

# What fixes a layer besides its weights and their shapes.
CONFIGURED = ("stride", "padding", "dilation", "padding_mode", "output_padding", "eps", "affine",
              "track_running_stats")  # fmt: skip
# What two ways to add up the same numbers may differ by, relative to the largest output.
CLOSE = 1e-6


def embedded(model: nn.Module, pruned: nn.Module, example: Tensor) -> nn.Module:
    """The pruned network with its removed neurons put back, their outgoing weights 0.

    Args:
        model: the original, whose architecture the result has.
        pruned: the same with some layers narrower.
        example: (n, ...) inputs, on which both must compute the same.

    Returns:
        A copy of the model with the pruned network's weights.

    Raises:
        ValueError: other layers or operations, wider layers, or channels that cannot be told.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> embedded(net, net, torch.zeros(2, 2))[0].weight.shape
        torch.Size([3, 2])
    """
    ours, theirs = dict(model.named_modules()), dict(pruned.named_modules())
    _same_walk(model, pruned)
    layers = [
        n
        for n, m in ours.items()
        if isinstance(m, (*SUPPORTED, Norm)) and type(theirs.get(n)) is type(m)
    ]
    shrunk = [n for n in layers if channel_shape(ours[n]) != channel_shape(theirs[n])]
    wider = [
        f"{n!r} {channel_shape(theirs[n])}, not {channel_shape(ours[n])}"
        for n in shrunk
        if any(a > b for a, b in zip(channel_shape(theirs[n]), channel_shape(ours[n]), strict=True))
    ]
    if wider:
        raise ValueError(
            f"the pruned network is wider than the original at {', '.join(wider)} (out, in): give "
            "the original first"
        )
    new = copy.deepcopy(model)
    state = pruned.state_dict()
    if not shrunk:
        new.load_state_dict({k: v.clone() for k, v in state.items()}, strict=False)
        _compare(new, pruned, example)
        return new
    rows, columns = _places(model, pruned, example, shrunk)
    with torch.no_grad():
        for name in layers:
            _fill(new.get_submodule(name), theirs[name], rows.get(name), columns.get(name))
    _compare(new, pruned, example)
    return new


def _same_walk(model: nn.Module, pruned: nn.Module) -> None:
    """Refuse two networks whose operations differ in more than numbers of channels."""
    ours, theirs = _operations(model), _operations(pruned)
    strange = [
        f"{b[0] if b else 'nothing'} in place of {a[0] if a else 'nothing'}"
        for a, b in zip_longest(ours, theirs)
        if a != b
    ]
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise ValueError(
            f"the pruned network computes {', '.join(strange[:3])}{more}: pair networks of one "
            "architecture, some layers of which may be narrower"
        )


def _operations(model: nn.Module) -> list[tuple[str, object]]:
    """What a network computes, one after the other: a name for readers, and all that fixes it."""
    graph = trace(model)
    operations: list[tuple[str, object]] = []
    for node in graph.graph.nodes:
        parents = [parent.name for parent in node.all_input_nodes]
        if node.op == "call_module":
            module = graph.get_submodule(str(node.target))
            kind = type(module).__name__
            given = repr({k: getattr(module, k, None) for k in CONFIGURED})
            if not isinstance(module, (*SUPPORTED, Norm)):
                # Dropout does nothing in eval mode, and where a result is written fixes no value.
                given = "" if isinstance(module, NOTHING) else module.extra_repr()
                given = re.sub(r"(, )?inplace(=\w+)?", "", given)
            operations.append((f"a {kind} at {node.target!r}", (kind, parents, given)))
            continue
        name = function_name(node.target) or str(node.target)
        # Numbers in shapes and slices may be numbers of channels.
        loose = name in (*RESHAPES, "getitem")
        kwargs = {k: v for k, v in node.kwargs.items() if k != "inplace"}
        given = {} if loose else {"args": node.args, "kwargs": kwargs}
        operations.append((f"{name} ({node.name!r})", (node.op, name, parents, repr(given))))
    return operations


def _places(
    model: nn.Module, pruned: nn.Module, example: Tensor, shrunk: list[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Where the outputs and inputs of the narrower layers stand in the original."""
    rows: dict[str, np.ndarray] = {}
    columns: dict[str, np.ndarray] = {}
    keep: dict[str, np.ndarray] = {}
    groups = channel_graph(model, example).groups
    for group in groups:
        for name, labels in group.inputs.items():
            keep.setdefault(name, np.ones(len(labels), dtype=bool))
    for group in groups:
        units = _matched(model, pruned, group, columns)
        if len(units) == group.units:
            continue
        kept = np.zeros(group.units, dtype=bool)
        kept[units] = True
        for name, labels in group.outputs.items():
            rows[name] = np.flatnonzero((labels < 0) | kept[labels])
        for name, labels in group.inputs.items():
            keep[name] &= (labels < 0) | kept[labels]
            columns[name] = np.flatnonzero(keep[name])
    for name in shrunk:
        out, before = channel_shape(pruned.get_submodule(name))
        norm = isinstance(pruned.get_submodule(name), Norm)
        fits = len(rows.get(name, range(out))) == out
        fits &= norm or len(columns.get(name, range(before))) == before
        if not fits:
            raise ValueError(f"layer {name!r} is narrower where no channel of the original can go")
    return (
        {n: torch.from_numpy(v) for n, v in rows.items()},
        {n: torch.from_numpy(v) for n, v in columns.items()},
    )


def _matched(
    model: nn.Module, pruned: nn.Module, group: ChannelGroup, columns: dict[str, np.ndarray]
) -> np.ndarray:
    """Units of a group that the pruned network has left, in rising order."""
    name = group.producers[0]
    old, new = (weight_of(m.get_submodule(name)).detach().double().cpu() for m in (model, pruned))
    if len(old) == len(new):
        return np.arange(group.units)
    if name in columns:
        old = old[:, torch.from_numpy(columns[name])]
    if old.shape[1:] != new.shape[1:]:
        raise ValueError(f"layer {name!r} has other inputs than the original")
    a, b = new.flatten(1).numpy(), old.flatten(1).numpy()
    size = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    far = -(a @ b.T) / np.maximum(size, 1e-300) + 1e-3 * np.abs(
        np.linalg.norm(a, axis=1)[:, None] - np.linalg.norm(b, axis=1)[None]
    )
    chosen = np.sort(linear_sum_assignment(far)[1])
    return np.unique(group.outputs[name][chosen])


def _fill(place: nn.Module, source: nn.Module, rows: Tensor | None, columns: Tensor | None) -> None:
    for name, tensor in (*place.named_parameters(), *place.named_buffers()):
        given = source.get_parameter(name) if isinstance(tensor, nn.Parameter) else (
            source.get_buffer(name)
        )  # fmt: skip
        given = given.detach().to(tensor.device, tensor.dtype)
        if tensor.ndim == 0 or (rows is None and columns is None):
            tensor.copy_(given)
            continue
        own = torch.arange(len(tensor)) if rows is None else rows
        if name == "weight" and not isinstance(place, Norm) and columns is not None:
            whole = torch.zeros(len(own), *tensor.shape[1:], dtype=tensor.dtype)
            whole[:, columns] = given.cpu()
            given = whole.to(tensor.device)
        tensor[own.to(tensor.device)] = given


def _compare(new: nn.Module, pruned: nn.Module, example: Tensor) -> None:
    """The network put back must compute what the pruned one does."""
    first, second = (copy.deepcopy(m).double().cpu().eval() for m in (new, pruned))
    with torch.no_grad():
        a, b = first(example.double().cpu()), second(example.double().cpu())
    if a.shape != b.shape or not torch.allclose(
        a, b, rtol=0, atol=CLOSE * float(b.abs().max() + 1e-30)
    ):
        raise ValueError("the pruned network's removed neurons could not be told: it computes else")

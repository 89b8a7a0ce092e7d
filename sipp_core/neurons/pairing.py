"""A pruned network in the shape of the original, so that both can be walked node by node.

Which pruned neuron stands for which original one is a choice that no bound depends on for being
true, only for being near: rows that are alike are paired.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from sipp_core.filters.graph import ChannelGroup, channel_graph
from sipp_core.network.layers import SUPPORTED, weight_of
from sipp_core.network.structure import Norm, channel_shape

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
        ValueError: other layers, or channels that cannot be told.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> embedded(net, net, torch.zeros(2, 2))[0].weight.shape
        torch.Size([3, 2])
    """
    ours, theirs = dict(model.named_modules()), dict(pruned.named_modules())
    strange = [
        repr(name)
        for name, module in ours.items()
        if isinstance(module, (*SUPPORTED, Norm)) and type(theirs.get(name)) is not type(module)
    ]
    if strange:
        raise ValueError(
            f"the pruned network has other layers at {', '.join(strange)}: pair networks of one "
            "architecture, some layers of which may be narrower"
        )
    layers = [n for n, m in ours.items() if isinstance(m, (*SUPPORTED, Norm))]
    shrunk = [n for n in layers if channel_shape(ours[n]) != channel_shape(theirs[n])]
    new = copy.deepcopy(model)
    state = pruned.state_dict()
    if not shrunk:
        new.load_state_dict({k: v.clone() for k, v in state.items()})
        return new
    rows, columns = _places(model, pruned, example, shrunk)
    with torch.no_grad():
        for name in layers:
            _fill(new.get_submodule(name), theirs[name], rows.get(name), columns.get(name))
    _compare(new, pruned, example)
    return new


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
    if not torch.allclose(a, b, rtol=0, atol=CLOSE * float(b.abs().max() + 1e-30)):
        raise ValueError("the pruned network's removed neurons could not be told: it computes else")

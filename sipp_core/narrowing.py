"""Smaller layers in the place of larger ones, in a copy of the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from sipp_core._arguments import whole
from sipp_core.layers import SUPPORTED

Norm = nn.modules.batchnorm._BatchNorm
Shapes = Mapping[str, tuple[int, int]]
Model = TypeVar("Model", bound=nn.Module)
Indices = Mapping[str, tuple[Tensor, Tensor]]


def channel_shape(module: nn.Module) -> tuple[int, int]:
    """Count what comes out of a layer and what goes in.

    Args:
        module: a Linear, Conv or BatchNorm layer.

    Returns:
        (out, in) features or channels; the same number twice for a BatchNorm.

    Raises:
        TypeError: another kind of module.

    Claim: none (plumbing).

    Example:
        >>> channel_shape(nn.Conv2d(3, 8, 5)), channel_shape(nn.BatchNorm2d(8))
        ((8, 3), (8, 8))
    """
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return module.out_channels, module.in_channels
    if isinstance(module, Norm):
        return module.num_features, module.num_features
    raise TypeError(f"a {type(module).__name__} has no channels that could be counted")


def narrow(model: Model, shapes: Shapes) -> Model:
    """Copy a model with some layers made smaller; what a saved network is loaded into.

    A layer keeps its first filters and its first inputs. A depthwise convolution stays one.

    Args:
        model: any module; never changed.
        shapes: (out, in) channel counts by name of a Linear, Conv or BatchNorm layer, each from 1
            to what it has.

    Returns:
        A deep copy with smaller layers at these names; same types, modes, dtypes and devices.

    Raises:
        TypeError: a name of another kind of module, or counts that are no integers.
        ValueError: an unknown name, or a count out of range.

    Claim: none (plumbing).

    Example:
        >>> narrow(nn.Sequential(nn.Linear(3, 4)), {"0": (2, 3)})[0].weight.shape
        torch.Size([2, 3])
    """
    modules, wanted = dict(model.named_modules()), {}
    for name, shape in shapes.items():
        if name not in modules:
            raise ValueError(f"the model has no layer {name!r} to make smaller")
        before = channel_shape(modules[name])
        counts = (
            whole(f"{end} channels of layer {name!r}", count, 1, most + 1)
            for end, count, most in zip(("output", "input"), shape, before, strict=True)
        )
        wanted[name] = tuple(map(torch.arange, counts))
    return select(model, wanted)


def select(model: Model, kept: Indices) -> Model:
    """Copy a model with chosen channels of some layers only.

    Args:
        model: any module; never changed.
        kept: (out, in) int64 indices by name of a Linear, Conv or BatchNorm layer.

    Returns:
        A deep copy with these layers made smaller.

    Raises:
        TypeError: a name of another kind of module.

    Claim: none (plumbing).

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3))
        >>> small = select(net, {"0": (torch.tensor([2]), torch.arange(2))})
        >>> bool((small[0].weight == net[0].weight[2:]).all())
        True
    """
    new = copy.deepcopy(model)
    for name, (outputs, inputs) in kept.items():
        _resize(new.get_submodule(name), outputs, inputs)
    return new


def _resize(module: nn.Module, outputs: Tensor, inputs: Tensor) -> None:
    """Change a module of our own copy; its class, hooks and mode stay what they were."""
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is None or tensor.ndim == 0:
            continue
        part = tensor.detach().index_select(0, outputs.to(tensor.device))
        if name == "weight" and isinstance(module, SUPPORTED) and not _depthwise(module):
            part = part.index_select(1, inputs.to(tensor.device))
        if isinstance(tensor, nn.Parameter):
            module._parameters[name] = nn.Parameter(part, requires_grad=tensor.requires_grad)
        else:
            module._buffers[name] = part
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = len(outputs), len(inputs)
    elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        if _depthwise(module):
            module.groups = len(inputs)
        module.out_channels, module.in_channels = len(outputs), len(inputs)
    elif isinstance(module, Norm):
        module.num_features = len(outputs)
    else:
        raise TypeError(f"a {type(module).__name__} cannot be made smaller")


def _depthwise(module: nn.Module) -> bool:
    groups = int(getattr(module, "groups", 1))
    return groups > 1 and groups == getattr(module, "in_channels", None)

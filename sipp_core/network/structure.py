"""Changes of a network's structure, recorded so that a saved network can be built again.

Most methods write zeros into a layer and leave its shape. A low-rank layer becomes two thin ones;
a `Change` says so, `restructure` does it to a model of the user's architecture, and a saved file
carries the changes, so that `load` needs nothing but that architecture.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from sipp_core.network.layers import SUPPORTED, weight_of
from sipp_core.network.packed import is_dense
from sipp_core.runtime.arguments import refuse_no_module, whole

KINDS = ("low-rank", "narrow")


@dataclass(frozen=True)
class Change:
    """One module that has another shape than in the user's model.

    Attributes:
        name: qualified name of the module.
        kind: "low-rank": a Linear or Conv layer as two, with `sizes` = (rank,), per group;
            "narrow": a Linear, Conv or BatchNorm layer of fewer channels, `sizes` = (out, in).
        sizes: whole numbers >= 1 that the kind needs.
    """

    name: str
    kind: str
    sizes: tuple[int, ...]


def restructure(model: nn.Module, changes: Sequence[Change]) -> nn.Module:
    """Give a model the structure that changes record; weights of changed modules are new."""
    strange = [change.kind for change in changes if change.kind not in KINDS]
    if strange:
        raise ValueError(f"a change is one of {', '.join(KINDS)}; found {strange[0]!r}")
    narrower = {c.name: (c.sizes[0], c.sizes[1]) for c in changes if c.kind == "narrow"}
    if narrower:
        try:
            model = narrow(model, narrower)
        except TypeError as error:
            raise ValueError(str(error)) from error
    for change in changes:
        if change.kind == "narrow":
            continue
        try:
            old = model.get_submodule(change.name)
        except AttributeError as error:
            raise ValueError(f"the model has no layer {change.name!r} to make low-rank") from error
        new = _two_layers(change, old).train(old.training)
        if change.name == "":
            model = new
        else:
            parent, _, last = change.name.rpartition(".")
            setattr(model.get_submodule(parent), last, new)
    return model


def _two_layers(change: Change, old: nn.Module) -> nn.Sequential:
    """A layer as thin ones: what it sees goes to `rank` numbers a group, and these to its outputs.

    The first keeps the kernel, its stride and its padding; the second looks at one place.
    """
    (rank,) = change.sizes
    where: dict[str, Any] = {"device": "cpu"}
    if isinstance(getattr(old, "weight", None), torch.Tensor):
        where = {"device": old.weight.device, "dtype": old.weight.dtype}
    if isinstance(old, SUPPORTED):
        groups = int(getattr(old, "groups", 1))
        most = min(old.weight.shape[0] // groups, old.weight[0].numel())
        if rank > most:
            raise ValueError(f"layer {change.name!r} has rank {most} at most; found {rank}")
    # Not initialised: that would move torch's global random state, and all is written again.
    if isinstance(old, nn.Linear):
        bias = old.bias is not None
        pair = (
            skip_init(nn.Linear, old.in_features, rank, bias=False, **where),
            skip_init(nn.Linear, rank, old.out_features, bias=bias, **where),
        )
    elif isinstance(old, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        kind, bias = type(old), old.bias is not None
        settings: dict[str, Any] = {
            name: getattr(old, name)
            for name in ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        }
        inner = rank * old.groups
        pair = (
            skip_init(kind, old.in_channels, inner, bias=False, **settings, **where),
            skip_init(kind, inner, old.out_channels, 1, groups=old.groups, bias=bias, **where),
        )
    else:
        raise ValueError(
            f"layer {change.name!r} is a {type(old).__name__}; only Linear and Conv layers can be "
            "made low-rank"
        )
    return TwoLayers(*pair)


class TwoLayers(nn.Sequential):
    """A layer as two thin ones, whether it is called or its weight is multiplied by.

    Attention is often written with `F.linear(x, layer.weight, layer.bias)`: there the product of
    both matrices is formed each time, which saves parameters and no time.

    Example:
        >>> low = TwoLayers(nn.Linear(5, 1, bias=False), nn.Linear(1, 3))
        >>> low.weight.shape, low.bias.shape
        (torch.Size([3, 5]), torch.Size([3]))
    """

    @property
    def weight(self) -> Tensor:
        """The weight (out, in/groups, ...) that the two stand for."""
        first, second = (layer.get_parameter("weight") for layer in self)
        groups = int(getattr(self[0], "groups", 1))
        left = second.flatten(1).unflatten(0, (groups, -1))
        right = first.flatten(1).unflatten(0, (groups, -1))
        return (left @ right).reshape(len(second), *first.shape[1:])

    @property
    def bias(self) -> nn.Parameter | None:
        """The bias (out,), that of the second layer."""
        return self[1]._parameters["bias"]


Norm = nn.modules.batchnorm._BatchNorm
Shapes = Mapping[str, tuple[int, int]]
Model = TypeVar("Model", bound=nn.Module)
Indices = Mapping[str, tuple[Tensor, Tensor]]


def channel_shape(module: nn.Module) -> tuple[int, int]:
    """Count what comes out of a layer and what goes in.

    Shapes: returns (out, in).
    """
    if is_dense(module):
        out, before = weight_of(module).shape
        return out, before
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

    Example:
        >>> narrow(nn.Sequential(nn.Linear(3, 4)), {"0": (2, 3)})[0].weight.shape
        torch.Size([2, 3])
    """
    refuse_no_module(model)
    modules, kept = dict(model.named_modules()), {}
    for name, shape in shapes.items():
        if name not in modules:
            raise ValueError(f"the model has no layer {name!r} to make smaller")
        before = channel_shape(modules[name])
        counts = (
            whole(f"{end} channels of layer {name!r}", count, 1, most + 1)
            for end, count, most in zip(("output", "input"), shape, before, strict=True)
        )
        kept[name] = tuple(map(torch.arange, counts))
        if uneven := _uneven(modules[name], shape):
            raise ValueError(f"layer {name!r} {uneven}")
    return select(model, kept)


def select(model: Model, kept: Indices) -> Model:
    """Copy a model with chosen channels of some layers only.

    Shapes: kept (out, in) int64.
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
            # The groups of a convolution shrink alike: the first one speaks for all.
            own = inputs[: len(inputs) // int(getattr(module, "groups", 1))]
            part = part.index_select(1, own.to(tensor.device))
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


def _uneven(module: nn.Module, shape: tuple[int, int]) -> str:
    """Say that a convolution's groups would not be alike; "" where they are."""
    groups = int(getattr(module, "groups", 1))
    if groups == 1 or _depthwise(module) or not any(count % groups for count in shape):
        return ""
    return f"has {groups} groups, which {shape[0]} outputs and {shape[1]} inputs do not divide into"


def _depthwise(module: nn.Module) -> bool:
    groups = int(getattr(module, "groups", 1))
    return groups > 1 and groups == getattr(module, "in_channels", None)

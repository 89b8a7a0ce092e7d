"""Which layers can be pruned, and how each of them is a matrix acting on rows of activations."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SUPPORTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# They multiply by weights too, but not as rows times a matrix that a hook can see.
UNSUPPORTED = (
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.Bilinear,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)

LayerChoice = Callable[[str, nn.Module], bool] | Iterable[str] | None


@dataclass(frozen=True)
class PrunableLayer:
    """One layer seen as a matrix.

    Attributes:
        name: qualified name in the model, "" if the model itself is the layer.
        module: the user's own module; never written to.
        groups: blocks of the matrix that see different inputs (1 unless a grouped convolution).

    Claim: none (plumbing).
    """

    name: str
    module: nn.Module
    groups: int

    @property
    def weight(self) -> Tensor:
        """The weight as an (out, fan_in) view, detached."""
        return weight_of(self.module).detach().flatten(1)


def weight_of(module: nn.Module) -> Tensor:
    """Return the layer's weight tensor, whatever parametrisation made it.

    Args:
        module: a Linear or Conv layer.

    Returns:
        The weight, shape (out, ...).

    Raises:
        TypeError: the module's weight is not a tensor.

    Claim: none (plumbing).

    Example:
        >>> weight_of(nn.Linear(3, 2)).shape
        torch.Size([2, 3])
    """
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(
            f"{type(module).__name__}.weight is no tensor: found {type(weight).__name__}"
        )
    return weight


def _chosen(layers: LayerChoice) -> Callable[[str, nn.Module], bool]:
    if layers is None:
        return lambda name, module: True
    if callable(layers):
        return layers
    if isinstance(layers, str):
        layers = [layers]
    patterns = list(layers)
    return lambda name, module: any(fnmatch.fnmatchcase(name, p) for p in patterns)


def _check_patterns(layers: LayerChoice, found: list[PrunableLayer]) -> None:
    if layers is None or callable(layers):
        return
    for pattern in [layers] if isinstance(layers, str) else layers:
        if not any(fnmatch.fnmatchcase(layer.name, pattern) for layer in found):
            raise ValueError(f"layers: {pattern!r} matches no Linear or Conv layer of the model")


def prunable_layers(model: nn.Module, layers: LayerChoice = None) -> tuple[PrunableLayer, ...]:
    """Find the layers to prune, in the order of `named_modules`, and validate all of them.

    Args:
        model: any module; nothing in it is changed.
        layers: names or glob patterns to select, or a predicate (name, module) -> bool; None
            takes every Linear and Conv layer.

    Returns:
        The chosen layers; at least one.

    Raises:
        TypeError: no nn.Module, or a weight that is complex or integer.
        ValueError: no prunable layer, an unsupported layer among the chosen, weights shared
            between layers, a weight that is not finite or that other tensors make (weight_norm,
            masks), or a pattern that matches nothing.

    Claim: none (plumbing).

    Example:
        >>> [layer.name for layer in prunable_layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))]
        ['0']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module; found {type(model).__name__}")
    if layers is not None and not callable(layers) and not isinstance(layers, str):
        layers = list(layers)
    wanted = _chosen(layers)
    found: list[PrunableLayer] = []
    inside_refused: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if inside_refused and name.startswith(inside_refused):
            continue
        if isinstance(module, UNSUPPORTED):
            inside_refused += (f"{name}." if name else "",)
            if wanted(name, module):
                raise ValueError(
                    f"layer {name!r} is a {type(module).__name__}, which is not supported; "
                    "leave it out with layers=[...] to prune the others"
                )
        elif isinstance(module, SUPPORTED) and wanted(name, module):
            found.append(PrunableLayer(name, module, int(getattr(module, "groups", 1))))
    if not found:
        raise ValueError(
            "the model has no layer to prune: it needs a Linear or Conv layer"
            + ("" if layers is None else f" that layers={layers!r} selects")
        )
    _check_patterns(layers, found)
    _check_shared(model, found)
    for layer in found:
        _check_plain(layer)
        _check_weight(layer)
    return tuple(found)


def _check_shared(model: nn.Module, found: list[PrunableLayer]) -> None:
    owners: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), name)
        first = owners[id(parameter)]
        for layer in found:
            if parameter is layer.module._parameters.get("weight") and first != name:
                raise ValueError(
                    f"weights are tied: {first!r} and {name!r} are one tensor; a pruned copy would "
                    "change both. Untie them, or leave them out with layers=[...]"
                )


def _check_plain(layer: PrunableLayer) -> None:
    """Refuse a weight that is computed anew in each forward pass: writing to it changes nothing."""
    if "weight" not in layer.module._parameters:
        raise ValueError(
            f"layer {layer.name!r} computes its weight from other tensors (weight_norm, a mask of "
            "torch.nn.utils.prune, ...); make it a plain parameter first, with "
            "torch.nn.utils.parametrize.remove_parametrizations or torch.nn.utils.prune.remove"
        )


def _check_weight(layer: PrunableLayer) -> None:
    if isinstance(weight_of(layer.module), nn.parameter.UninitializedParameter):
        raise ValueError(f"layer {layer.name!r} is lazy and not initialised; run one forward pass")
    weight = layer.weight
    if not weight.is_floating_point():
        raise TypeError(f"layer {layer.name!r} has weights of dtype {weight.dtype}; floats needed")
    bad = ~torch.isfinite(weight)
    if bad.any():
        index = tuple(int(i) for i in bad.nonzero()[0])
        raise ValueError(
            f"layer {layer.name!r} has a weight that is not finite: {weight[index].item()} at "
            f"index {index}; repair or retrain it before pruning"
        )


def rows(layer: PrunableLayer, inputs: Tensor) -> Tensor:
    """Unfold a layer's input into the rows that its matrix multiplies.

    Args:
        layer: the layer.
        inputs: what its forward call received: (..., in) for Linear, (n, channels, *spatial) or
            unbatched (channels, *spatial) for a convolution.

    Returns:
        (groups, n_rows, fan_in) of the same dtype and device; one row a token or patch.

    Raises:
        ValueError: the input's dimensions or channels are not the layer's.

    Claim: none (THEORY section 0: each patch of each input is one row).

    Example:
        >>> conv = nn.Conv2d(1, 2, 3)
        >>> rows(PrunableLayer("c", conv, 1), torch.ones(2, 1, 5, 5)).shape
        torch.Size([1, 18, 9])
    """
    module = layer.module
    if isinstance(module, nn.Linear):
        if inputs.ndim == 0 or inputs.shape[-1] != module.in_features:
            raise ValueError(
                f"layer {layer.name!r} got an input of shape {tuple(inputs.shape)}; its last "
                f"dimension must be {module.in_features}"
            )
        return inputs.reshape(1, -1, module.in_features)
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    dims = len(module.kernel_size)
    if inputs.ndim == dims + 1:
        inputs = inputs.unsqueeze(0)
    if inputs.ndim != dims + 2 or inputs.shape[1] != module.in_channels:
        raise ValueError(
            f"layer {layer.name!r} got an input of shape {tuple(inputs.shape)}; it takes (n, "
            f"{module.in_channels}, ...) with {dims} more dimensions"
        )
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    patches = F.pad(inputs, module._reversed_padding_repeated_twice, mode=mode)
    for axis in range(dims):
        size, gap = module.kernel_size[axis], module.dilation[axis]
        patches = patches.unfold(2 + axis, gap * (size - 1) + 1, module.stride[axis])[..., ::gap]
    # (n, channels, *positions, *kernel) -> (groups, n * positions, channels/groups * kernel)
    channels = patches.shape[1]
    patches = patches.unflatten(1, (layer.groups, channels // layer.groups))
    positions = list(range(3, 3 + dims))
    kernel = list(range(3 + dims, 3 + 2 * dims))
    patches = patches.permute(1, 0, *positions, 2, *kernel)
    return patches.reshape(layer.groups, -1, layer.weight.shape[1])

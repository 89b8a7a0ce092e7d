"""Hidden neurons in the order of their biases: the same function in a shorter file.

A network computes the same whatever the order of its hidden neurons, up to the rounding of sums;
a file of it need not store an order that follows from the biases.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from sipp_core.network.masks import duplicate

__all__ = ["sort_neurons"]

# What treats every channel, or every number, by itself.
_ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout,
                nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)  # fmt: skip
_WEIGHTED = (nn.Linear, nn.Conv2d)


def _over_all(module: nn.Module) -> bool:
    """Whether a normalisation treats all channels as one and has no weights of theirs."""
    return isinstance(module, nn.GroupNorm) and module.num_groups == 1 and not module.affine


def _chain(model: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """Weighted layers, each of which feeds the next; refuses by name what is in between."""
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"model must be an nn.Sequential; found {type(model).__name__}")
    layers: list[nn.Linear | nn.Conv2d] = []
    # named_children leaves out what comes again.
    for name, module in model._modules.items():
        if isinstance(module, _WEIGHTED):
            if getattr(module, "groups", 1) != 1:
                raise ValueError(f"layer {name!r} has groups, whose channels have places")
            layers.append(module)
        elif layers and not (isinstance(module, _ELEMENTWISE) or _over_all(module)):
            raise ValueError(
                f"layer {name!r} is a {type(module).__name__}; its channels may have places"
            )
    if len({id(module) for module in layers}) < len(layers):
        raise ValueError("a layer is used twice; its neurons have two orders")
    return layers


def _inputs(layer: nn.Linear | nn.Conv2d, order: Tensor) -> Tensor:
    """The layer's weight for inputs in that order, a channel's pixels staying together."""
    weight = layer.weight
    apart = weight.reshape(weight.shape[0], order.numel(), -1)
    return apart[:, order].reshape(weight.shape)


def sort_neurons(model: nn.Module) -> nn.Module:
    """Copy a network with the neurons of each hidden layer in the order of their biases.

    Args:
        model: an `nn.Sequential` of Linear and Conv2d layers (no groups) with activations, pooling,
            flattening and normalisation over all channels in between, and anything before the
            first; not changed.

    Returns:
        A deep copy that computes the same up to rounding; layers without a bias keep their order.

    Raises:
        ValueError: a model or layer of another kind.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> net[0].bias.data = torch.tensor([3.0, -1.0])
        >>> sort_neurons(net)[0].bias.tolist()
        [-1.0, 3.0]
    """
    _chain(model)
    new = duplicate(model)
    layers = _chain(new)
    with torch.no_grad():
        for layer, after in pairwise(layers):
            if layer.bias is None:
                continue
            order = layer.bias.argsort(stable=True)
            layer.weight.copy_(layer.weight[order])
            layer.bias.copy_(layer.bias[order])
            after.weight.copy_(_inputs(after, order))
    return new

"""What a network costs: multiply-adds of its layers on one input, and its parameters."""

from __future__ import annotations

import math

from torch import Tensor, nn

from sipp_core.network.layers import is_layer, weight_of
from sipp_core.network.packed import is_dense
from sipp_core.network.selection import places
from sipp_core.runtime.batch import Given
from sipp_core.runtime.execution import forward, model_device, watching


def multiply_adds(model: nn.Module, example: Given) -> dict[str, int]:
    """Count the multiply-adds of each Linear and Conv layer in one forward pass.

    A Linear layer takes out * in for each row, a convolution out * in/groups * kernel for each
    position of its output; padding counts as any input, a zero weight as any weight. Biases,
    normalisations, activations and sums are not counted.

    Args:
        model: any module; left as it was.
        example: (n, ...) inputs, or a `Batch` of them, on any device; the counts are of all of them
            together.

    Returns:
        Multiply-adds by name of the layer, in the order of `named_modules`; 0 for one not called.

    Raises:
        ValueError: the model cannot run on the example.

    Example:
        >>> import torch
        >>> multiply_adds(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), torch.ones(1, 1, 5, 5))
        {'0': 162}
    """
    layers = {place.name: place.module for place in places(model) if is_layer(place.module)}
    counts = dict.fromkeys(layers, 0)

    def count(name: str, out: Tensor) -> None:
        counts[name] += _cost(layers[name], out)

    with watching(model, layers, count, outputs=True):
        forward(model, example.to(model_device(model)), "example")
    return counts


def _cost(layer: nn.Module, out: Tensor) -> int:
    if is_dense(layer):
        return out.numel() * weight_of(layer).shape[1]
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return out.numel() * (layer.in_channels // layer.groups) * math.prod(layer.kernel_size)


def parameter_count(model: nn.Module) -> int:
    """Count the numbers that a model learns, each once."""
    return sum(parameter.numel() for parameter in model.parameters())

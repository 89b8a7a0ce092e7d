"""What a network costs: multiply-adds of its layers on one input, and its parameters."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from sipp_core.network.layers import SUPPORTED
from sipp_core.runtime.execution import evaluating, forward, model_device


def multiply_adds(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Count the multiply-adds of each Linear and Conv layer in one forward pass.

    A Linear layer takes out * in for each row, a convolution out * in/groups * kernel for each
    position of its output; padding counts as any input, a zero weight as any weight. Biases,
    normalisations, activations and sums are not counted.

    Args:
        model: any module; left as it was.
        example: (n, ...) inputs, on any device; the counts are of all of them together.

    Returns:
        Multiply-adds by name of the layer, in the order of `named_modules`; 0 for one not called.

    Raises:
        ValueError: the model cannot run on the example.

    Claim: none (plumbing).

    Example:
        >>> import torch
        >>> multiply_adds(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), torch.ones(1, 1, 5, 5))
        {'0': 162}
    """
    found: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():
        if not isinstance(module, SUPPORTED):
            continue
        found[name] = 0

        def count(layer: nn.Module, given: Any, out: Tensor, name: str = name) -> None:
            found[name] += _cost(layer, out)

        handles.append(module.register_forward_hook(count))
    try:
        with evaluating(model):
            forward(model, example.to(model_device(model)), "example")
    finally:
        for handle in handles:
            handle.remove()
    return found


def _cost(layer: nn.Module, out: Tensor) -> int:
    if isinstance(layer, nn.Linear):
        return out.numel() * layer.in_features
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return out.numel() * (layer.in_channels // layer.groups) * math.prod(layer.kernel_size)


def parameter_count(model: nn.Module) -> int:
    """Count the numbers that a model learns, each once."""
    return sum(parameter.numel() for parameter in model.parameters())

"""The two networks that a certificate over regions is about, checked before any bound is made."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sipp_core.network.layers import SUPPORTED
from sipp_core.neurons import REFINED, SYMBOLS, embedded
from sipp_core.pruning import PruneResult
from sipp_core.runtime.arguments import refuse_nonfinite, whole
from sipp_core.runtime.execution import evaluating, forward, model_device


def both_modules(model: object, pruned: object) -> tuple[nn.Module, nn.Module]:
    """The two networks, the pruned one also out of a result; one layer alone as a network of it."""
    if isinstance(pruned, PruneResult):
        pruned = pruned.model
    networks = []
    for name, module in (("model", model), ("pruned", pruned)):
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{name} must be an nn.Module or a PruneResult; found {type(module).__name__}"
            )
        for own, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point():
                refuse_nonfinite(
                    f"{name} has a weight that is not finite: {own!r}", tensor.detach()
                )
        networks.append(nn.Sequential(module) if isinstance(module, SUPPORTED) else module)
    return networks[0], networks[1]


def paired(dense: nn.Module, small: nn.Module, inputs: Tensor, name: str) -> nn.Module:
    """The pruned network in the shape of the original, which was run on an input first.

    Shapes: inputs (1, ...) float64, called `name` in a refusal.
    """
    parameter = next(dense.parameters(), None)
    dtype = torch.float32 if parameter is None else parameter.dtype
    two = inputs.expand(2, *inputs.shape[1:]).to(dtype)
    with evaluating(dense), torch.no_grad():
        forward(dense, two.to(model_device(dense)), name)
    return embedded(dense, small, two)


def generators(symbols: int | None, wide: bool) -> int:
    """How many symbols affine forms may have; a number that has no effect is refused."""
    if symbols is None:
        return SYMBOLS
    whole("symbols", symbols, 0)
    if not wide:
        raise ValueError(
            f"symbols={symbols} has no effect: no layer behind an activation has more than "
            f"{REFINED:,} values, so all are bounded by going back to the input"
        )
    return symbols

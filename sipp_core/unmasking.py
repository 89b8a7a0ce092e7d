"""Masks of `torch.nn.utils.prune` folded into plain weights."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod

__all__ = ["duplicate", "refresh", "unmask"]


def _masks(module: nn.Module) -> list[BasePruningMethod]:
    return [h for h in module._forward_pre_hooks.values() if isinstance(h, BasePruningMethod)]


def duplicate(model: nn.Module) -> nn.Module:
    """Deep copy a network, also one whose masked weights carry the gradients of a forward pass.

    Args:
        model: any module; not changed.

    Returns:
        The copy.

    Raises:
        RuntimeError: a tensor other than a masked weight belongs to a graph of gradients.

    Claim: none (plumbing).

    Example:
        >>> from torch.nn.utils.prune import l1_unstructured
        >>> net = l1_unstructured(nn.Linear(4, 2), "weight", amount=0.5)
        >>> loss = net(torch.ones(1, 4)).sum()
        >>> torch.equal(duplicate(net).weight, net.weight)
        True
    """
    known = {}
    for module in model.modules():
        for mask in _masks(module):
            product = getattr(module, mask._tensor_name)
            known[id(product)] = product.detach().clone()
    return copy.deepcopy(model, known)


def refresh(model: nn.Module) -> None:
    """Compute masked weights anew from what they are made of, as the next forward pass would.

    Args:
        model: any module; changed in place.

    Raises:
        Nothing.

    Claim: none (plumbing).

    Example:
        >>> net = nn.Linear(2, 1)
        >>> refresh(net)  # no masks, nothing to do
    """
    with torch.no_grad():
        for module in model.modules():
            for mask in _masks(module):
                setattr(module, mask._tensor_name, mask.apply_mask(module))


def unmask(model: nn.Module) -> nn.Module:
    """Copy a network with its masks folded into plain weights, under their plain names.

    Args:
        model: any module; not changed.

    Returns:
        A deep copy that computes the same; masked weights are zeros without a sign.

    Raises:
        Nothing.

    Claim: none (plumbing).

    Example:
        >>> from torch.nn.utils.prune import l1_unstructured
        >>> net = l1_unstructured(nn.Linear(4, 2), "weight", amount=0.5)
        >>> list(unmask(net).state_dict()), int((unmask(net).weight == 0).sum())
        (['bias', 'weight'], 4)
    """
    new = duplicate(model)
    for module in new.modules():
        for mask in _masks(module):
            name = str(mask._tensor_name)
            mask.remove(module)
            for key, hook in list(module._forward_pre_hooks.items()):
                if hook is mask:
                    del module._forward_pre_hooks[key]
            with torch.no_grad():
                # A negative weight times a mask of 0 is -0.0, which is another value than 0.
                module.get_parameter(name).add_(0.0)
    return new

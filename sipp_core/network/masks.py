"""Masks of the weights that are left: found, drawn at random, and held while a network learns."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from sipp_core.network.layers import weight_of
from sipp_core.network.packed import layer_of


def nonzeros(model: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
    """Masks of the weights that are not zero.

    Args:
        model: the network.
        names: qualified names of Linear or Conv layers.

    Returns:
        For each name a bool tensor of the weight's shape, False at its zeros.

    Example:
        >>> net = nn.Linear(2, 1); _ = net.weight.data.copy_(torch.tensor([[0.0, 3.0]]))
        >>> nonzeros(net, [""])[""].tolist()
        [[False, True]]
    """
    return {name: weight_of(layer_of(model, name)).detach() != 0 for name in names}


def random_like(masks: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Masks that keep as many weights of each layer, at random places.

    Args:
        masks: bool tensors by layer name.
        seed: of the places, >= 0.

    Returns:
        Masks of the same shapes and counts.

    Example:
        >>> random_like({"a": torch.tensor([True, False, True])}, seed=1)["a"].sum().item()
        2
    """
    rng = torch.Generator().manual_seed(seed)
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=rng)].reshape(mask.shape)
        for name, mask in masks.items()
    }


def masked_weights(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weights of layers with the masks that are given for them."""
    pairs = []
    for name, mask in masks.items():
        weight = weight_of(layer_of(model, name))
        if mask.shape != weight.shape:
            raise ValueError(
                f"the mask of layer {name!r} has shape {tuple(mask.shape)}, its weight "
                f"{tuple(weight.shape)}"
            )
        pairs.append((weight, mask.to(weight.device)))
    return pairs


@contextmanager
def holding_zeros(model: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Train for a while without waking a weight outside the masks.

    Their weights are set to 0 and their gradients with them: momentum, Adam and weight decay all
    leave a weight of 0 whose gradient was always 0 where it is.
    """
    pairs = masked_weights(model, masks)
    handles = []
    try:
        for weight, mask in pairs:
            with torch.no_grad():
                weight.masked_fill_(~mask, 0.0)
            if weight.requires_grad:
                handles.append(
                    weight.register_hook(lambda grad, mask=mask: grad.masked_fill(~mask, 0.0))
                )
        yield
    finally:
        for handle in handles:
            handle.remove()


def _masks(module: nn.Module) -> list[BasePruningMethod]:
    return [h for h in module._forward_pre_hooks.values() if isinstance(h, BasePruningMethod)]


def duplicate(model: nn.Module) -> nn.Module:
    """Deep copy a network, also one whose masked weights carry the gradients of a forward pass."""
    known = {}
    for module in model.modules():
        for mask in _masks(module):
            product = getattr(module, mask._tensor_name)
            known[id(product)] = product.detach().clone()
    return copy.deepcopy(model, known)


def refresh(model: nn.Module) -> None:
    """Recompute masked weights from what they are made of, as the next forward pass would.

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

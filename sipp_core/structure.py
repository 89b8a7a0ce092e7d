"""Changes of a network's structure, recorded so that a saved network can be built again.

Most methods write zeros into a layer and leave its shape. A low-rank layer becomes two thin ones;
a `Change` says so, `restructure` does it to a model of the user's architecture, and a saved file
carries the changes, so that `load` needs nothing but that architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sipp_core.narrowing import narrow

KINDS = ("low-rank", "narrow")


@dataclass(frozen=True)
class Change:
    """One module that has another shape than in the user's model.

    Attributes:
        name: qualified name of the module.
        kind: "low-rank": a Linear or Conv layer as two, with `sizes` = (rank,), per group;
            "narrow": a Linear, Conv or BatchNorm layer of fewer channels, `sizes` = (out, in).
        sizes: whole numbers >= 1 that the kind needs.

    Claim: none (plumbing).
    """

    name: str
    kind: str
    sizes: tuple[int, ...]


def restructure(model: nn.Module, changes: Sequence[Change]) -> nn.Module:
    """Give a model the structure that changes record; weights of changed modules are new.

    Args:
        model: may be changed in place.
        changes: what to change.

    Returns:
        The model as changed, the same object or a copy.

    Raises:
        ValueError: a change that does not fit the model, or of no known kind.

    Claim: none (plumbing).

    Example:
        >>> net = restructure(nn.Sequential(nn.Linear(8, 6)), [Change("0", "low-rank", (2,))])
        >>> [tuple(p.shape) for p in net.parameters()]
        [(2, 8), (6, 2), (6,)]
    """
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
    where: dict[str, Any] = {}
    if isinstance(getattr(old, "weight", None), torch.Tensor):
        where = {"device": old.weight.device, "dtype": old.weight.dtype}
    if isinstance(old, nn.Linear):
        bias = old.bias is not None
        pair = (
            nn.Linear(old.in_features, rank, bias=False, **where),
            nn.Linear(rank, old.out_features, bias=bias, **where),
        )
    elif isinstance(old, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        kind, bias = type(old), old.bias is not None
        settings: dict[str, Any] = {
            name: getattr(old, name)
            for name in ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        }
        inner = rank * old.groups
        pair = (
            kind(old.in_channels, inner, bias=False, **settings, **where),
            kind(inner, old.out_channels, 1, groups=old.groups, bias=bias, **where),
        )
    else:
        raise ValueError(
            f"layer {change.name!r} is a {type(old).__name__}; only Linear and Conv layers can be "
            "made low-rank"
        )
    return nn.Sequential(*pair)

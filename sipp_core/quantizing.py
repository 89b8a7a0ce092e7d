"""Weights on few levels, learnt by training: a short file needs few distinct values.

While a network learns its levels, each weight w is used as the level c_i that minimises
(w - c_i)^2/s^2 + rate * bits(i), where bits(i) = -log2 of the share of level i at the time and s is
the distance of levels; on a grid, among the nearest level and its neighbour towards 0. The gradient
passes through the rounding to w, and reaches the levels. What a level costs in the file so decides
what becomes of a weight: rare levels are avoided, and cheap ones (mostly 0) attract.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sipp_core._arguments import whole
from sipp_core.masks import masked_weights
from sipp_core.roundings import Grid, Table

__all__ = ["Codebook", "learning_levels"]

Codebook = Literal["grid", "table"]
"""Kinds of levels: whole multiples of a step, or any. Claim: none (plumbing)."""


@contextmanager
def learning_levels(
    model: nn.Module,
    *,
    levels: int,
    codebook: Codebook = "grid",
    bias_levels: int = 15,
    rate: float = 0.05,
    masks: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> Iterator[None]:
    """Train for a while with every parameter on few levels; they stay on them afterwards.

    Inside the block the model computes with the levels; whoever trains its `parameters()` trains
    what is rounded to them, and the levels themselves. Zeros outside the masks stay zeros. On
    leaving, every parameter holds its levels' values exactly and is an ordinary one again. Buffers
    are left alone.

    Args:
        model: the network; changed in place.
        levels: how many values a weight may take, odd for a grid (0 and as many on either side),
            from 3 to 255; a table has 0 and levels - 1 others.
        codebook: "grid", multiples of a step that is learnt for each tensor; or "table", levels of
            its own for each tensor, found by k-means and then learnt. Biases and other parameters
            of one axis have a grid.
        bias_levels: the same for parameters of one axis, odd.
        rate: price of a bit in squared steps, >= 0; 0 rounds to the nearest level.
        masks: bool tensors by layer name, False where a weight must stay 0.
        seed: of k-means.

    Returns:
        A context manager.

    Raises:
        ValueError: an argument out of range, a parameter that is not finite or of a type other
            than float32 or float64, one that two modules share, or a mask of a wrong shape. The
            model is as it was then.

    Claim: none (plumbing). Source: Esser et al. 2020, arXiv 1902.08153 (learnt steps); Han et al.
        2016, arXiv 1510.00149 (k-means); Chou et al. 1989 (entropy-constrained quantization).

    Example:
        >>> net = nn.Linear(30, 20)
        >>> with learning_levels(net, levels=3):
        ...     net(torch.ones(1, 30)).sum().backward()
        >>> len(net.weight.unique())
        3
    """
    _check(levels, bias_levels, codebook, rate)
    found = _slots(model)
    held = {id(weight): mask for weight, mask in masked_weights(model, masks or {})}
    done: list[tuple[nn.Module, str]] = []
    try:
        for module, name, value in found:
            mask = held.get(id(value))
            if value.ndim > 1 and codebook == "table":
                rounding: nn.Module = Table(value, levels, rate, mask, seed)
            else:
                reach = (levels if value.ndim > 1 else bias_levels) // 2
                rounding = Grid(value, reach, rate, mask)
            parametrize.register_parametrization(module, name, rounding)
            done.append((module, name))
        yield
    finally:
        flags = [(module, module.training) for module in model.modules()]
        model.eval()
        for module, name in done:
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        for module, flag in flags:
            module.training = flag


def _check(levels: int, bias_levels: int, codebook: str, rate: float) -> None:
    if codebook not in ("grid", "table"):
        raise ValueError(f"codebook must be 'grid' or 'table'; found {codebook!r}")
    for name, count in (("levels", levels), ("bias_levels", bias_levels)):
        whole(name, count, 3, 256)
        if count % 2 == 0 and (name == "bias_levels" or codebook == "grid"):
            raise ValueError(
                f"{name} of a grid must be odd, 0 and as many on either side; found {count}"
            )
    if not (math.isfinite(rate) and rate >= 0):
        raise ValueError(f"rate must be finite and at least 0; found {rate!r}")


def _slots(model: nn.Module) -> list[tuple[nn.Module, str, nn.Parameter]]:
    """Every parameter with the module that holds it; refuses what cannot be put on levels."""
    found, seen = [], {}
    for path, module in model.named_modules():
        for name, value in module._parameters.items():
            if value is None:
                continue
            full = f"{path}.{name}" if path else name
            if id(value) in seen:
                raise ValueError(
                    f"parameter {full!r} is shared with {seen[id(value)]!r}; levels are learnt for "
                    "each tensor apart, so make them two"
                )
            if value.dtype not in (torch.float32, torch.float64):
                raise ValueError(
                    f"parameter {full!r} is {value.dtype}; levels are learnt in float32 or float64"
                )
            if not torch.isfinite(value).all():
                raise ValueError(f"parameter {full!r} has a value that is not finite")
            seen[id(value)] = full
            found.append((module, name, value))
    if not found:
        raise ValueError("model must have a parameter to put on levels; found none")
    return found

"""Inputs drawn at random, as calibration takes them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["shuffled"]


def shuffled(
    inputs: Tensor, count: int, seed: int, targets: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Draw inputs at random: published files are sorted by origin, so their head is no sample.

    Args:
        inputs: (n, ...).
        count: how many, at most; all of them if there are fewer.
        seed: of the draw.
        targets: (n,) classes that go with them.

    Returns:
        The drawn inputs and their targets (numbers from 0 if none were given).

    Claim: none (plumbing).

    Example:
        >>> shuffled(torch.arange(5.0), 2, seed=0)[0].shape
        torch.Size([2])
    """
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))[:count]
    return inputs[order], (torch.arange(len(inputs)) if targets is None else targets)[order]

"""Errors of a network on given inputs, counted so that every machine counts the same."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sipp_core.running import evaluating, model_device

__all__ = ["count_errors"]


def count_errors(model: nn.Module, inputs: Tensor, targets: Tensor, batch_size: int = 1000) -> int:
    """Inputs on which the target's score is not above every other.

    Computed in float64 by a copy, so that other machines count the same; ties count as errors, and
    so do scores that are not finite.

    Args:
        model: maps (batch, ...) to (batch, classes) scores; not changed.
        inputs: (n, ...) floats.
        targets: (n,) class numbers.
        batch_size: inputs at once; for memory only.

    Returns:
        How many, from 0 to n.

    Raises:
        ValueError: no inputs, or another number of targets.

    Claim: none (plumbing). A count on the given inputs.

    Example:
        >>> scores = torch.tensor([[0.0, 1.0], [2.0, 2.0]])
        >>> count_errors(nn.Identity(), scores, torch.tensor([1, 0]))
        1
    """
    if len(inputs) == 0 or len(inputs) != len(targets):
        raise ValueError(
            "inputs and targets must have one row each per example, at least one; "
            f"found {len(inputs)} inputs and {len(targets)} targets"
        )
    exact, device, right = copy.deepcopy(model).double(), model_device(model), 0
    with evaluating(exact):
        for rows, wanted in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
            scores = exact(rows.to(device).double())
            index = wanted.to(device)[:, None]
            mine = scores.gather(1, index)
            others = scores.scatter(1, index, -torch.inf).amax(1, keepdim=True)
            right += int(((mine > others) & mine.isfinite()).sum())
    return len(inputs) - right

"""Errors of a network on given inputs, counted so that every machine counts the same."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sipp_core.runtime.execution import evaluating, model_device

__all__ = ["count_errors", "exact_scores", "wrong"]


def exact_scores(model: nn.Module, inputs: Tensor, batch_size: int = 1000) -> Tensor:
    """Class scores in float64, computed by a copy of the model on its device.

    Args:
        model: maps (batch, ...) to (batch, classes) scores; not changed.
        inputs: (n, ...) floats, n >= 1.
        batch_size: inputs at once; for memory only.

    Returns:
        (n, classes) float64 tensor on the CPU.

    Example:
        >>> exact_scores(nn.Identity(), torch.eye(2)).dtype
        torch.float64
    """
    # Apple's GPUs have no float64.
    device = model_device(model)
    device = torch.device("cpu") if device.type == "mps" else device
    exact = copy.deepcopy(model).to(device).double()
    with evaluating(exact):
        return torch.cat(
            [exact(rows.to(device).double()).cpu() for rows in inputs.split(batch_size)]
        )


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

    A count on the given inputs.

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
    return int(wrong(exact_scores(model, inputs, batch_size), targets).sum())


def wrong(scores: Tensor, targets: Tensor) -> Tensor:
    """Which inputs are got wrong: the target's score is not finite, or not above every other.

    Args:
        scores: (n, classes), as `exact_scores` gives them.
        targets: (n,) class numbers.

    Returns:
        (n,) bool tensor.

    Example:
        >>> wrong(torch.tensor([[0.0, 1.0], [2.0, 2.0]]), torch.tensor([1, 0])).tolist()
        [False, True]
    """
    index = targets.to(scores.device)[:, None]
    mine = scores.gather(1, index)
    others = scores.scatter(1, index, -torch.inf).amax(1, keepdim=True)
    return ~((mine > others) & mine.isfinite())[:, 0]

"""Rows that are only padding (token positions behind the end of a text), left out by a mask."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sipp_core.runtime.batch import Batch, Given

# The name of a tensor of the batch, or a function that makes a mask of it; None keeps all rows.
Mask = str | Callable[[Given], Tensor] | None
LEFT_OUT = "positions that mask= leaves out are not spoken of"


def padding_mask(mask: Mask, batch: Given) -> Tensor | None:
    """Which positions of which inputs count.

    Shapes: returns (n, positions, ...) bool.

    Example:
        >>> padding_mask(lambda ids: ids != 0, torch.tensor([[5, 7, 0]])).tolist()
        [[True, True, False]]
    """
    if mask is None:
        return None
    if callable(mask):
        marks = mask(batch)
    else:
        marks = batch.named.get(mask) if isinstance(batch, Batch) else None
        if marks is None:
            named = [] if isinstance(batch, Tensor) else list(batch.named)
            raise ValueError(
                f"mask={mask!r} names no tensor of the batch; it has "
                f"{', '.join(map(repr, named)) or 'no named ones'}: give batches as dicts, or "
                "mask= a function of the batch"
            )
    if not isinstance(marks, Tensor) or marks.ndim < 2 or len(marks) != len(batch):
        shape = tuple(marks.shape) if isinstance(marks, Tensor) else type(marks).__name__
        raise ValueError(
            f"mask= must give a tensor (n, positions) of what counts, for {len(batch)} inputs; "
            f"found {shape}"
        )
    if marks.dtype != torch.bool and not ((marks == 0) | (marks == 1)).all():
        raise ValueError("mask= must give True and False, or 1 and 0, where positions count or not")
    kept = marks != 0
    if not kept.any():
        raise ValueError("mask= leaves no position of a batch")
    return kept


def unpadded(given: Tensor, mask: Tensor | None) -> Tensor:
    """The rows of a dense layer's input that count; all of them where positions are not its rows.

    Shapes: given (n, positions, ..., features) or (n * positions, features), mask (n, positions);
    returns (rows, features).

    Example:
        >>> unpadded(torch.ones(1, 3, 2), torch.tensor([[True, False, True]])).shape
        torch.Size([2, 2])
    """
    if mask is None:
        return given
    if given.ndim > mask.ndim and given.shape[: mask.ndim] == mask.shape:
        return given[mask.to(given.device)]
    if given.ndim == 2 and len(given) == mask.numel():
        return given[mask.flatten().to(given.device)]
    return given

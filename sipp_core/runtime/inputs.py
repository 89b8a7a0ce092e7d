"""Calibration and held-out inputs: any iterable of batches, re-cut to one fixed shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

Inputs = Iterable[Any]
# A forward pass takes MOST_INPUTS, or as many as fit into FORWARD_BYTES. Both are part of what a
# result is: the rounding of a product depends on its shape.
MOST_INPUTS, FORWARD_BYTES = 256, 2**24


def _as_tensor(batch: object, where: str) -> Tensor:
    if isinstance(batch, tuple | list) and batch and isinstance(batch[0], Tensor | np.ndarray):
        batch = batch[0]
    if isinstance(batch, np.ndarray):
        batch = torch.from_numpy(np.ascontiguousarray(batch))
    if not isinstance(batch, Tensor):
        raise TypeError(
            f"{where} must be a tensor or an (input, target) pair; found {type(batch).__name__}"
        )
    if batch.ndim == 0:
        raise ValueError(f"{where} is a single number; the first dimension must count the inputs")
    return batch.detach()


def _fresh(batch: Tensor) -> Tensor:
    """Copy to memory of one layout: the rounding of a product depends on strides and alignment."""
    return batch.clone(memory_format=torch.contiguous_format)


def inputs_a_forward(batch: Tensor) -> int:
    """Choose how many inputs run in one forward pass, from the size of an input alone.

    Shapes: batch (n, ...).

    Example:
        >>> inputs_a_forward(torch.ones(1, 784)), inputs_a_forward(torch.ones(1, 3, 224, 224))
        (256, 27)
    """
    size = batch.element_size() * math.prod(batch.shape[1:])
    return max(1, min(MOST_INPUTS, FORWARD_BYTES // max(1, size)))


def batches(inputs: Inputs, size: int | None, name: str = "calibration") -> Iterator[Tensor]:
    """Cut a stream of inputs into batches of one fixed size, however it came.

    Rounding in a forward pass can depend on the batch it runs in, so the same inputs must always
    run in the same batches: only the last one may be smaller.
    """
    if isinstance(inputs, Tensor | np.ndarray):
        inputs = [inputs]
    if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes | dict):
        raise TypeError(f"{name} must be a tensor or an iterable of batches; found {type(inputs)}")
    waiting: list[Tensor] = []
    held, seen, first = 0, 0, None
    for number, raw in enumerate(inputs):
        batch = _as_tensor(raw, f"{name} batch {number}")
        if first is None:
            first = batch
            size = size or inputs_a_forward(batch)
        elif batch.shape[1:] != first.shape[1:] or batch.dtype != first.dtype:
            raise ValueError(
                f"{name} batch {number} has inputs of shape {tuple(batch.shape[1:])} and dtype "
                f"{batch.dtype}; batch 0 has {tuple(first.shape[1:])} and {first.dtype}. (A pair "
                "(inputs, targets) of whole arrays must be passed as [(inputs, targets)].)"
            )
        waiting.append(batch)
        held += batch.shape[0]
        seen += batch.shape[0]
        if size is not None and held >= size:
            joined = torch.cat(waiting) if len(waiting) > 1 else waiting[0]
            full = held - held % size
            yield from (_fresh(part) for part in joined[:full].split(size))
            waiting, held = [joined[full:]], held - full
    if held:
        yield _fresh(torch.cat(waiting))
    elif seen == 0:
        raise ValueError(f"{name} is empty: at least one input is needed")


def labelled(inputs: Inputs, name: str = "calibration") -> list[tuple[Tensor, Tensor]]:
    """Hold a stream of (input, target) pairs, which can then be read twice.

    Example:
        >>> len(labelled([(torch.ones(3, 2), torch.zeros(3))]))
        1
    """
    if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes | dict):
        raise TypeError(f"{name} must be an iterable of batches; found {type(inputs)}")
    pairs = []
    for number, raw in enumerate([inputs] if isinstance(inputs, Tensor | np.ndarray) else inputs):
        where = f"{name} batch {number}"
        given = raw[1] if isinstance(raw, tuple | list) and len(raw) > 1 else None
        if not isinstance(given, Tensor | np.ndarray) or given.ndim == 0:
            raise ValueError(
                f"{where} has no targets, which gradients of a loss need: found "
                f"{type(raw if given is None else given).__name__}; give {name} as "
                "(inputs, targets) pairs of tensors, a whole set as [(inputs, targets)]"
            )
        pair = _as_tensor(raw, where), _as_tensor(given, f"the targets of {where}")
        if len(pair[0]) != len(pair[1]):
            raise ValueError(f"{where} has {len(pair[0])} inputs and {len(pair[1])} targets")
        pairs.append(pair)
    return pairs


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

    Example:
        >>> shuffled(torch.arange(5.0), 2, seed=0)[0].shape
        torch.Size([2])
    """
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))[:count]
    return inputs[order], (torch.arange(len(inputs)) if targets is None else targets)[order]

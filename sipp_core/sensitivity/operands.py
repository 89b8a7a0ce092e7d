"""Blocks of weights and rows made ready for the kernel: parts by sign, and range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# With weights and activations inside this range, z and a/z stay inside float32.
SAFE_LOW, SAFE_HIGH = 1e-9, 1e9
PIECE = 2**20  # elements of which temporaries are made at once


class Space:
    """Memory for one temporary after another: freed and taken anew, they would leave holes."""

    def __init__(self) -> None:
        self._free: list[Tensor] = []

    @contextmanager
    def matrix(self, rows: int, columns: int, like: Tensor) -> Iterator[Tensor]:
        """A matrix of a tensor's dtype and device, of any values, for the time of the block."""
        buffer, size = self._free.pop() if self._free else like.new_empty(0), rows * columns
        same = (buffer.dtype, buffer.device) == (like.dtype, like.device)
        if not same or buffer.numel() < size:
            buffer = like.new_empty(size)
        yield buffer[:size].view(rows, columns)
        self._free.append(buffer)


@dataclass(frozen=True)
class Matrix:
    """A block of weights, with what is the same for every batch of rows.

    Attributes:
        weight: (out, fan_in), any sign.
        extreme: whether float32 could overflow or flush to zero whatever the activations.
        kept: (2 out, fan_in) the positive part and below it the size of the negative part, or None
            where these are made whenever they are needed.
        space: where they are made then.
    """

    weight: Tensor
    extreme: bool
    kept: Tensor | None
    space: Space

    @contextmanager
    def sign(self, index: int, rows: slice) -> Iterator[Tensor]:
        """The size of one sign's part of some neurons, (k, fan_in): 0 positive, 1 negative."""
        own = self.weight[rows]
        with self.space.matrix(own.shape[0], own.shape[1], self.weight) as part:
            yield torch.clamp(own if index == 0 else torch.neg(own, out=part), min=0, out=part)


def matrix(weight: Tensor, room: int = 0, space: Space | None = None) -> Matrix:
    """Prepare a block of weights; its signs are kept if they are no more than `room` elements.

    Shapes: weight (out, fan_in).
    """
    low, high = map(float, weight.aminmax()) if weight.numel() else (0.0, 0.0)
    kept = torch.cat(halves(weight, signed=True)) if 2 * weight.numel() <= room else None
    return Matrix(weight, extreme(weight, max(-low, high)), kept, space or Space())


def extreme(values: Tensor, peak: float) -> bool:
    """Whether float32 could overflow or flush to zero anywhere in a/z."""
    # What is at most SAFE_LOW shrinks to 0: far cheaper in torch than to compare and to mask.
    return peak > SAFE_HIGH or any(
        float((F.hardshrink(part, SAFE_LOW) - part).abs_().amax()) > 0 for part in _pieces(values)
    )


def beyond(peak: float, least: float) -> bool:
    """`extreme` of values whose largest and least size, other than 0, are known."""
    return peak > SAFE_HIGH or least <= SAFE_LOW


def _pieces(values: Tensor) -> Iterator[Tensor]:
    """Views of at most PIECE elements that cover a tensor of any layout."""
    if values.numel() == 0:
        return
    if values.numel() <= PIECE:
        yield values
        return
    axis = next(k for k, n in enumerate(values.shape) if n > 1)
    step = max(1, values.shape[axis] * PIECE // values.numel())
    for part in values.split(step, dim=axis):
        yield from _pieces(part)


def halves(rows: Tensor, signed: bool) -> tuple[Tensor, ...]:
    """Give rows as non-negative ones: as they are, or a+ and a-.

    Claim: ES-1, for activations of any sign. Source: [SP] arXiv 1910.05422.
    """
    return (rows.clamp(min=0), (-rows).clamp(min=0)) if signed else (rows,)


def normalised(rows: Tensor) -> Tensor:
    """Scale each row by a power of two so that its largest magnitude lies in [1, 2).

    Shapes: rows (n, k).

    Claim: ES-3 (no share changes). Source: this project.
    """
    peak = rows.abs().amax(dim=1, keepdim=True)
    # Exact, also for subnormal and for the largest numbers; torch.ldexp forms 2^e in float32.
    unit = torch.where(peak > 0, peak / (2 * torch.frexp(peak).mantissa), 1.0)
    return rows / unit

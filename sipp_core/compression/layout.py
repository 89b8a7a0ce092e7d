"""A tensor as a matrix, and which weights before a weight tell something of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sipp_core.compression.adaptive import ContextModels, chance, number
from sipp_core.compression.range_coder import Coder, DamagedError, Integers

# Worth saying a width for: what it gains is at least this much, in bits by a rough account.
GAIN = 24.0


@dataclass(frozen=True)
class Layout:
    """A tensor as a matrix, one row an output."""

    rows: int  # outputs; 1 for a vector
    columns: int  # weights of an output
    width: int  # how far back the weight above is, where a row is an image; 0 if none
    image: int  # weights of one image (a kernel, say) in a row; 0 if a row is one

    def back(self) -> tuple[int, ...]:
        """How far back the neighbours are: left, above, the last image, the last row and others."""
        w = self.width
        return (1, w, self.image, self.columns, w - 1, w + 1, 2 * w)

    def reaching(self) -> Integers:
        """How far back each neighbour is, (columns, 7); 0 if not in the row or just above it."""
        backs = self.back()
        result = np.zeros((self.columns, len(backs)), np.int64)
        for k, back in enumerate(backs):
            if back > 0 and back not in backs[:k]:
                result[0 if back == self.columns else back :, k] = back
        return result


def usual(shape: tuple[int, ...]) -> Layout:
    """The layout of a tensor of that shape, by default."""
    rows = shape[0] if len(shape) > 1 else 1
    columns = math.prod(shape) // rows if rows else 0
    if len(shape) > 2:
        return Layout(rows, columns, shape[-1], math.prod(shape[2:]))
    side = math.isqrt(columns)
    return Layout(rows, columns, side if side * side == columns else 0, 0)


def fitted(levels: Integers, shape: tuple[int, ...]) -> Layout:
    """The layout whose weight above tells most of a weight."""
    layout = usual(shape)
    if len(shape) != 2 or layout.columns < 6:
        return layout
    matrix = levels.astype(np.float64).reshape(layout.rows, layout.columns)
    power = float((matrix * matrix).sum()) or 1.0

    def gain(width: int) -> float:
        if not 0 < width < layout.columns:
            return 0.0
        shared = float((matrix[:, width:] * matrix[:, :-width]).sum()) / power
        return 0.72 * matrix.size * shared * abs(shared)

    best = max(range(2, min(layout.columns, 65)), key=gain)
    if gain(best) < gain(layout.width) + GAIN:
        return layout
    return Layout(layout.rows, layout.columns, best, best * best)


def code_layout(
    coder: Coder, contexts: ContextModels, layout: Layout, shape: tuple[int, ...]
) -> Layout:
    """Write or read the layout of a tensor."""
    given = usual(shape)
    if len(shape) != 2 or not chance(coder, contexts, "width", int(layout.width != given.width)):
        return given
    width = 2 + number(coder, contexts, "its width", max(layout.width - 2, 0))
    if width >= given.columns:
        raise DamagedError("a row is wider than its layer")
    return Layout(given.rows, given.columns, width, width * width)

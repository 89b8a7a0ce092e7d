"""Rows of small batches wait until there are enough of them to keep every core at work.

The maxima do not depend on the order of the rows, and the first row to attain one is still the
first: rows are folded in the order in which they came.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sipp_core.runtime.execution import threads_for
from sipp_core.sensitivity import kernel
from sipp_core.sensitivity.operands import Matrix

# (weight, row) pairs folded at once: twice what the CPU kernel asks for to use a second thread.
ENOUGH = 2**29
# Float32 elements that may wait, all layers together: 32 MiB, and folding takes copies of them.
HELD = 2**23
SMALL = 2**20  # a larger batch is folded at once
BATCH = 256  # room is a multiple of the usual batch, so that full batches fill it


class Waiting:
    """Rows and denominators of one block of a layer that are not folded yet.

    Rows are copied, as a model may write to its activations later on. A sum of shares rounds by the
    rows that it is formed of, so where the mean is kept nothing waits.
    """

    def __init__(self, acc: kernel.Accumulator, block: Matrix, elements: int) -> None:
        self.acc, self.block = acc, block
        out, fan_in = block.weight.shape
        enough = -(-ENOUGH // max(1, out * fan_in * BATCH)) * BATCH
        self.row = max(1, fan_in + 2 * out)
        room = elements // self.row
        self.room = 0 if acc.total is not None else min(enough, room // BATCH * BATCH)
        self.held = 0
        self._rows = self._z = self._origin = block.weight.new_empty(0)

    def waits(self, rows: int) -> bool:
        """Whether so many rows at once are kept for later."""
        return rows <= min(self.room // 2, SMALL // self.row)

    def add(
        self, rows: Tensor, z: Tensor, origin: Tensor | None, panels: Tensor | None = None
    ) -> None:
        """Take in ordinary rows (n, fan_in) >= 0, their (2, n, out) denominators, and origins.

        Rows that do not wait may be given in panels too, as `kernel_gpu.pack` lays them out.
        """
        if not self.waits(len(rows)):
            self.flush()
            self._fold(rows, z, origin, panels)
            return
        if self.held + len(rows) > self.room:
            self.flush()
        if len(self._rows) == 0:
            self._rows = rows.new_empty(self.room, rows.shape[1])
            self._z = rows.new_empty(self.room, 2, z.shape[2]).movedim(1, 0)
            self._origin = torch.zeros(self.room, dtype=torch.int64, device=rows.device)
        here = slice(self.held, self.held + len(rows))
        self._rows[here], self._z[:, here] = rows, z
        if origin is not None:
            self._origin[here] = origin
        self.held += len(rows)

    def flush(self) -> None:
        """Fold everything that waits."""
        held, self.held = self.held, 0
        if held:
            origin = None if self.acc.argmax is None else self._origin[:held]
            self._fold(self._rows[:held], self._z[:, :held], origin)

    def close(self) -> None:
        """Fold everything and give the room back."""
        self.flush()
        self._rows = self._z = self._origin = self.block.weight.new_empty(0)

    def _fold(
        self, rows: Tensor, z: Tensor, origin: Tensor | None, panels: Tensor | None = None
    ) -> None:
        with threads_for(len(rows), self.block.weight):
            kernel.count(self.acc, z)
            kernel.fold(self.acc, self.block, rows, z, origin, panels)

"""Sums that come out the same in any order: batches may be added up by any number of processes.

Floating-point addition rounds, so its result depends on the order. Here each number is cut into
limbs, whole multiples of fixed powers of two so far apart that float64 adds each kind without
rounding; what is smaller than the last limb's unit is rounded away at once, before any order is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Exponents of the limbs' units. 42 bits apart, 2^11 numbers fit into a limb before it is carried.
SHARES = (-20, -62)  # sums of shares in [0, 1]: up to 2^33 rows, 2e-19 a batch is rounded away
RATIOS = (106, 64, 22, -20, -62)  # sums of ratios of any size
SQUARES = tuple(range(106, -330, -42))  # of any size, and as small as squares of float32 get
CARRY_EVERY = 2**11
# A float32 ratio is below 2^128, so only a ratio of float64 numbers, as good as infinite, is cut.
LARGEST = 2.0**156


class ExactSum:
    """A running sum of non-negative tensors, the same bits whatever the order and the grouping."""

    def __init__(self, like: Tensor, units: Sequence[int]) -> None:
        # Adding 1.5 * 2^52 units and taking them off again rounds to a whole number of units.
        self._magic = [1.5 * 2.0 ** (52 + unit) for unit in units]
        self._limbs = [torch.zeros_like(like, dtype=torch.float64) for _ in units]
        self._bounded = max(units) < 0
        self._waiting = 0

    def add(self, part: Tensor) -> None:
        """Add a tensor; what is infinite stays infinite."""
        rest = part.to(torch.float64, copy=True)
        if not self._bounded:
            infinite = rest > LARGEST
            self._limbs[0] += torch.where(infinite, math.inf, 0.0)
            rest.masked_fill_(infinite, 0)
        for limb, magic in zip(self._limbs, self._magic, strict=True):
            whole = (rest + magic).sub_(magic)
            limb += whole
            rest -= whole
        self._waiting += 1
        if self._waiting == CARRY_EVERY:
            self._carry()

    def _carry(self) -> None:
        for k in range(len(self._limbs) - 1, 0, -1):
            whole = (self._limbs[k] + self._magic[k - 1]).sub_(self._magic[k - 1])
            self._limbs[k - 1] += whole
            self._limbs[k] -= whole
        self._waiting = 0

    def merge(self, total: Callable[[Tensor], Tensor]) -> None:
        """Join the sums of several processes; `total` adds a tensor up over them."""
        self._carry()
        self._limbs = [total(limb) for limb in self._limbs]

    def value(self) -> Tensor:
        """The sum, float64, rounded once."""
        if len(self._limbs) == 2:
            return self._limbs[0] + self._limbs[1]
        columns = torch.stack([limb.flatten() for limb in self._limbs], dim=1).tolist()
        sums = torch.tensor([math.fsum(column) for column in columns], dtype=torch.float64)
        return sums.reshape(self._limbs[0].shape).to(self._limbs[0].device)

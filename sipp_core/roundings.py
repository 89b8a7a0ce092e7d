"""From weights to their levels and back for gradients: what `learning_levels` puts on tensors.

Each is a parametrization: its original is the values that are trained, those inside the mask.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

# Bits behind the leading one: a file holds a step in seven bits, an entry of a table in eight.
STEP_BITS, TABLE_BITS = 2, 3
# Tensors of fewer values begin with levels up to their largest value, others with LSQ's step.
FEW = 40


class _ToLevel(torch.autograd.Function):
    """Values on levels; gradients pass to the values within the levels' range, and to the levels.

    A grid's step s receives the gradient of s * round(w / s) with the rounding passed through
    (LSQ), a table's entry those of the values that lie on it.
    """

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, index: Tensor, levels: Tensor, step: Tensor | None
    ) -> Tensor:
        rounded = levels[index]
        ctx.save_for_backward(value, rounded, index, levels, step)
        return rounded

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, None, Tensor | None, Tensor | None]:
        value, rounded, index, levels, step = ctx.saved_tensors
        half = step / 2 if step is not None else 0.0
        inside = (value >= levels[0] - half) & (value <= levels[-1] + half)
        if step is not None:
            off = torch.where(inside, rounded - value, rounded) / step
            return grad * inside, None, None, (grad * off).sum().reshape(step.shape)
        return grad * inside, None, torch.zeros_like(levels).index_add_(0, index, grad), None


class _Rounding(nn.Module):
    """A tensor's way to its levels: a parametrization whose original is the values of the mask."""

    def __init__(self, value: Tensor, count: int, rate: float, mask: Tensor | None) -> None:
        super().__init__()
        self.shape, self.rate = value.shape, rate
        kept = None if mask is None else mask.flatten().nonzero().squeeze(1)
        self.register_buffer("kept", kept, persistent=False)
        # A mask's zeros count: it is their number that makes a zero cheap and a place dear.
        self.zeros = 0 if kept is None else value.numel() - len(kept)
        self.register_buffer("bits", torch.zeros(count, dtype=value.dtype, device=value.device))

    def right_inverse(self, value: Tensor) -> Tensor:
        """The values that are trained."""
        flat = value.detach().flatten().clone()
        return flat if self.kept is None else flat[self.kept]  # pyright: ignore

    def spread(self, rounded: Tensor) -> Tensor:
        """Rounded values at their places, zeros elsewhere."""
        if self.kept is None:
            return rounded.reshape(self.shape)
        flat = rounded.new_zeros(math.prod(self.shape))
        return flat.index_put((self.kept,), rounded).reshape(self.shape)  # pyright: ignore

    def count(self, index: Tensor, zero: int) -> None:
        """What each level costs as things stand."""
        shares = torch.bincount(index, minlength=len(self.bits)).to(self.bits.dtype) + 0.5
        shares[zero] += self.zeros
        self.bits = -torch.log2(shares / shares.sum())


class Grid(_Rounding):
    """Multiples of a step."""

    def __init__(self, value: Tensor, reach: int, rate: float, mask: Tensor | None) -> None:
        super().__init__(value, 2 * reach + 1, rate, mask)
        self.reach = reach
        kept = value.detach().abs().flatten()
        kept = kept if self.kept is None else kept[self.kept]  # pyright: ignore
        size = float(kept.max() / reach if 0 < len(kept) < FEW else 2 * kept.mean() / reach**0.5)
        start = math.log2(size) if math.isfinite(size) and size > 0 else -4.0
        self.log_step = nn.Parameter(torch.tensor(start, dtype=value.dtype, device=value.device))

    def step(self) -> Tensor:
        """The step, on the numbers that a file holds in few bits."""
        exact = torch.exp2(self.log_step)
        return exact + (short(exact.detach(), STEP_BITS) - exact).detach()

    def forward(self, value: Tensor) -> Tensor:
        """The tensor on its levels."""
        step = self.step()
        with torch.no_grad():
            scaled = (value / step).clamp(-self.reach, self.reach)
            near = scaled.round()
            inner = near - near.sign()
            cost = [
                (scaled - k) ** 2 + self.rate * self.bits[(k + self.reach).long()]
                for k in (near, inner)
            ]
            index = (torch.where(cost[1] < cost[0], inner, near) + self.reach).long()
            if self.training:
                self.count(index, self.reach)
            whole_numbers = torch.arange(
                -self.reach, self.reach + 1, dtype=value.dtype, device=value.device
            )
            levels = step * whole_numbers
        return self.spread(_ToLevel.apply(value, index, levels, step))


class Table(_Rounding):
    """Levels of their own: 0, and what k-means finds."""

    def __init__(
        self, value: Tensor, count: int, rate: float, mask: Tensor | None, seed: int
    ) -> None:
        kept = value.detach().flatten()
        kept = kept if mask is None else kept[mask.flatten()]
        column = kept.cpu().double().numpy()[:, None]
        some = min(count - 1, len(np.unique(column)))
        centers = np.zeros(1)
        if some:
            means = KMeans(some, n_init="auto", random_state=seed).fit(column).cluster_centers_
            centers = np.unique(np.append(means[:, 0], 0.0))
        super().__init__(value, len(centers), rate, mask)
        self.zero = int(np.flatnonzero(centers == 0)[0])
        self.table = nn.Parameter(torch.tensor(centers, dtype=value.dtype, device=value.device))
        self.spacing = float((np.diff(centers) ** 2).mean()) if len(centers) > 1 else 1.0

    def forward(self, value: Tensor) -> Tensor:
        """The tensor on its levels."""
        exact = self.table
        levels = exact + (short(exact.detach(), TABLE_BITS) - exact).detach()
        held = torch.ones_like(levels)
        held[self.zero] = 0
        levels = levels * held
        with torch.no_grad():
            apart = (value.unsqueeze(1) - levels) ** 2 / self.spacing
            index = (apart + self.rate * self.bits).argmin(1)
            if self.training:
                self.count(index, self.zero)
        return self.spread(_ToLevel.apply(value, index, levels, None))


def short(value: Tensor, bits: int) -> Tensor:
    """The nearest numbers with so many bits behind the leading one."""
    share, exponent = torch.frexp(value)
    return torch.ldexp(torch.round(share * 2 ** (bits + 1)), exponent - bits - 1)

"""Weights on few levels, learnt by training: a short file needs few distinct values.

While a network learns its levels, each weight w is used as the level c_i that minimises
(w - c_i)^2/s^2 + rate * bits(i), where bits(i) = -log2 of the share of level i at the time and s is
the distance of levels; on a grid, among the nearest level and its neighbour towards 0. The gradient
passes through the rounding to w, and reaches the levels. What a level costs in the file so decides
what becomes of a weight: rare levels are avoided, and cheap ones (mostly 0) attract.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sipp_core.network.masks import masked_weights
from sipp_core.runtime.arguments import whole

__all__ = ["Codebook", "learning_levels"]

Codebook = Literal["grid", "table"]
"""Kinds of levels: whole multiples of a step, or any."""

# Bits behind the leading one: a file holds a step in seven bits, an entry of a table in eight.
STEP_BITS, TABLE_BITS = 2, 3
# Tensors of fewer values begin with levels up to their largest value, others with LSQ's step.
FEW = 40


def short(value: Tensor, bits: int) -> Tensor:
    """The nearest numbers with so many bits behind the leading one."""
    share, exponent = torch.frexp(value)
    return torch.ldexp(torch.round(share * 2 ** (bits + 1)), exponent - bits - 1)


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


def _check(levels: int, bias_levels: int, codebook: str, rate: float) -> None:
    if codebook not in ("grid", "table"):
        raise ValueError(f"codebook must be 'grid' or 'table'; found {codebook!r}")
    for name, count in (("levels", levels), ("bias_levels", bias_levels)):
        whole(name, count, 3, 256)
        if count % 2 == 0 and (name == "bias_levels" or codebook == "grid"):
            raise ValueError(
                f"{name} of a grid must be odd, 0 and as many on either side; found {count}"
            )
    if not (math.isfinite(rate) and rate >= 0):
        raise ValueError(f"rate must be finite and at least 0; found {rate!r}")


def _slots(model: nn.Module) -> list[tuple[nn.Module, str, nn.Parameter]]:
    """Every parameter with the module that holds it; refuses what cannot be put on levels."""
    slots, seen = [], {}
    for path, module in model.named_modules():
        for name, value in module._parameters.items():
            if value is None:
                continue
            full = f"{path}.{name}" if path else name
            if id(value) in seen:
                raise ValueError(
                    f"parameter {full!r} is shared with {seen[id(value)]!r}; levels are learnt for "
                    "each tensor apart, so make them two"
                )
            if value.dtype not in (torch.float32, torch.float64):
                raise ValueError(
                    f"parameter {full!r} is {value.dtype}; levels are learnt in float32 or float64"
                )
            if not torch.isfinite(value).all():
                raise ValueError(f"parameter {full!r} has a value that is not finite")
            seen[id(value)] = full
            slots.append((module, name, value))
    if not slots:
        raise ValueError("model must have a parameter to put on levels; found none")
    return slots


@contextmanager
def learning_levels(
    model: nn.Module,
    *,
    levels: int,
    codebook: Codebook = "grid",
    bias_levels: int = 15,
    rate: float = 0.05,
    masks: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> Iterator[None]:
    """Train for a while with every parameter on few levels; they stay on them afterwards.

    Inside the block the model computes with the levels; training its `parameters()` trains
    what is rounded to them, and the levels themselves. Zeros outside the masks stay zeros. On
    leaving, every parameter holds its levels' values exactly and is an ordinary one again. Buffers
    are left alone.

    Args:
        model: the network; changed in place.
        levels: how many values a weight may take, odd for a grid (0 and as many on either side),
            from 3 to 255; a table has 0 and levels - 1 others.
        codebook: "grid", multiples of a step that is learnt for each tensor; or "table", levels of
            its own for each tensor, found by k-means and then learnt. Biases and other parameters
            of one axis have a grid.
        bias_levels: the same for parameters of one axis, odd.
        rate: price of a bit in squared steps, >= 0; 0 rounds to the nearest level.
        masks: bool tensors by layer name, False where a weight must stay 0.
        seed: of k-means.

    Returns:
        A context manager.

    Raises:
        ValueError: an argument out of range, a parameter that is not finite or of a type other
            than float32 or float64, one that two modules share, or a mask of a wrong shape. The
            model is as it was then.

    Source: Esser et al. 2020, arXiv 1902.08153 (learnt steps); Han et al.
        2016, arXiv 1510.00149 (k-means); Chou et al. 1989 (entropy-constrained quantization).

    Example:
        >>> net = nn.Linear(30, 20)
        >>> with learning_levels(net, levels=3):
        ...     net(torch.ones(1, 30)).sum().backward()
        >>> len(net.weight.unique())
        3
    """
    _check(levels, bias_levels, codebook, rate)
    slots = _slots(model)
    held = {id(weight): mask for weight, mask in masked_weights(model, masks or {})}
    done: list[tuple[nn.Module, str]] = []
    try:
        for module, name, value in slots:
            mask = held.get(id(value))
            if value.ndim > 1 and codebook == "table":
                rounding: nn.Module = Table(value, levels, rate, mask, seed)
            else:
                reach = (levels if value.ndim > 1 else bias_levels) // 2
                rounding = Grid(value, reach, rate, mask)
            parametrize.register_parametrization(module, name, rounding)
            done.append((module, name))
        yield
    finally:
        flags = [(module, module.training) for module in model.modules()]
        model.eval()
        for module, name in done:
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        for module, flag in flags:
            module.training = flag

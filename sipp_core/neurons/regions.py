"""Regions of inputs that a promise is made for: a box, or a ball, or one around each input."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sipp_core.runtime.arguments import at_least_0, refuse_nonfinite
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.numbers import generator

Numbers = Tensor | np.ndarray | float


def _tensor(name: str, value: Numbers) -> Tensor:
    """Real, finite float64 numbers on the CPU."""
    try:
        tensor = torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name} must be a tensor or an array of numbers; found {value!r}"
        ) from error
    if tensor.is_complex():
        raise TypeError(f"{name} must hold real numbers; found {tensor.dtype}")
    if tensor.ndim and not tensor.numel():
        raise ValueError(f"{name} must hold one coordinate at least; found {tuple(tensor.shape)}")
    refuse_nonfinite(name, tensor.double())
    return tensor.double()


@dataclass(frozen=True, eq=False)
class Box:
    """All inputs between two, coordinate by coordinate.

    Attributes:
        low: least value of each coordinate, the shape of one input; float64.
        high: largest value, >= low.
        from_inputs: whether it was taken from data, so that what is promised for it is no longer
            independent of data.

    Claim: NC-1g, NC-6. Source: [OWN].

    Example:
        >>> Box(torch.zeros(3), torch.ones(3)).shape
        (3,)
    """

    low: Tensor
    high: Tensor
    from_inputs: bool = False

    def __init__(self, low: Numbers, high: Numbers, from_inputs: bool = False) -> None:
        below, above = _tensor("low", low), _tensor("high", high)
        if below.ndim and above.ndim and below.shape != above.shape:
            raise ValueError(
                f"low and high must have one shape, that of an input; found {tuple(below.shape)} "
                f"and {tuple(above.shape)}"
            )
        below, above = torch.broadcast_tensors(below, above)
        if below.ndim == 0:
            raise ValueError(
                "low and high must have the shape of one input, as torch.zeros(784); found numbers"
            )
        if (below > above).any():
            index = tuple(int(i) for i in (below > above).nonzero()[0])
            raise ValueError(
                f"low must not exceed high; found {below[index].item()!r} > "
                f"{above[index].item()!r} at index {index}"
            )
        object.__setattr__(self, "low", below)
        object.__setattr__(self, "high", above)
        object.__setattr__(self, "from_inputs", from_inputs)

    @classmethod
    def from_data(cls, inputs: Inputs, margin: float = 0.0) -> Box:
        """The least box around data, wider by a margin on every side."""
        margin = at_least_0("margin", margin)
        ends = []
        for batch in batches(inputs, None, "inputs"):
            if not isinstance(batch, Tensor):
                raise TypeError("a box is of one tensor of inputs; found a Batch of several")
            refuse_nonfinite("an input", batch)
            ends.append((batch.detach().double().cpu().amin(0), batch.double().cpu().amax(0)))
        low = torch.stack([e[0] for e in ends]).amin(0)
        high = torch.stack([e[1] for e in ends]).amax(0)
        return cls(low - margin, high + margin, True)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.low.shape)

    def words(self) -> str:
        """The region as a reader sees it."""
        ends = f"[{self.low.min():g}, {self.high.max():g}]"
        text = f"the box {ends} of {self.low.numel()} inputs"
        return text + ", taken from data: not independent of them" if self.from_inputs else text

    def sample(self, count: int, seed: int) -> Tensor:
        """Uniform inputs of the region, in float64.

        Shapes: returns (count, ...).
        """
        uniform = torch.from_numpy(generator(seed, 71).random((count, *self.shape)))
        return self.low + uniform * (self.high - self.low)

    def domain(self) -> Domain:
        """The region as one of a batch."""
        return Domain.box(self.low[None], self.high[None])


@dataclass(frozen=True, eq=False)
class Ball:
    """All inputs within a Euclidean distance of one.

    Attributes:
        centre: the shape of one input; float64.
        radius: >= 0.

    Claim: NC-3g, NC-6. Source: [OWN].

    Example:
        >>> Ball(torch.zeros(3), 2.0).shape
        (3,)
    """

    centre: Tensor
    radius: float
    from_inputs: bool = field(default=False, init=False)

    def __init__(self, centre: Numbers, radius: float) -> None:
        middle = _tensor("centre", centre)
        if middle.ndim == 0:
            raise ValueError("centre must have the shape of one input; found a number")
        object.__setattr__(self, "centre", middle)
        object.__setattr__(self, "radius", at_least_0("radius", radius))
        object.__setattr__(self, "from_inputs", False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.centre.shape)

    def words(self) -> str:
        """The region as a reader sees it."""
        return f"the ball of radius {self.radius:g} in {self.centre.numel()} inputs"

    def sample(self, count: int, seed: int) -> Tensor:
        """Uniform inputs of the region, in float64.

        Shapes: returns (count, ...).
        """
        rng, d = generator(seed, 72), self.centre.numel()
        way = rng.normal(size=(count, d))
        way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-300)
        way *= self.radius * rng.random((count, 1)) ** (1 / d) * (1 - 1e-12)
        return self.centre + torch.from_numpy(way).view(count, *self.shape)

    def domain(self) -> Domain:
        """The region as one of a batch."""
        return Domain(self.centre[None], torch.tensor([self.radius]).double(), True)


Region = Box | Ball


def box_ends(text: str) -> tuple[float, float]:
    """The two numbers of a box of one interval for every coordinate, written LOW:HIGH.

    Args:
        text: as "0:1" or "-1:1".

    Returns:
        (low, high), finite.

    Raises:
        ValueError: something else.

    Example:
        >>> box_ends("0:1")
        (0.0, 1.0)
    """
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low, high = np.nan, np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"region must be 'data', or LOW:HIGH as 0:1; found {text!r}")
    return low, high


@dataclass(frozen=True, eq=False)
class Domain:
    """A batch of regions, rounded outward.

    Attributes:
        centre: (b, ...) float64.
        radius: (b, ...) half widths of boxes, or (b,) radii of balls.
        ball: which.
    """

    centre: Tensor
    radius: Tensor
    ball: bool

    @classmethod
    def box(cls, low: Tensor, high: Tensor) -> Domain:
        """Boxes by their ends.

        Shapes: low, high (b, ...).
        """
        centre = low + (high - low) / 2
        radius = torch.maximum(high - centre, centre - low)
        up = torch.nextafter(radius, torch.full_like(radius, torch.inf))
        return cls(centre, torch.where(radius > 0, up, radius), False)

    def __len__(self) -> int:
        return len(self.centre)

    def half_widths(self) -> Tensor:
        """(b, ...) of the boxes, or of those around the balls."""
        if not self.ball:
            return self.radius
        return self.radius.view(-1, *[1] * (self.centre.ndim - 1)).expand_as(self.centre)

    def part(self, first: int, last: int) -> Domain:
        """Some of the regions."""
        return Domain(self.centre[first:last], self.radius[first:last], self.ball)

    def reach(self, slope: Tensor) -> Tensor:
        """Most that slope.(x - centre) can be, before rounding.

        Shapes: slope (b, s, ...); returns (b, s).
        """
        flat = slope.flatten(2)
        if self.ball:
            return flat.norm(dim=2) * self.radius[:, None]
        return torch.einsum("bsd,bd->bs", flat.abs(), self.radius.flatten(1))

    def inside(self, inputs: Tensor) -> Tensor:
        """The nearest inputs of the regions.

        Shapes: inputs (r, b, ...); returns the same.
        """
        way = inputs - self.centre
        if not self.ball:
            return self.centre + way.clamp(-self.radius, self.radius)
        size = way.flatten(2).norm(dim=2)
        scale = (self.radius / size.clamp_min(1e-300)).clamp_max(1.0)
        return self.centre + way * scale.view(*scale.shape, *[1] * (self.centre.ndim - 1))

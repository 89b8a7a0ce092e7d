"""Intervals of a network, of a second one of its architecture, and of their difference.

Forward, node by node; whatever float64 rounds is charged to the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

import sipp_theory
from sipp_core.neurons.maps import Linear, Step, apart, pooled
from sipp_core.neurons.regions import Domain

UNIT = 2.0**-53
TINY = 1e-300


def rounding(terms: int) -> float:
    """Relative error of a sum of so many products."""
    return 1.01 * (terms + 4) * UNIT


@dataclass(frozen=True, eq=False)
class Span:
    """Intervals of one node.

    Attributes:
        low, high: (b, ...) of the first network.
        below, above: (b, ...) of the second.
        less, more: (b, ...) of the difference, second less first.
    """

    low: Tensor
    high: Tensor
    below: Tensor
    above: Tensor
    less: Tensor
    more: Tensor

    @classmethod
    def alike(cls, low: Tensor, high: Tensor) -> Span:
        """Of two networks that are one here."""
        zero = torch.zeros_like(low)
        return cls(low, high, low, high, zero, zero)

    @property
    def peak(self) -> Tensor:
        """Largest |value| of the first."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def gap(self) -> Tensor:
        """Largest |difference|."""
        return torch.maximum(self.less.abs(), self.more.abs())

    def met(self) -> Span:
        """The same, each of the three no wider than the other two allow."""
        guard = 8 * UNIT
        less = torch.maximum(
            self.less, self.below - self.high - guard * (self.below.abs() + self.high.abs())
        )
        more = torch.minimum(
            self.more, self.above - self.low + guard * (self.above.abs() + self.low.abs())
        )
        below = torch.maximum(self.below, self.low + less - guard * (self.low.abs() + less.abs()))
        above = torch.minimum(self.above, self.high + more + guard * (self.high.abs() + more.abs()))
        return replace(self, below=below, above=above, less=less, more=more)


@dataclass(frozen=True, eq=False)
class Pick:
    """Where a maximum comes from.

    Attributes:
        index: (b, ...) place of the largest lower end, flat within each channel.
        first: (b, ...) whether it is the maximum of the first network throughout.
        both: (b, ...) whether it is so in both networks.
    """

    index: Tensor
    first: Tensor
    both: Tensor


def of_inputs(domain: Domain) -> Span:
    """Intervals of the inputs themselves."""
    half = domain.half_widths()
    edge = 4 * UNIT * (domain.centre.abs() + half)
    return Span.alike(domain.centre - half - edge, domain.centre + half + edge)


def _halves(lows: list[Tensor], highs: list[Tensor]) -> tuple[list[Tensor], ...]:
    """Middles, half widths and largest sizes of intervals, rounded outward."""
    middle = [(a + b) / 2 for a, b in zip(lows, highs, strict=True)]
    half = [
        torch.maximum(b - m, m - a) * (1 + 4 * UNIT)
        for a, b, m in zip(lows, highs, middle, strict=True)
    ]
    return middle, half, [torch.maximum(a.abs(), b.abs()) for a, b in zip(lows, highs, strict=True)]


def without_bias(linear: Linear, half: list[Tensor]) -> Tensor:
    """|weights| times half widths."""
    zeros = [torch.zeros_like(x[:1]) for x in half]
    return (linear.absolute(half) - linear.absolute(zeros)) * (1 + 1e-15)


def _image(
    linear: Linear, lows: list[Tensor], highs: list[Tensor], constant: bool = True
) -> tuple[Tensor, Tensor]:
    """Interval of an affine map of intervals, or of its linear part."""
    middle, half, size = _halves(lows, highs)
    centre = linear.plain(middle)
    if not constant:
        centre = centre - linear.plain([torch.zeros_like(x) for x in middle])
    reach = without_bias(linear, half) + rounding(linear.terms) * linear.absolute(size) + TINY
    return centre - reach, centre + reach


def through_linear(step: Step, given: list[Span], paired: bool) -> Span:
    """Intervals behind a linear step."""
    assert step.maps is not None
    first, second = step.maps
    lows, highs = [s.low for s in given], [s.high for s in given]
    low, high = _image(first, lows, highs)
    same = first is second
    if not paired or (same and all(not bool(s.gap.any()) for s in given)):
        return Span.alike(low, high)
    less, more = _image(second, [s.less for s in given], [s.more for s in given], False)
    if not same:
        middle, half, size = _halves(lows, highs)
        changed = second.plain(middle) - first.plain(middle)
        sizes = first.absolute(size) + second.absolute(size)
        far = _changed(first, second, half) + rounding(max(first.terms, second.terms)) * sizes
        less, more = less + changed - far, more + changed + far
        less, more = less - 8 * UNIT * less.abs(), more + 8 * UNIT * more.abs()
    below, above = _image(second, [s.below for s in given], [s.above for s in given])
    return Span(low, high, below, above, less, more).met()


def _changed(first: Linear, second: Linear, half: list[Tensor]) -> Tensor:
    """|W^ - W| times half widths, where the weights can be had; else the sum of both."""
    if first.weight is not None and second.weight is not None:
        return half[0] @ (second.weight - first.weight).abs().T
    return without_bias(first, half) + without_bias(second, half)


def act_range(act: str, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Range of an activation on intervals."""
    if act == "relu":
        return low.clamp_min(0), high.clamp_min(0)
    least, most = sipp_theory.activation_range(act, low.numpy(), high.numpy())
    return torch.as_tensor(least), torch.as_tensor(most)


def through_maximum(step: Step, given: Span, paired: bool) -> tuple[Span, Pick]:
    """Intervals behind a maximum, and where it comes from."""
    assert step.pool is not None
    low, index = pooled(step.pool, given.low)
    high, _ = pooled(step.pool, given.high)
    first = _dominant(step, given.high, low, index)
    if not paired:
        return Span.alike(low, high), Pick(index, first, first)
    less, more = -pooled(step.pool, -given.less)[0], pooled(step.pool, given.more)[0]
    below, place = pooled(step.pool, given.below)
    above, _ = pooled(step.pool, given.above)
    both = first & _dominant(step, given.above, below, place) & (place == index)
    less = torch.where(both, gather(given.less, index), less)
    more = torch.where(both, gather(given.more, index), more)
    return Span(low, high, below, above, less, more).met(), Pick(index, first, both)


def _dominant(step: Step, high: Tensor, best: Tensor, index: Tensor) -> Tensor:
    """Where one value of a window is never below another, so that it is the maximum."""
    assert step.pool is not None
    if not apart(step.pool):
        return torch.zeros_like(best, dtype=torch.bool)
    axes = step.pool[1]
    flat = high.flatten(-axes).clone()
    flat.scatter_(-1, index.flatten(-axes), -torch.inf)
    rest, _ = pooled(step.pool, flat.view_as(high))
    return best >= rest


def gather(values: Tensor, index: Tensor) -> Tensor:
    """The values that maxima come from."""
    axes = index.ndim - 2
    return values.flatten(-axes).gather(-1, index.flatten(-axes)).view_as(index)


def scatter(coefficients: Tensor, index: Tensor, shape: torch.Size) -> Tensor:
    """Coefficients of the values that maxima come from.

    Shapes: coefficients (b, s, ...), index (b, 1, ...); returns (b, s, *shape).
    """
    axes = len(shape) - 1
    out = torch.zeros(*coefficients.shape[:2], *shape, dtype=torch.float64).flatten(-axes)
    places = index.expand(*coefficients.shape[:2], *index.shape[2:]).flatten(-axes)
    out.scatter_add_(-1, places, coefficients.flatten(-axes))
    return out.view(*coefficients.shape[:2], *shape)

"""Lines above and below an activation, and above and below how much it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import sipp_theory
from sipp_core.neurons.maps import Step
from sipp_core.neurons.spans import TINY, UNIT, Span, act_range


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines above and below a value and its difference at an activation.

    value <= up z + over, >= down z - under; difference <= rise d + lean value + tip z + above,
    >= fall d + lean value + tilt z - below.
    """

    up: Tensor
    over: Tensor
    down: Tensor
    under: Tensor
    rise: Tensor
    above: Tensor
    fall: Tensor
    below: Tensor
    lean: Tensor
    tip: Tensor
    tilt: Tensor


_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda z: 1 - torch.tanh(z) ** 2,
    "sigmoid": lambda z: torch.sigmoid(z) * torch.sigmoid(-z),
    "softplus": torch.sigmoid,
    "elu": lambda z: torch.exp(z.clamp_max(0)),
}


def _slopes(act: str, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest slope of an activation on intervals."""
    known = sipp_theory.ACTIVATIONS[act]
    least = torch.full_like(low, known.least_slope)
    most = torch.full_like(low, known.lipschitz)
    if act in ("relu", "leaky_relu"):
        return torch.where(low >= 0, most, least), torch.where(high <= 0, least, most)
    slope = _SLOPES.get(act)
    if slope is None:
        return least, most
    # Rising, or rising up to 0 and falling behind it.
    ends = slope(low), slope(high)
    around = (low <= 0) & (high >= 0) & (act in ("tanh", "sigmoid"))
    return (
        (torch.minimum(*ends) - 1e-13).clamp_min(known.least_slope),
        torch.where(around, most, (torch.maximum(*ends) + 1e-13).clamp_max(known.lipschitz)),
    )


def lines_of(act: str, span: Span, apart: bool = False) -> Lines:
    """Lines above and below an activation, and above and below how much it moves.

    Apart, a ReLU's values in the two networks are each held by lines of their own.
    """
    low, high = span.low, span.high
    if act == "relu":
        up, over, down = relu_lines(low, high)
        under = torch.zeros_like(low)
    else:
        least, _ = _slopes(act, low, high)
        first, last = act_range(act, low, low)[0], act_range(act, high, high)[1]
        # act(z) - least z never falls.
        up = down = least
        size = 8 * UNIT * (last.abs() + first.abs() + (least * low).abs() + (least * high).abs())
        over = last - least * high + size
        under = -(first - least * low) + size
    below, above = span.below, span.above
    both_low, both_high = torch.minimum(low, below), torch.maximum(high, above)
    least, most = _slopes(act, both_low, both_high)
    less, more = span.less, span.more

    def chord(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Through the values at both ends; the constant that puts it above both."""
        rise = (last - first) / (more - less).clamp_min(1e-150)
        rise = torch.where(more > less, rise, 0.0)
        top = torch.maximum(first - rise * less, last - rise * more)
        return rise, top + 8 * UNIT * (first.abs() + last.abs() + (rise * span.gap).abs())

    rise, above_ = chord(torch.maximum(least * less, most * less),
                         torch.maximum(least * more, most * more))  # fmt: skip
    fall, below_ = chord(-torch.minimum(least * less, most * less),
                         -torch.minimum(least * more, most * more))  # fmt: skip
    fall = -fall
    exact = least == most
    rise, fall = torch.where(exact, most, rise), torch.where(exact, most, fall)
    above_, below_ = torch.where(exact, 0.0, above_), torch.where(exact, 0.0, below_)
    none = torch.zeros_like(low)
    if act != "relu":
        return Lines(up, over, down, under, rise, above_, fall, below_, none, none, none)
    # One of the two neurons is on, or off, throughout: both values for themselves, act(z + d) - a.
    alone = (low >= 0) | (high <= 0) | (below >= 0) | (above <= 0)
    alone = ~exact & (alone | apart)
    line, top, base = relu_lines(below, above)
    rise, fall = torch.where(alone, line, rise), torch.where(alone, base, fall)
    above_, below_ = torch.where(alone, top, above_), torch.where(alone, 0.0, below_)
    tip, tilt = torch.where(alone, line, 0.0), torch.where(alone, base, 0.0)
    lean = torch.where(alone, -1.0, none)
    return Lines(up, over, down, under, rise, above_, fall, below_, lean, tip, tilt)


def relu_lines(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Slope and constant of a line above relu, and the slope of one below."""
    on, off = low >= 0, high <= 0
    slope = torch.where(on, 1.0, torch.where(off, 0.0, high / (high - low).clamp_min(TINY)))
    slope = slope.clamp(0, 1)
    # relu(z) - slope z is largest at an end.
    over = torch.maximum(-slope * low, high - slope * high).clamp_min(0) * (1 + 8 * UNIT) + TINY
    under = torch.where(on, 1.0, torch.where(off, 0.0, (high > -low).double()))
    return slope, torch.where(on | off, 0.0, over), under


def through_activation(step: Step, given: Span, lines: Lines, paired: bool) -> Span:
    """Intervals behind an activation."""
    low, high = act_range(step.act, given.low, given.high)
    if not paired:
        return Span.alike(low, high)
    below, above = act_range(step.act, given.below, given.above)
    less = torch.minimum(lines.fall * given.less, lines.fall * given.more)
    more = torch.maximum(lines.rise * given.less, lines.rise * given.more)
    spare = 1e-15 * (given.gap + lines.above.abs() + lines.below.abs())
    # Where a line leans on the value, only the plain difference is known.
    leant = lines.lean != 0
    return Span(
        low, high, below, above,
        torch.where(leant, -torch.inf, less - lines.below - spare),
        torch.where(leant, torch.inf, more + lines.above + spare),
    ).met()  # fmt: skip

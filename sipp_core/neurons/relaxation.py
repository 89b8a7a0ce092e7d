"""Bounds on a network, and on the difference of two of one architecture, over a batch of regions.

Intervals forward, then linear relaxations back from the specification to the input, as CROWN does.
Beside each value z of the first network stands the difference d of the second's: a linear layer
makes (W^ d + (W^ - W) z, W z), and act(z + d) - act(z) lies between two lines of slope in
[least slope, Lipschitz constant] times d. All is float64; what it rounds is charged to the bound.

Source: Zhang et al. 2018, arXiv 1811.00866 (the relaxation); Paulsen, Wang and Wang 2020 (pairs);
[OWN] the rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.neurons.maps import Linear, Step, apart, pooled, steps_of
from sipp_core.neurons.regions import Domain

UNIT = 2.0**-53
# Elements of one (regions, specifications, values) tensor: 2**23 float64 are 64 MiB.
MOST = 2**23
# Values of a node that are refined by going back to the input, at most.
REFINED = 2048


def _rounding(terms: int) -> float:
    return 1.01 * (terms + 4) * UNIT


@dataclass(frozen=True, eq=False)
class Span:
    """Intervals of one node.

    Attributes:
        low, high: (b, ...) of the first network.
        less, more: (b, ...) of the difference, second less first.
    """

    low: Tensor
    high: Tensor
    less: Tensor
    more: Tensor

    @property
    def peak(self) -> Tensor:
        """Largest |value| of the first."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def gap(self) -> Tensor:
        """Largest |difference|."""
        return torch.maximum(self.less.abs(), self.more.abs())

    @property
    def second(self) -> tuple[Tensor, Tensor]:
        """Interval of the second network."""
        return self.low + self.less - 1e-15 * self.gap, self.high + self.more + 1e-15 * self.gap


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


class Difference:
    """Two networks of one architecture over a batch of regions.

    Without a second network the difference is that of the first from itself, 0. `first` and
    `second` are copies of both in float64 on the CPU.
    """

    def __init__(
        self, model: nn.Module, other: nn.Module | None, domain: Domain, refine: bool = True
    ) -> None:
        self.first = _exact(model)
        self.second = self.first if other is None else _exact(other)
        self.domain, self.paired = domain, other is not None
        self.steps = steps_of(self.first, self.second if self.paired else None, domain.centre[:1])
        self.spans: dict[str, Span] = {}
        self.lines: dict[str, Lines] = {}
        self.picks: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}
        with torch.no_grad():
            for place, step in enumerate(self.steps):
                self.spans[step.name] = self._forward(step)
                wanted = refine and self._is_refined(place)
                if wanted:
                    self.spans[step.name] = self._refined(place)
                if step.kind == "activation":
                    self.lines[step.name] = _lines(step.act, self.spans[step.parents[0]])

    def _is_refined(self, place: int) -> bool:
        """Whether a node's intervals are worth going back for: an activation reads it."""
        step = self.steps[place]
        if step.kind != "linear" or self.spans[step.name].low[0].numel() > REFINED:
            return False
        readers = [s for s in self.steps if step.name in s.parents]
        if not any(s.kind == "activation" for s in readers):
            return False
        # Intervals are exact on a box until an activation was passed.
        return self.domain.ball or any(s.kind in ("activation", "max") for s in self.steps[:place])

    def _refined(self, place: int) -> Span:
        span = self.spans[self.steps[place].name]
        shape = span.low.shape[1:]
        count = span.low[0].numel()
        unit = torch.eye(count, dtype=torch.float64).view(1, count, *shape)
        none = torch.zeros_like(unit)
        name = self.steps[place].name
        high = self._upper(name, unit, none).view_as(span.low)
        low = -self._upper(name, -unit, none).view_as(span.low)
        better = replace(
            span, low=torch.maximum(low, span.low), high=torch.minimum(high, span.high)
        )
        if not self.paired:
            return better
        more = self._upper(name, none, unit).view_as(span.low)
        less = -self._upper(name, none, -unit).view_as(span.low)
        return replace(
            better, less=torch.maximum(less, span.less), more=torch.minimum(more, span.more)
        )

    @property
    def output(self) -> str:
        """Name of the node that the network returns."""
        return self.steps[-1].parents[0]

    def bound(self, value: Tensor, difference: Tensor) -> Tensor:
        """Upper bounds on linear functions of the output and of the difference of outputs.

        Shapes: value, difference (s, ...out), coefficients of each specification, or (b, s, ...out)
        one set a region; returns (b, s).
        """
        with torch.no_grad():
            if value.ndim == self.spans[self.output].low.ndim:
                value, difference = value[None], difference[None]
            return self._upper(self.output, value, difference)

    def _forward(self, step: Step) -> Span:
        if step.kind == "input":
            half = self.domain.half_widths()
            edge = 4 * UNIT * (self.domain.centre.abs() + half)
            low, high = self.domain.centre - half - edge, self.domain.centre + half + edge
            zero = torch.zeros_like(low)
            return Span(low, high, zero, zero)
        given = [self.spans[name] for name in step.parents]
        if step.kind == "output":
            return given[0]
        if step.kind == "linear":
            return self._linear(step, given)
        if step.kind == "max":
            return self._maximum(step, given[0])
        low, high = _act_range(step.act, given[0].low, given[0].high)
        if not self.paired:
            zero = torch.zeros_like(low)
            return Span(low, high, zero, zero)
        below, above = _act_range(step.act, *given[0].second)
        lines = _lines(step.act, given[0])
        less = torch.maximum(
            below - high, torch.minimum(lines.fall * given[0].less, lines.fall * given[0].more)
            - lines.below - 1e-15 * given[0].gap,
        )  # fmt: skip
        more = torch.minimum(
            above - low, torch.maximum(lines.rise * given[0].less, lines.rise * given[0].more)
            + lines.above + 1e-15 * given[0].gap,
        )  # fmt: skip
        # Where a line leans on the value, only the plain difference is known.
        leant = lines.lean != 0
        less = torch.where(leant, below - high, less) - 1e-15 * high.abs()
        more = torch.where(leant, above - low, more) + 1e-15 * high.abs()
        return Span(low, high, less, more)

    def _linear(self, step: Step, given: list[Span]) -> Span:
        assert step.maps is not None
        first, second = step.maps
        middle, half, size = _halves([s.low for s in given], [s.high for s in given])
        centre, reach = first.plain(middle), _without_bias(first, half)
        error = _rounding(first.terms) * first.absolute(size) + _TINY
        low, high = centre - reach - error, centre + reach + error
        if not self.paired:
            return Span(low, high, torch.zeros_like(low), torch.zeros_like(low))
        if first is second and all(not bool(s.gap.any()) for s in given):
            return Span(low, high, torch.zeros_like(low), torch.zeros_like(low))
        change, spread, extent = _halves([s.less for s in given], [s.more for s in given])
        zeros = [torch.zeros_like(x) for x in change]
        moved = second.plain(change) - second.plain(zeros)
        far = _without_bias(second, spread)
        error = _rounding(second.terms) * second.absolute(extent) + _TINY
        if first is not second:
            moved = moved + (second.plain(middle) - first.plain(middle))
            far = far + self._changed(first, second, half)
            sizes = first.absolute(size) + second.absolute(size)
            error = error + _rounding(max(first.terms, second.terms)) * sizes
        return Span(low, high, moved - far - error, moved + far + error)

    def _changed(self, first: Linear, second: Linear, half: list[Tensor]) -> Tensor:
        """|W^ - W| times half widths, where the weights can be had; else the sum of both."""
        if first.weight is not None and second.weight is not None:
            return half[0] @ (second.weight - first.weight).abs().T
        return _without_bias(first, half) + _without_bias(second, half)

    def _maximum(self, step: Step, given: Span) -> Span:
        assert step.pool is not None
        low, index = pooled(step.pool, given.low)
        high, _ = pooled(step.pool, given.high)
        first = _dominant(step, given.low, given.high, low, index)
        if not self.paired:
            zero = torch.zeros_like(low)
            self.picks[step.name] = (index, first, index, first)
            return Span(low, high, zero, zero)
        less, more = -pooled(step.pool, -given.less)[0], pooled(step.pool, given.more)[0]
        second = given.second
        below, place = pooled(step.pool, second[0])
        above, _ = pooled(step.pool, second[1])
        same = first & _dominant(step, *second, below, place) & (place == index)
        self.picks[step.name] = (index, first, index, same)
        own_less, own_more = _gather(given.less, index), _gather(given.more, index)
        less = torch.where(same, own_less, torch.maximum(less, below - high))
        more = torch.where(same, own_more, torch.minimum(more, above - low))
        return Span(low, high, less, more)

    def _upper(self, start: str, value: Tensor, difference: Tensor) -> Tensor:
        """Go back from a node to the input, a few regions and specifications at a time.

        Shapes: value, difference (1 or b, s, ...); returns (b, s).
        """
        widest = max(s.low[0].numel() for s in self.spans.values())
        total, many = value.shape[1], len(self.domain)
        specs = max(1, min(total, MOST // widest))
        group = max(1, MOST // (widest * specs))
        out = torch.empty(many, total, dtype=torch.float64)
        for b in range(0, many, group):
            rows = slice(b, min(b + group, many))
            for s in range(0, total, specs):
                cut = slice(s, min(s + specs, total))
                own = [
                    (c if len(c) == 1 else c[rows])[:, cut].expand(
                        rows.stop - rows.start, -1, *c.shape[2:]
                    )
                    for c in (value, difference)
                ]
                out[rows, cut] = self._back(start, own[0], own[1], rows)
        return out

    def _back(self, start: str, value: Tensor, difference: Tensor, rows: slice) -> Tensor:
        b, s = value.shape[:2]
        carried: dict[str, tuple[Tensor, Tensor]] = {start: (value, difference)}
        total = torch.zeros(b, s, dtype=torch.float64)
        last = next(k for k, step in enumerate(self.steps) if step.name == start)
        for step in reversed(self.steps[: last + 1]):
            if step.name not in carried:
                continue
            v, d = carried.pop(step.name)
            if step.kind == "input":
                domain = self.domain.part(rows.start, rows.stop)
                flat, centre = v.flatten(2), domain.centre.flatten(1)
                total = total + torch.einsum("bsd,bd->bs", flat, centre) + domain.reach(v)
                sizes = self.spans[step.name].peak[rows].flatten(1)
                total = total + 2 * _rounding(flat.shape[2]) * torch.einsum(
                    "bsd,bd->bs", flat.abs(), sizes
                )
                continue
            if step.kind == "linear":
                parts, constant = self._back_linear(step, v, d, rows)
            elif step.kind == "max":
                parts, constant = self._back_max(step, v, d, rows)
            else:
                parts, constant = self._back_act(step, v, d, rows)
            total = total + constant
            for name, (pv, pd) in zip(step.parents, parts, strict=True):
                if name in carried:
                    pv, pd = carried[name][0] + pv, carried[name][1] + pd
                carried[name] = (pv, pd)
        return total + 1e-13 * total.abs() + _TINY

    def _back_linear(
        self, step: Step, v: Tensor, d: Tensor, rows: slice
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        assert step.maps is not None
        first, second = step.maps
        given = [self.spans[name] for name in step.parents]
        shapes = [g.low.shape[1:] for g in given]
        b, s = v.shape[:2]
        flat_v, flat_d = v.reshape(b * s, *v.shape[2:]), d.reshape(b * s, *d.shape[2:])
        moving = self.paired and bool(d.any())
        by_v = first.transposed(flat_v, shapes)
        by_d = second.transposed(flat_d, shapes) if moving else [torch.zeros_like(x) for x in by_v]
        if moving and first is not second:
            # (W^ - W)^T on the coefficients of the difference falls on the first network's values.
            back = first.transposed(flat_d, shapes)
            by_v = [x + y - z for x, y, z in zip(by_v, by_d, back, strict=True)]
        one = [torch.zeros(1, *shape, dtype=torch.float64) for shape in shapes]
        bias, other = first.plain(one), second.plain(one)
        constant = (v * bias).flatten(2).sum(2)
        if moving and first is not second:
            constant = constant + (d * (other - bias)).flatten(2).sum(2)
        peaks, gaps = [g.peak[rows] for g in given], [g.gap[rows] for g in given]
        size = first.absolute(peaks)
        charge = torch.einsum("bsd,bd->bs", v.flatten(2).abs(), size.flatten(1))
        if moving:
            far = second.absolute(gaps) + size
            if first is not second:
                far = far + size + second.absolute(peaks)
            charge = charge + torch.einsum("bsd,bd->bs", d.flatten(2).abs(), far.flatten(1))
        terms = max(first.terms, second.terms, v[0, 0].numel() if first.terms > 2 else 2)
        constant = constant + 2 * _rounding(terms) * charge
        parts = [
            (x.view(b, s, *shape), y.view(b, s, *shape))
            for x, y, shape in zip(by_v, by_d, shapes, strict=True)
        ]
        return parts, constant

    def _back_act(
        self, step: Step, v: Tensor, d: Tensor, rows: slice
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        lines = self.lines[step.name]
        span = self.spans[step.parents[0]]

        def of(x: Tensor) -> Tensor:
            return x[rows][:, None]

        constant = torch.zeros(v.shape[:2], dtype=torch.float64)
        moved = back = torch.zeros_like(v)
        if self.paired and bool(d.any()):
            up, down = d.clamp_min(0), d.clamp_max(0)
            moved = up * of(lines.rise) + down * of(lines.fall)
            constant = constant + (up * of(lines.above) - down * of(lines.below)).flatten(2).sum(2)
            v = v + d * of(lines.lean)
            back = up * of(lines.tip) + down * of(lines.tilt)
        up, down = v.clamp_min(0), v.clamp_max(0)
        back = back + up * of(lines.up) + down * of(lines.down)
        constant = constant + (up * of(lines.over) - down * of(lines.under)).flatten(2).sum(2)
        size = of(span.peak + self.spans[step.name].peak + lines.over.abs() + lines.under.abs())
        charge = (v.abs() * size).flatten(2).sum(2)
        far = of(span.gap + lines.above.abs() + lines.below.abs()) + size
        charge = charge + (d.abs() * far).flatten(2).sum(2)
        constant = constant + _rounding(v[0, 0].numel() + 8) * charge
        return [(back, moved)], constant

    def _back_max(
        self, step: Step, v: Tensor, d: Tensor, rows: slice
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        index, first, _, same = (x[rows][:, None] for x in self.picks[step.name])
        span = self.spans[step.name]
        shape = self.spans[step.parents[0]].low.shape[1:]
        low, high, less, more = (
            x[rows][:, None] for x in (span.low, span.high, span.less, span.more)
        )
        loose, apart_ = torch.where(first, 0.0, v), torch.where(same, 0.0, d)
        worst = torch.where(loose > 0, loose * high, loose * low)
        worst = worst + torch.where(apart_ > 0, apart_ * more, apart_ * less)
        constant = worst.flatten(2).sum(2)
        constant = constant + _rounding(v[0, 0].numel()) * worst.abs().flatten(2).sum(2)
        return [
            (_scatter(torch.where(first, v, 0.0), index, shape),
             _scatter(torch.where(same, d, 0.0), index, shape))
        ], constant  # fmt: skip


_TINY = 1e-300
SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda z: 1 - torch.tanh(z) ** 2,
    "sigmoid": lambda z: torch.sigmoid(z) * torch.sigmoid(-z),
    "softplus": torch.sigmoid,
    "elu": lambda z: torch.exp(z.clamp_max(0)),
}


def _exact(model: nn.Module) -> nn.Module:
    """A copy in float64 on the CPU, in eval mode."""
    return copy.deepcopy(model).double().cpu().eval().requires_grad_(False)


def _halves(lows: list[Tensor], highs: list[Tensor]) -> tuple[list[Tensor], ...]:
    """Middles, half widths and largest sizes of intervals, rounded outward."""
    middle = [(a + b) / 2 for a, b in zip(lows, highs, strict=True)]
    half = [
        torch.maximum(b - m, m - a) * (1 + 4 * UNIT)
        for a, b, m in zip(lows, highs, middle, strict=True)
    ]
    return middle, half, [torch.maximum(a.abs(), b.abs()) for a, b in zip(lows, highs, strict=True)]


def _without_bias(linear: Linear, half: list[Tensor]) -> Tensor:
    zeros = [torch.zeros_like(x[:1]) for x in half]
    return (linear.absolute(half) - linear.absolute(zeros)) * (1 + 1e-15)


def _act_range(act: str, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    if act == "relu":
        return low.clamp_min(0), high.clamp_min(0)
    least, most = sipp_theory.activation_range(act, low.numpy(), high.numpy())
    return torch.as_tensor(least), torch.as_tensor(most)


def _slopes(act: str, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest slope of an activation on intervals."""
    known = sipp_theory.ACTIVATIONS[act]
    least = torch.full_like(low, known.least_slope)
    most = torch.full_like(low, known.lipschitz)
    if act in ("relu", "leaky_relu"):
        return torch.where(low >= 0, most, least), torch.where(high <= 0, least, most)
    slope = SLOPES.get(act)
    if slope is None:
        return least, most
    # Rising, or rising up to 0 and falling behind it.
    ends = slope(low), slope(high)
    around = (low <= 0) & (high >= 0) & (act in ("tanh", "sigmoid"))
    return (
        (torch.minimum(*ends) - 1e-13).clamp_min(known.least_slope),
        torch.where(around, most, (torch.maximum(*ends) + 1e-13).clamp_max(known.lipschitz)),
    )


def _lines(act: str, span: Span) -> Lines:
    """Lines above and below an activation, and above and below how much it moves."""
    low, high = span.low, span.high
    if act == "relu":
        up, over, down = _relu_lines(low, high)
        under = torch.zeros_like(low)
    else:
        least, _ = _slopes(act, low, high)
        first, last = _act_range(act, low, low)[0], _act_range(act, high, high)[1]
        # act(z) - least z never falls.
        up = down = least
        size = 8 * UNIT * (last.abs() + first.abs() + (least * low).abs() + (least * high).abs())
        over = last - least * high + size
        under = -(first - least * low) + size
    below, above = span.second
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
    alone = ~exact & ((low >= 0) | (high <= 0) | (below >= 0) | (above <= 0))
    line, top, base = _relu_lines(below, above)
    rise, fall = torch.where(alone, line, rise), torch.where(alone, base, fall)
    above_, below_ = torch.where(alone, top, above_), torch.where(alone, 0.0, below_)
    tip, tilt = torch.where(alone, line, 0.0), torch.where(alone, base, 0.0)
    lean = torch.where(alone, -1.0, none)
    return Lines(up, over, down, under, rise, above_, fall, below_, lean, tip, tilt)


def _relu_lines(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Slope and constant of a line above relu, and the slope of one below."""
    on, off = low >= 0, high <= 0
    slope = torch.where(on, 1.0, torch.where(off, 0.0, high / (high - low).clamp_min(_TINY)))
    slope = slope.clamp(0, 1)
    # relu(z) - slope z is largest at an end.
    over = torch.maximum(-slope * low, high - slope * high).clamp_min(0) * (1 + 8 * UNIT) + _TINY
    under = torch.where(on, 1.0, torch.where(off, 0.0, (high > -low).double()))
    return slope, torch.where(on | off, 0.0, over), under


def _dominant(step: Step, low: Tensor, high: Tensor, best: Tensor, index: Tensor) -> Tensor:
    """Where one value of a window is never below another, so that it is the maximum."""
    assert step.pool is not None
    if not apart(step.pool):
        return torch.zeros_like(best, dtype=torch.bool)
    axes = step.pool[1]
    flat = high.flatten(-axes).clone()
    flat.scatter_(-1, index.flatten(-axes), -torch.inf)
    rest, _ = pooled(step.pool, flat.view_as(high))
    return best >= rest


def _gather(values: Tensor, index: Tensor) -> Tensor:
    axes = index.ndim - 2
    return values.flatten(-axes).gather(-1, index.flatten(-axes)).view_as(index)


def _scatter(coefficients: Tensor, index: Tensor, shape: torch.Size) -> Tensor:
    axes = len(shape) - 1
    out = torch.zeros(*coefficients.shape[:2], *shape, dtype=torch.float64).flatten(-axes)
    places = index.expand(*coefficients.shape[:2], *index.shape[2:]).flatten(-axes)
    out.scatter_add_(-1, places, coefficients.flatten(-axes))
    return out.view(*coefficients.shape[:2], *shape)

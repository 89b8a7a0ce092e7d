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
from dataclasses import replace

import torch
from torch import Tensor, nn

from sipp_core.neurons.forms import Forms, met
from sipp_core.neurons.lines import Lines, lines_of, through_activation
from sipp_core.neurons.maps import Step
from sipp_core.neurons.regions import Domain
from sipp_core.neurons.spans import (
    TINY,
    Pick,
    Span,
    of_inputs,
    rounding,
    scatter,
    through_linear,
    through_maximum,
)
from sipp_core.neurons.walk import steps_of

# Elements of one (regions, specifications, values) tensor: 2**23 float64 are 64 MiB.
MOST = 2**23
# Values of a node that are refined by going back to the input, at most.
REFINED = 2048
# Generators of affine forms, at most, where a layer has more values than that.
SYMBOLS = 8192


class Difference:
    """Two networks of one architecture over a batch of regions.

    Without a second network the difference is that of the first from itself, 0. `first` and
    `second` are copies of both in float64 on the CPU. Layers of at most 2,048 values are bounded by
    going back to the input; if there are larger ones and one region, affine forms of so many
    `symbols` go forward through the networks, one pass each; 0 leaves intervals there.
    """

    def __init__(
        self, model: nn.Module, other: nn.Module | None, domain: Domain, refine: bool = True,
        symbols: int = SYMBOLS,
    ) -> None:  # fmt: skip
        self.first = _exact(model)
        self.second = self.first if other is None else _exact(other)
        self.domain, self.paired = domain, other is not None
        self.steps = steps_of(self.first, self.second if self.paired else None, domain.centre[:1])
        self.spans: dict[str, Span] = {}
        self.lines: dict[str, Lines] = {}
        self.picks: dict[str, Pick] = {}
        with torch.no_grad():
            for step in self.steps:
                self.spans[step.name] = self._forward(step)
            apart = refine and symbols > 0 and len(domain) == 1 and self.wide
            forms = Forms(symbols) if apart else None
            for place, step in enumerate(self.steps):
                self.spans[step.name] = self._forward(step)
                if forms is not None:
                    self._by_forms(forms, step)
                if refine and self._is_refined(place):
                    self.spans[step.name] = self._refined(place)

    def _by_forms(self, forms: Forms, step: Step) -> None:
        """Narrow a node's intervals by affine forms."""
        span = self.spans[step.name]
        before = self.spans[step.parents[0]] if step.parents else span
        forms.go_on(step, self.domain, before, span, self.picks.get(step.name))
        if step.name in forms.pairs and step.kind == "linear":
            self.spans[step.name] = met(forms.pairs[step.name], span)
        # A form is needed until the last step that reads it was made.
        later = self.steps[self.steps.index(step) + 1 :]
        for name in [n for n in forms.pairs if not any(n in s.parents for s in later)]:
            del forms.pairs[name]

    @property
    def wide(self) -> bool:
        """Whether a layer has more values than are bounded by going back to the input."""
        return any(
            self._is_loose(place) and self.spans[step.name].low[0].numel() > REFINED
            for place, step in enumerate(self.steps)
        )

    def _is_loose(self, place: int) -> bool:
        """Whether an activation reads a node whose intervals are not exact."""
        step = self.steps[place]
        readers = [s for s in self.steps if step.name in s.parents]
        if step.kind != "linear" or not any(s.kind == "activation" for s in readers):
            return False
        # Intervals are exact on a box until an activation was passed.
        return self.domain.ball or any(s.kind in ("activation", "max") for s in self.steps[:place])

    def _is_refined(self, place: int) -> bool:
        """Whether a node's intervals are worth going back for."""
        small = self.spans[self.steps[place].name].low[0].numel() <= REFINED
        return small and self._is_loose(place)

    def _refined(self, place: int) -> Span:
        span = self.spans[self.steps[place].name]
        shape = span.low.shape[1:]
        count = span.low[0].numel()
        unit = torch.eye(count, dtype=torch.float64).view(1, count, *shape)
        none = torch.zeros_like(unit)
        name = self.steps[place].name
        high = self._upper(name, unit, none).view_as(span.low)
        low = -self._upper(name, -unit, none).view_as(span.low)
        low, high = torch.maximum(low, span.low), torch.minimum(high, span.high)
        if not self.paired:
            return Span.alike(low, high)
        more = self._upper(name, none, unit).view_as(span.low)
        less = -self._upper(name, none, -unit).view_as(span.low)
        above = self._upper_apart(name, unit, unit).view_as(span.low)
        below = -self._upper_apart(name, -unit, -unit).view_as(span.low)
        return replace(
            span, low=low, high=high, below=torch.maximum(below, span.below),
            above=torch.minimum(above, span.above), less=torch.maximum(less, span.less),
            more=torch.minimum(more, span.more),
        ).met()  # fmt: skip

    @property
    def output(self) -> str:
        """Name of the node that the network returns."""
        return self.steps[-1].parents[0]

    def blame(self) -> str:
        """The first layer at which most activations are not known to be linear, and why.

        Example:
            >>> net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
            >>> wide = Domain.box(-torch.ones(1, 1).double(), torch.ones(1, 1).double())
            >>> Difference(net, None, wide).blame()
            "at '0' 100% of the activations can be on or off there"
        """
        known = {step.name: step for step in self.steps}
        for step in self.steps:
            if step.kind != "activation":
                continue
            lines, read = self.lines[step.name], known[step.parents[0]]
            share = float((lines.over + lines.under > TINY).double().mean())
            if share <= 0.5:
                continue
            layer = read
            while not layer.layer and layer.parents:
                layer = known[layer.parents[0]]
            count = self.spans[read.name].low[0].numel()
            text = f"at {layer.layer!r} {share:.0%} of the activations can be on or off there"
            if count <= REFINED:
                return text
            return (
                f"{text}: its {count:,} values are too many to be bounded by going back to the "
                f"input (at most {REFINED:,} are), and going forward every neuron that can be "
                "on or off adds to all layers behind it"
            )
        return "no layer stands out: all its terms together pass it"

    def bound(self, value: Tensor, difference: Tensor) -> Tensor:
        """Upper bounds on linear functions of the output and of the difference of outputs.

        Shapes: value, difference (s, ...out), coefficients of each specification, or (b, s, ...out)
        one set a region; returns (b, s).
        """
        with torch.no_grad():
            if value.ndim == self.spans[self.output].low.ndim:
                value, difference = value[None], difference[None]
            together = self._upper(self.output, value, difference)
            if not (self.paired and bool(difference.any())):
                return together
            return torch.minimum(together, self._upper_apart(self.output, value, difference))

    def _upper_apart(self, start: str, value: Tensor, difference: Tensor) -> Tensor:
        """By lines for each network by itself: nearer where most neurons can be on or off."""
        paired = self.lines
        self.lines = {
            step.name: lines_of(step.act, self.spans[step.parents[0]], apart=True)
            for step in self.steps
            if step.name in paired
        }
        try:
            return self._upper(start, value, difference)
        finally:
            self.lines = paired

    def _forward(self, step: Step) -> Span:
        if step.kind == "input":
            return of_inputs(self.domain)
        given = [self.spans[name] for name in step.parents]
        if step.kind == "linear":
            return through_linear(step, given, self.paired)
        if step.kind == "max":
            span, self.picks[step.name] = through_maximum(step, given[0], self.paired)
            return span
        if step.kind == "activation":
            self.lines[step.name] = lines_of(step.act, given[0])
            return through_activation(step, given[0], self.lines[step.name], self.paired)
        return given[0]

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
                total = total + 2 * rounding(flat.shape[2]) * torch.einsum(
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
        return total + 1e-13 * total.abs() + TINY

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
        constant = constant + 2 * rounding(terms) * charge
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
        constant = constant + rounding(v[0, 0].numel() + 8) * charge
        return [(back, moved)], constant

    def _back_max(
        self, step: Step, v: Tensor, d: Tensor, rows: slice
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        pick = self.picks[step.name]
        index, first, same = (x[rows][:, None] for x in (pick.index, pick.first, pick.both))
        span = self.spans[step.name]
        shape = self.spans[step.parents[0]].low.shape[1:]
        low, high, less, more = (
            x[rows][:, None] for x in (span.low, span.high, span.less, span.more)
        )
        loose, apart_ = torch.where(first, 0.0, v), torch.where(same, 0.0, d)
        worst = torch.where(loose > 0, loose * high, loose * low)
        worst = worst + torch.where(apart_ > 0, apart_ * more, apart_ * less)
        constant = worst.flatten(2).sum(2)
        constant = constant + rounding(v[0, 0].numel()) * worst.abs().flatten(2).sum(2)
        return [
            (scatter(torch.where(first, v, 0.0), index, shape),
             scatter(torch.where(same, d, 0.0), index, shape))
        ], constant  # fmt: skip


def _exact(model: nn.Module) -> nn.Module:
    """A copy in float64 on the CPU, in eval mode."""
    return copy.deepcopy(model).double().cpu().eval().requires_grad_(False)

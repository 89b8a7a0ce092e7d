"""Affine forms of two networks over one box: centres and generators that both share.

A value is c + sum_i e_i G_i + r with |e_i| <= 1 and |r| <= error. Linear steps are exact but for
rounding; a ReLU that is not known to be on or off adds a generator of its own. So many values cost
one forward pass a generator, where going back to the input costs one a value.

Source: Singh et al. 2018 (DeepZ); [OWN] the pair and the rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sipp_core.neurons.lines import relu_lines
from sipp_core.neurons.maps import Linear, Step
from sipp_core.neurons.regions import Domain
from sipp_core.neurons.spans import TINY, UNIT, Pick, Span, gather, rounding, without_bias


@dataclass(frozen=True, eq=False)
class Form:
    """The values of one node.

    Attributes:
        centre: (...).
        generators: (g, ...).
        error: (...) what is in no generator, rounding above all.
    """

    centre: Tensor
    generators: Tensor
    error: Tensor

    @property
    def reach(self) -> Tensor:
        """How far a value is from its centre, rounded up."""
        count = len(self.generators)
        return (self.generators.abs().sum(0) + self.error) * (1 + rounding(count)) + TINY

    def wider(self, count: int) -> Form:
        """With generators of 0 behind its own, so that there are so many."""
        missing = count - len(self.generators)
        if missing == 0:
            return self
        none = self.generators.new_zeros(missing, *self.centre.shape)
        return replace(self, generators=torch.cat([self.generators, none]))


Pair = tuple[Form, Form]


class Forms:
    """Forms of both networks, node by node, over the first region of a batch."""

    def __init__(self, most: int) -> None:
        self.pairs: dict[str, Pair] = {}
        # What generators beyond the most would say is left to the error.
        self.count, self.most = 0, most

    def go_on(self, step: Step, domain: Domain, before: Span, after: Span, pick: Pick | None
              ) -> None:  # fmt: skip
        """Past one step, `before` and `after` being intervals in front of it and behind it."""
        if step.kind == "input":
            self.pairs[step.name] = self._inputs(domain)
            return
        if not all(name in self.pairs for name in step.parents):
            return
        given = [self.pairs[name] for name in step.parents]
        if step.maps is not None:
            ours = _linear(step.maps[0], [g[0] for g in given])
            same = step.maps[0] is step.maps[1] and all(g[0] is g[1] for g in given)
            theirs = ours if same else _linear(step.maps[1], [g[1] for g in given])
            self.pairs[step.name] = ours, theirs
        elif pick is not None:
            self.pairs[step.name] = _maximum(given[0], after, pick)
        elif step.kind == "activation" and step.act == "relu":
            self.pairs[step.name] = self._relu(given[0], before)

    def _inputs(self, domain: Domain) -> Pair:
        centre, half = domain.centre[0], domain.half_widths()[0]
        # One generator of 0, as no operation is sure to take none.
        still = Form(centre, torch.zeros_like(centre)[None], 4 * UNIT * (centre.abs() + half))
        self.count = 1
        form = self._opened(still, half)
        return form, form

    def _opened(self, form: Form, amount: Tensor) -> Form:
        """With a generator of its own for each amount, the largest first; the rest is error."""
        flat, room = amount.flatten(), max(0, self.most - self.count)
        order = flat.argsort(descending=True)[: min(int((flat > 0).sum()), room)]
        fresh = torch.zeros(len(order), len(flat), dtype=torch.float64)
        fresh[torch.arange(len(order)), order] = flat[order]
        rest = flat.clone()
        rest[order] = 0
        old = form.wider(self.count).generators
        self.count += len(order)
        return Form(
            form.centre, torch.cat([old, fresh.view(-1, *form.centre.shape)]),
            form.error + rest.view_as(amount),
        )  # fmt: skip

    def _relu(self, pair: Pair, span: Span) -> Pair:
        """Behind ReLU: relu(z) - slope z lies in [0, over], half a lift and half a generator.

        The second network's is relu(z) plus half of the difference, give or take another half, as
        its slope is in [0, 1]; or its own relaxation, whichever leaves less open.
        """
        first, second = pair
        slope, over, _ = relu_lines(span.low[0], span.high[0])
        ours = self._opened(_scaled(first, slope, over / 2), over / 2)
        if first is second:
            return ours, ours
        first, second, ours = (f.wider(self.count) for f in (first, second, ours))
        slope, own_over, _ = relu_lines(span.below[0], span.above[0])
        own = _scaled(second, slope, own_over / 2)
        gap = span.gap[0] / 2
        half = (own_over > 0) & (gap < (own_over + over) / 2)
        size = sum(f.centre.abs() + f.reach for f in (ours, first, second))
        charge = ours.error + (first.error + second.error) / 2 + 8 * UNIT * size
        relaxed = Form(
            torch.where(half, ours.centre + (second.centre - first.centre) / 2, own.centre),
            torch.where(
                half, ours.generators + (second.generators - first.generators) / 2, own.generators
            ),
            torch.where(half, charge, own.error),
        )
        return ours, self._opened(relaxed, torch.where(half, gap, own_over / 2))


def met(pair: Pair, span: Span) -> Span:
    """Intervals no wider than forms allow."""
    first, second = pair
    ends = []
    for form in pair:
        edge = form.reach + 2 * UNIT * form.centre.abs()
        ends += [(form.centre - edge)[None], (form.centre + edge)[None]]
    less, more = span.less, span.more
    if first is not second:
        g = max(len(first.generators), len(second.generators))
        gap = second.wider(g).generators - first.wider(g).generators
        middle = second.centre - first.centre
        size = second.reach + first.reach + second.centre.abs() + first.centre.abs()
        far = gap.abs().sum(0) * (1 + rounding(g)) + first.error + second.error + 8 * UNIT * size
        less = torch.maximum(less, (middle - far)[None])
        more = torch.minimum(more, (middle + far)[None])
    return replace(
        span, low=torch.maximum(span.low, ends[0]), high=torch.minimum(span.high, ends[1]),
        below=torch.maximum(span.below, ends[2]), above=torch.minimum(span.above, ends[3]),
        less=less, more=more,
    ).met()  # fmt: skip


def _linear(linear: Linear, given: list[Form]) -> Form:
    count = max(len(f.generators) for f in given)
    given = [f.wider(count) for f in given]
    centre = linear.plain([f.centre[None] for f in given])[0]
    generators, constant = linear.without_constant([f.generators for f in given])
    sizes = [(f.centre.abs() + f.reach)[None] for f in given]
    error = without_bias(linear, [f.error[None] for f in given])
    # Each generator is rounded by itself; where a constant was taken off again, by that too.
    error = error + rounding(linear.terms) * linear.absolute(sizes) + 4 * UNIT * count * constant
    return Form(centre, generators, error[0] + TINY)


def _scaled(form: Form, slope: Tensor, lift: Tensor) -> Form:
    """Slope z + lift."""
    size = slope * (form.centre.abs() + form.reach) + lift
    error = slope * form.error + 8 * UNIT * size + TINY
    return Form(slope * form.centre + lift, slope * form.generators, error)


def _maximum(pair: Pair, span: Span, pick: Pick) -> Pair:
    """Behind a maximum: the value that it is known to be, or any of its interval."""
    ours = _picked(pair[0], pick.index, pick.first[0], span.low[0], span.high[0])
    if pair[0] is pair[1]:
        return ours, ours
    return ours, _picked(pair[1], pick.index, pick.both[0], span.below[0], span.above[0])


def _picked(form: Form, index: Tensor, known: Tensor, low: Tensor, high: Tensor) -> Form:
    middle = low + (high - low) / 2
    half = torch.maximum(high - middle, middle - low) + 4 * UNIT * (low.abs() + high.abs())
    many = index.expand(len(form.generators), *index.shape[1:])
    return Form(
        torch.where(known, gather(form.centre[None], index)[0], middle),
        torch.where(known, gather(form.generators, many), 0.0),
        torch.where(known, gather(form.error[None], index)[0], half),
    )

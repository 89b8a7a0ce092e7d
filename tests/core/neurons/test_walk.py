"""What a bound takes a network for is what it computes; everything else is refused by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sipp_core.neurons import Difference, Domain


class Written(nn.Module):
    """A network whose forward pass is a function of its layers and the input."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.over, self.way = nn.ReLU(inplace=True), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def joined(s: Any, h: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
    return s.c(s.b(act(h)) + h)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (lambda s, x: s.c(F.leaky_relu(s.a(x), 0.5)), "negative_slope=0.5"),
        (lambda s, x: s.c(F.softplus(s.a(x), 3.0)), "beta=3.0"),
        (lambda s, x: s.c(torch.add(s.a(x), s.b(s.a(x)), alpha=3)), "'add' has alpha=3"),
        (lambda s, x: s.c(torch.div(s.a(x), 0.1, rounding_mode="floor")), "rounding_mode"),
        (lambda s, x: joined(s, s.a(x), s.over), "'over' writes over 'a', which 'add' read"),
        (lambda s, x: joined(s, s.a(x), torch.relu_), "writes over 'a'"),
        (lambda s, x: joined(s, s.a(x), lambda h: h.relu_()), "writes over 'a'"),
        (lambda s, x: joined(s, s.a(x), lambda h: h.view(-1, 8).relu_()), "computes else than"),
        (lambda s, x: s.c(F.dropout(torch.relu(s.a(x)))), "drops out in eval mode too"),
        (lambda s, x: s.c(s.a(x) - s.a(x).mean(0)), "depends on others of its batch"),
        (lambda s, x: s.c(F.relu6(s.a(x)).floor()), "relu6.*; operation 'floor'"),
    ],
)  # fmt: skip
def test_what_a_bound_does_not_know_is_refused(way: Any, words: str) -> None:
    centre = torch.zeros(1, 4).double()
    with pytest.raises(ValueError, match=words):
        Difference(Written(way), None, Domain.box(centre - 1, centre + 1))


@pytest.mark.parametrize(
    "way",
    [
        lambda s, x: s.c(1 - torch.relu(s.a(x))),
        lambda s, x: s.c(-2 * torch.relu(s.a(x)) / 3),
        lambda s, x: s.c(torch.relu(s.a(x) * 0.5 + 1) - torch.tanh(s.a(x))),
        lambda s, x: s.c(F.dropout(torch.relu_(s.a(x)), 0.5, s.training)),
        lambda s, x: s.c(torch.relu(s.b(F.pad(s.a(x)[:, 2:], (1, 1), value=-7.0)))),
    ],
)
def test_what_it_knows_is_bounded(way: Any) -> None:
    """Values and differences at 2,000 inputs of a box."""
    net = Written(way).double().eval()
    other = copy.deepcopy(net)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1 + 0.3 * torch.randn(p.shape, generator=rng, dtype=torch.float64))
    x = torch.rand(2000, 4, generator=rng, dtype=torch.float64) * 2 - 1
    both = Difference(net, other, Domain.box(-torch.ones(1, 4).double(), torch.ones(1, 4).double()))
    unit, none = torch.eye(3).double(), torch.zeros(3, 3).double()
    with torch.no_grad():
        f, g = net(x), other(x)
    for value, difference, seen in ((unit, none, f), (none, unit, g - f)):
        assert (seen.amax(0) <= both.bound(value, difference)[0] + 1e-9).all()
        assert (seen.amin(0) >= -both.bound(-value, -difference)[0] - 1e-9).all()

"""Polishing: no single step of a weight of the last layer is left that would pay."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates import count_errors
from sipp_core.compression.polishing import polished, price_of_a_bit
from sipp_core.zoo import models

BITS, DELTA = 300.0, 0.05


def problem(seed: int, bias: bool) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network on few levels, and classes that another one gave."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4, bias=bias))
    for parameter in model.parameters():
        parameter.data = torch.randint(-2, 3, parameter.shape, generator=generator) / 2
    inputs = torch.randn(400, 6, generator=generator)
    return model, inputs, torch.randint(0, 4, (400,), generator=generator)


def cost(model: nn.Sequential, inputs: Tensor, targets: Tensor, price: float) -> float:
    """Errors, and what the last layer's values cost by how frequent each is."""
    total = float(count_errors(model, inputs, targets))
    for parameter in model[-1].parameters():
        _, counts = parameter.detach().unique(return_counts=True)
        total -= price * float((counts * (counts / counts.sum()).log2()).sum())
    return total


@pytest.mark.parametrize(("seed", "bias"), [(0, True), (1, True), (2, False)])
def test_no_step_is_left_that_pays(seed: int, bias: bool) -> None:
    model, inputs, targets = problem(seed, bias)
    before = copy.deepcopy(model.state_dict())
    new = polished(model, inputs, targets, BITS, DELTA)
    assert isinstance(new, nn.Sequential)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    for name in ("0.weight", "0.bias"):
        assert torch.equal(new.state_dict()[name], before[name])
    price = price_of_a_bit(count_errors(model, inputs, targets), 400, BITS, DELTA)
    reached = cost(new, inputs, targets, price)
    assert reached < cost(model, inputs, targets, price) - 5
    least = reached
    for name, parameter in new[-1].named_parameters():
        levels = before[f"2.{name}"].unique()
        assert set(parameter.unique().tolist()) <= set(levels.tolist())
        for place in np.ndindex(*parameter.shape):
            kept = parameter.data[place].clone()
            for level in levels:
                parameter.data[place] = level
                least = min(least, cost(new, inputs, targets, price))
            parameter.data[place] = kept
    # Half an occurrence more of each level, which keeps logarithms finite, moves prices a little.
    assert least > reached - 3 * price


def test_a_bit_weighs_as_many_errors_as_raise_the_bound_as_much() -> None:
    price = price_of_a_bit(1700, 60_000, 3200.0, 0.05)
    given = {"n": 60_000, "delta": 0.05}
    dearer = sipp_theory.occam_bound("binomial", errors=1700, bits=3200 + 500, **given)
    worse = sipp_theory.occam_bound(
        "binomial", errors=1700 + round(500 * price), bits=3200, **given
    )
    assert float(dearer) == pytest.approx(float(worse), rel=2e-3)
    assert price_of_a_bit(60, 60, 10.0, 0.05) >= 0


def test_what_ends_otherwise_is_only_copied() -> None:
    inputs, targets = torch.rand(20, 6), torch.zeros(20, dtype=torch.int64)
    for model in (nn.Linear(6, 3), nn.Sequential(nn.Linear(6, 3), nn.Identity()),
                  nn.Sequential(nn.Linear(6, 3))):  # fmt: skip
        new = polished(model, inputs, targets, BITS, DELTA)
        assert new is not model
        pairs = zip(new.state_dict().values(), model.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_images_and_fixed_layers_are_no_hindrance() -> None:
    torch.manual_seed(0)
    model, images = models.oriented((12, 2, 4, 3)), torch.rand(60, 1, 12, 12)
    for parameter in model.parameters():
        parameter.data = (parameter.data * 2).round() / 2
    targets = torch.randint(0, 10, (60,))
    new = polished(model, images, targets, 100.0, 0.05)
    assert count_errors(new, images, targets) <= count_errors(model, images, targets)

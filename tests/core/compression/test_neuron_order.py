"""Hidden neurons in another order: the same function, and a shorter file."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sipp_core import compress
from sipp_core.compression.neuron_order import sort_neurons
from sipp_core.zoo import models


def convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.GroupNorm(1, 5, affine=False), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3),
        nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip


def test_the_function_stays_and_biases_rise() -> None:
    torch.manual_seed(0)
    model = convolutions()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    new = sort_neurons(model)
    inputs = torch.rand(7, 1, 12, 12)
    torch.testing.assert_close(new(inputs), model(inputs))
    for name in ("0.bias", "3.bias", "6.bias"):
        bias = new.get_parameter(name)
        assert torch.equal(bias, model.get_parameter(name).sort().values)
    assert torch.equal(new.get_parameter("8.bias"), model.get_parameter("8.bias"))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_fixed_layers_before_the_first_are_no_hindrance() -> None:
    torch.manual_seed(0)
    model = models.oriented((12, 2, 4, 7))
    model.get_parameter("conv1.bias").data = torch.randn(7)
    new, inputs = sort_neurons(model), torch.rand(5, 1, 12, 12)
    torch.testing.assert_close(new(inputs), model(inputs))
    assert new.get_parameter("conv1.bias").diff().min() > 0


def test_the_file_no_longer_says_the_order() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 4))
    for parameter in model.parameters():
        parameter.data = (parameter.data * 8).round() / 8 + 0.0
    # Distinct biases: all 40! orders of the neurons are different files.
    model.get_parameter("0.bias").data = torch.randperm(160)[:40] / 64
    saved = compress(model).bits - compress(sort_neurons(model)).bits
    assert saved > 0.7 * math.log2(math.factorial(40))


def test_what_has_places_is_refused() -> None:
    with pytest.raises(ValueError, match="found Linear"):
        sort_neurons(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="layer '0' has groups"):
        sort_neurons(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)))
    with pytest.raises(ValueError, match="layer '1' is a LayerNorm"):
        sort_neurons(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    with pytest.raises(ValueError, match="layer '1' is a GroupNorm"):
        sort_neurons(nn.Sequential(nn.Conv2d(2, 2, 1), nn.GroupNorm(2, 2, affine=False)))
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="used twice"):
        sort_neurons(nn.Sequential(shared, shared))
    assert isinstance(sort_neurons(models.build("lenet-5")), nn.Sequential)

"""Reference models: named layers, sizes counted by hand, and weights that follow the seed alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sipp_core import models

PARAMETERS = {
    "lenet-300-100": 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10,
    "digits-mlp": 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10,
    "lenet-5": 6 * 25 + 6 + 16 * 6 * 25 + 16 + 400 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10,
}


@pytest.mark.parametrize("name", models.NAMES)
def test_a_model_has_its_published_size_and_answers(name: str) -> None:
    model = models.build(name)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    assert model(torch.rand(3, *models.input_shape(name))).shape == (3, 10)
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_layers_are_named() -> None:
    children = dict(models.build("lenet-300-100").named_children())
    assert list(children) == ["fc1", "relu1", "fc2", "relu2", "fc3"]
    assert isinstance(children["fc1"], nn.Linear)
    assert "conv2" in dict(models.build("lenet-5").named_children())


@pytest.mark.parametrize("name", models.NAMES)
def test_weights_follow_the_seed_and_leave_global_randomness_alone(name: str) -> None:
    state = torch.get_rng_state()
    first, again, other = (models.build(name, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_initial_weights_have_the_variance_he_derived() -> None:
    weight = models.build("lenet-300-100").get_parameter("fc1.weight").detach()
    # 235,200 normal draws: their standard deviation is off by 0.15% (one sigma).
    assert float(weight.std()) == pytest.approx(math.sqrt(2 / 784), rel=0.01)
    assert abs(float(weight.mean())) < 5 * math.sqrt(2 / 784 / weight.numel())


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"name must be one of lenet-300-100.*'resnet'"):
        models.build("resnet")
    with pytest.raises(ValueError, match="name must be one of"):
        models.input_shape("")
    with pytest.raises(ValueError, match="seed must be in .* found -1"):
        models.build("digits-mlp", seed=-1)
    with pytest.raises(TypeError, match="seed must be an integer; found True"):
        models.build("digits-mlp", seed=True)

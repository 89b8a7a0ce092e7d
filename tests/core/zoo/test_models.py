"""Reference models: named layers, sizes counted by hand, and weights that follow the seed alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sipp_core.zoo import models

PARAMETERS = {
    "lenet-300-100": 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10,
    "digits-mlp": 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10,
    "lenet-5": 6 * 25 + 6 + 16 * 6 * 25 + 16 + 400 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10,
    "lenet-5-caffe": 431_080,  # "431K" in table 1 of Han et al. 2015
    "vgg-small": 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    + 2 * 2 * (32 + 64 + 128)
    + 2048 * 128 + 128 + 128 * 10 + 10,
    "resnet-20": 269_722,  # "0.27M" in table 6 of He et al. 2016
    "vit-tiny": 3 * 16 * 64 + 64 + 64 * 64
    + 4 * (4 * (64 * 64 + 64) + 2 * 128 + 2 * 64 * 128 + 128 + 64)
    + 128 + 64 * 10 + 10,
}  # fmt: skip


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


def test_norms_start_as_the_identity_and_layers_of_resnet_20_are_counted() -> None:
    model = models.build("resnet-20")
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(bool((m.weight == 1).all()) and bool((m.bias == 0).all()) for m in norms)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20
    transformer = models.build("vit-tiny")
    assert 0.015 < float(transformer.get_parameter("position").detach().std()) < 0.025


def test_the_shortcut_of_a_residual_block_halves_the_image_and_adds_channels_of_zeros() -> None:
    block = models.build("resnet-20").eval().get_submodule("block2_1")
    with torch.no_grad():
        block.get_parameter("bn2.weight").zero_()
        x = torch.rand(2, 16, 8, 8)
        out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any() and not out[:, 24:].any()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"name must be one of lenet-300-100.*'resnet'"):
        models.build("resnet")
    with pytest.raises(ValueError, match="name must be one of"):
        models.input_shape("")
    with pytest.raises(ValueError, match="seed must be in .* found -1"):
        models.build("digits-mlp", seed=-1)
    with pytest.raises(TypeError, match="seed must be an integer; found True"):
        models.build("digits-mlp", seed=True)

"""prune_neurons: what stays, what is written, what is refused, on dense and convolutional nets."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import (
    Ball,
    Box,
    certify_around,
    compress,
    decompress,
    load,
    models,
    prune_neurons,
)
from sipp_core.methods import Neurons, registered
from tests.core.methods.conftest import relu_network

METHODS = [name for name, method in registered().items() if isinstance(method, Neurons)]
BOX = Box(torch.zeros(7), torch.ones(7))


def weights(model: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in model.parameters() if p.ndim > 1]


@pytest.mark.parametrize("method", METHODS)
def test_a_fraction_of_the_neurons_stays_and_the_model_is_left_alone(method: str) -> None:
    model = relu_network()
    before = copy.deepcopy(model.state_dict())
    result = prune_neurons(model, BOX, method=method, neurons=0.5, seed=1)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert result.channels is not None
    for group in result.channels.groups:
        assert 1 <= group.kept <= group.units and group.error is not None
    assert weights(result.model)[0][0] == result.channels.groups[0].kept < 9
    assert result.arguments["region"] == BOX.words()
    assert "NC-1g" in result.claims or "NC-1" in result.claims


@pytest.mark.parametrize("method", ["mussay-corrected", "norm", "omp"])
@pytest.mark.parametrize(
    "act", [nn.ReLU(), nn.GELU(), nn.Sigmoid()], ids=lambda a: type(a).__name__
)
def test_no_input_of_the_region_passes_what_is_certain(method: str, act: nn.Module) -> None:
    """One hidden layer: the error of norm and omp is a bound on every output at every input."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 12), act, nn.Linear(12, 3)).double()
    box = Box(-torch.ones(5), torch.ones(5))
    result = prune_neurons(model, box, method=method, neurons=6, seed=3)
    x = box.sample(2000, 5)
    with torch.no_grad():
        moved = (result.model(x) - model(x)).abs().max()
    assert result.channels is not None
    (group,) = result.channels.groups
    assert group.error is not None and group.region_error is not None
    assert moved <= group.region_error * (1 + 1e-9)


def test_dropped_middles_go_into_the_next_bias() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    values = ([[10.0], [1.0]], [0.0, 0.0], [[1.0, 4.0]], [0.5])
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value))
    result = prune_neurons(model, Box(torch.zeros(1), torch.ones(1)), method="norm", neurons=1)
    # relu(x) on [0, 1] has the middle 1/2: 4 times that joins the bias.
    assert result.model.state_dict()["2.bias"].item() == pytest.approx(2.5)
    assert result.model.state_dict()["2.weight"].tolist() == [[1.0]]


def test_a_batchnorm_takes_the_correction_of_a_layer_without_bias() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, bias=False), nn.BatchNorm2d(4),
        nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3),
    ).eval()  # fmt: skip
    box = Box(torch.zeros(1, 8, 8), torch.ones(1, 8, 8))
    result = prune_neurons(model, box, method="norm", neurons=3, layers=["0", "2"])
    mean = model[3].running_mean
    assert isinstance(mean, Tensor)
    assert not torch.equal(result.model.state_dict()["3.running_mean"], mean)
    assert weights(result.model) == [(3, 1, 3, 3), (4, 3, 3, 3), (3, 16)]


@pytest.mark.parametrize(("name", "keep"), [("lenet-5", 0.5), ("resnet-20", 0.7)])
def test_reference_networks_save_load_certify_and_compress(
    name: str, keep: float, tmp_path: Path
) -> None:
    model, shape = models.pretrained(name), models.input_shape(name)
    box = Box(torch.zeros(shape), torch.ones(shape))
    result = prune_neurons(model, box, method="norm", keep=keep)
    assert result.kept <= keep
    again = load(result.save(tmp_path / "net"), model)
    x = torch.rand(2, *shape)
    with torch.no_grad():
        assert torch.equal(again.model.eval()(x), result.model.eval()(x))
        # Middles of ranges that say nothing would have put outputs beyond all numbers.
        assert result.model.eval()(x).abs().max() < 1e4
    # Affine forms of a network this large take minutes; LeNet-5 has no layer that needs them.
    symbols = 0 if name == "resnet-20" else None
    found = certify_around(model, again, x[:1], 1e-9, attack_steps=3, symbols=symbols)
    assert (found.attack <= found.bound).all() and np.isfinite(found.bound).all()
    small = decompress(compress(again.model).content, again.model).state_dict()
    assert all(torch.equal(small[k], v) for k, v in again.model.state_dict().items())
    assert result.channels is not None
    joined = any("joins the channels" in why for why in result.channels.whole.values())
    assert joined == (name == "resnet-20")


def test_a_network_too_wide_to_be_bounded_says_where() -> None:
    model, shape = models.pretrained("resnet-20"), models.input_shape("resnet-20")
    box = Box(torch.zeros(shape), torch.ones(shape))
    result = prune_neurons(model, box, method="norm", keep=0.7)
    found = certify_around(model, result, torch.rand(1, *shape), 1e-4, attack_steps=2, symbols=0)
    assert not found.proved.any()
    assert "'block" in found.why and "too many to be bounded" in found.why
    assert found.why in found.sentence()


def test_an_error_keeps_the_fewest_neurons_that_promise_it() -> None:
    model = relu_network()
    wide, tight = (prune_neurons(model, BOX, method="norm", eps=eps) for eps in (0.6, 0.2))
    assert wide.nnz_after < tight.nnz_after
    for result, eps in ((wide, 0.6), (tight, 0.2)):
        assert result.channels is not None
        assert all(group.eps <= eps for group in result.channels.groups)


def test_a_ball_and_a_box_from_data() -> None:
    model = relu_network()
    ball = prune_neurons(model, Ball(torch.zeros(7), 1.0), method="mussay-corrected", neurons=3)
    assert "ball of radius 1" in str(ball.arguments["region"])
    data = torch.rand(20, 7)
    made = Box.from_data(data, 0.1)
    assert torch.equal(made.low, data.double().amin(0) - 0.1)
    found = prune_neurons(model, made, method="uniform", neurons=3)
    assert "not independent" in str(found.arguments["region"])
    inside = Ball(torch.zeros(7), 1.0).sample(50, 0)
    assert (inside.norm(dim=1) <= 1).all() and inside.norm(dim=1).max() > 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"region": torch.ones(7)}, "region must be a Box or a Ball"),
        ({"region": Box(torch.zeros(3), torch.ones(3))}, "shape"),
        ({"method": "best"}, "method must be one of mussay"),
        ({"neurons": None}, "give one of keep, neurons and eps"),
        ({"neurons": 0}, "neurons must be finite and above 0"),
        ({"neurons": np.nan}, "neurons must be finite and above 0"),
        ({"neurons": True}, "neurons must be a number"),
        ({"neurons": 2.5}, "a whole number or a fraction below 1; found 2.5"),
        ({"neurons": 1000}, "neurons=1000 removes none: the widest layer has"),
        ({"delta": 0.1}, "delta=0.1 has no effect: method 'norm' draws nothing"),
        ({"eps": 0.2}, "give one of keep, neurons and eps; found None, 3 and 0.2"),
        ({"seed": "a"}, "seed must be an integer"),
        ({"method": "omp", "data": [1]}, "data must be a tensor"),
        ({"method": "omp", "data": torch.ones(3, 6)}, r"data has inputs of shape \(6,\)"),
        ({"data": torch.ones(3, 7)}, "data is what 'omp' fits"),
        ({"neurons": None, "keep": 0.001}, "cannot be met"),
    ],
)
def test_refusals(change: dict[str, object], words: str) -> None:
    call: dict[str, object] = {"region": BOX, "method": "norm", "neurons": 3} | change
    region = call.pop("region")
    with pytest.raises((TypeError, ValueError), match=words):
        prune_neurons(relu_network(), region, **call)  # type: ignore[arg-type]


def test_models_without_hidden_neurons_are_refused() -> None:
    with pytest.raises(ValueError, match="one Linear layer: there is no hidden neuron"):
        prune_neurons(nn.Linear(7, 2), BOX, neurons=1)
    with pytest.raises(TypeError, match="model must be an nn.Module; found str"):
        prune_neurons("net", BOX, neurons=1)  # type: ignore[arg-type]


def test_regions_refuse_what_is_none() -> None:
    for make, words in (
        (lambda: Box(torch.ones(2), torch.zeros(2)), "low must not exceed high"),
        (lambda: Box(0.0, 1.0), "shape of one input"),
        (lambda: Ball(torch.zeros(2), -1.0), "radius must be finite"),
        (lambda: Box(np.array([np.nan]), 1.0), "not finite"),
        (lambda: Box.from_data(torch.ones(2, 2), -1.0), "margin must be"),
        (lambda: Box.from_data(torch.ones(2, 2), np.inf), "margin must be finite"),
        (lambda: Box.from_data(torch.full((2, 2), np.nan)), "an input is not finite"),
        (lambda: Box(torch.zeros(7), torch.ones(6)), r"one shape.*\(7,\) and \(6,\)"),
        (lambda: Box(torch.zeros(0), torch.ones(0)), "one coordinate at least"),
        (lambda: Box("a", 1.0), "low must be a tensor"),  # type: ignore[arg-type]
        (lambda: Box(torch.zeros(2) * 1j, torch.ones(2)), "must hold real numbers"),
        (lambda: Ball(torch.zeros(2), "1"), "radius must be a number"),  # type: ignore[arg-type]
        (lambda: Ball(None, 1.0), "centre must be a tensor"),  # type: ignore[arg-type]
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            make()


def test_an_operation_that_no_bound_knows_is_named() -> None:
    model = nn.Sequential(nn.Linear(7, 4), nn.ReLU6(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"'1' is a ReLU6, which no bound"):
        prune_neurons(model, BOX, method="norm", neurons=2)

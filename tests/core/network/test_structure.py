"""Smaller layers and what networks cost: every kind of layer, hand counts, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sipp_core.network.cost import multiply_adds, parameter_count
from sipp_core.network.structure import channel_shape, narrow, select
from sipp_core.zoo import models


def test_every_kind_of_layer_gets_smaller_and_runs():
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Conv2d(6, 12, 3, groups=6),
        nn.Flatten(), nn.Linear(12, 5),
    ).eval()  # fmt: skip
    net.double()
    net[0].weight.requires_grad_(False)
    small = narrow(net, {"0": (4, 3), "1": (4, 4), "2": (8, 4), "4": (5, 8)})
    assert [channel_shape(small[k]) for k in (0, 1, 2, 4)] == [(4, 3), (4, 4), (8, 4), (5, 8)]
    assert small[2].groups == 4 and small(torch.rand(2, 3, 5, 5).double()).shape == (2, 5)
    assert not small[0].weight.requires_grad and small[4].weight.requires_grad
    assert not small[1].training and small[1].num_batches_tracked == 0
    assert torch.equal(small.get_parameter("0.weight"), net.get_parameter("0.weight")[:4])
    assert channel_shape(net[0]) == (6, 3)
    assert "groups=4" in repr(small) and "num_features" not in repr(small)


def test_chosen_channels():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    out = torch.tensor([3, 1])
    small = select(net, {"0": (out, torch.tensor([0, 2])), "1": (out, out)})
    weight, bias = (net.get_parameter(f"0.{name}")[[3, 1]] for name in ("weight", "bias"))
    assert torch.equal(small.get_parameter("0.weight"), weight[:, [0, 2]])
    assert torch.equal(small.get_parameter("0.bias"), bias)


@pytest.mark.parametrize(
    ("shapes", "kind", "words"),
    [
        ({"9": (1, 1)}, ValueError, "no layer '9'"),
        ({"0": (9, 3)}, ValueError, r"output channels of layer '0' must be in \[1, 5\); found 9"),
        ({"0": (4, 0)}, ValueError, r"input channels of layer '0' must be in \[1, 4\); found 0"),
        ({"0": (1.5, 1)}, TypeError, "must be an integer; found 1.5"),
        ({"1": (1, 1)}, TypeError, "a ReLU has no channels"),
    ],
)
def test_bad_shapes_are_refused_by_name(shapes, kind, words):
    with pytest.raises(kind, match=words):
        narrow(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), shapes)


def test_multiply_adds_against_hand_counts():
    lenet = multiply_adds(models.build("lenet-5"), torch.rand(1, 1, 28, 28))
    assert lenet == {
        "conv1": 28 * 28 * 6 * 25, "conv2": 10 * 10 * 16 * 6 * 25, "fc1": 400 * 120,
        "fc2": 120 * 84, "fc3": 84 * 10,
    }  # fmt: skip
    # The number that is quoted for ResNet-20 is 41 million.
    resnet = multiply_adds(models.build("resnet-20"), torch.rand(1, 3, 32, 32))
    stages = [(16, 16, 32), (32, 32, 16), (64, 64, 8)]
    inner = sum(size**2 * out * into * 9 * 6 for out, into, size in stages)
    first = sum(size**2 * out * (out // 2) * 9 for out, _, size in stages[1:])
    same = sum(size**2 * out * out * 9 for out, _, size in stages[1:])
    assert sum(resnet.values()) == 32**2 * 16 * 27 + inner + first - same + 640 == 40_551_040


def test_grouped_strided_and_token_layers():
    net = nn.Conv1d(4, 8, 3, stride=2, groups=2)
    assert multiply_adds(net, torch.rand(5, 4, 9)) == {"": 5 * 4 * 8 * 2 * 3}
    assert multiply_adds(nn.Linear(3, 2), torch.rand(5, 7, 3)) == {"": 5 * 7 * 6}
    assert multiply_adds(nn.ModuleList([nn.Linear(1, 1)]).append(net)[1], torch.rand(1, 4, 9)) == {
        "": 4 * 8 * 2 * 3
    }


def test_costs_of_a_shared_layer_and_no_trace_left():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, shared, nn.Dropout())
    assert multiply_adds(net, torch.rand(1, 2)) == {"0": 8}
    assert net.training and not shared._forward_hooks
    assert parameter_count(net) == 6
    with pytest.raises(ValueError, match="cannot run on example"):
        multiply_adds(net, torch.rand(1, 3))
    assert not shared._forward_hooks

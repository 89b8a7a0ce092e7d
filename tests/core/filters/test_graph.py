"""Channels through a graph: what is coupled, what can go, what stays and why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from sipp_core.filters.graph import channel_graph
from sipp_core.zoo import models


def found(model: nn.Module, *shape: int):
    return channel_graph(model, torch.rand(2, *shape, dtype=next(model.parameters()).dtype))


def test_a_chain_has_one_group_a_layer():
    graph = found(models.build("lenet-5"), 1, 28, 28)
    assert [g.producers for g in graph.groups] == [("conv1",), ("conv2",), ("fc1",), ("fc2",)]
    second = graph.groups[1]
    # 16 channels of 5 x 5 pixels each behind the flattening.
    assert second.inputs["fc1"].tolist() == np.repeat(np.arange(16), 25).tolist()
    assert all(not g.frozen for g in graph.groups)
    assert graph.whole == {"fc3": "its output is an output of the model"}


def test_resnet_20_couples_its_residual_path_through_padded_shortcuts():
    graph = found(models.build("resnet-20"), 3, 32, 32)
    (path,) = [g for g in graph.groups if g.frozen]
    assert path.units == 64 and len(path.producers) == 10 and len(path.inputs) == 10
    stage = [path.outputs[f"block{k}_1.conv2"] for k in (1, 2, 3)]
    assert stage[1][8:24].tolist() == stage[0].tolist()
    assert stage[2][16:48].tolist() == stage[1].tolist()
    assert sorted({u for s in stage for u in s.tolist()}) == list(range(64))
    inside = [g for g in graph.groups if not g.frozen]
    assert len(inside) == 9 and all(g.outputs.keys() == {p[0], p[0][:-5] + "bn1"}
                                    for g in inside for p in [g.producers])  # fmt: skip


def test_every_small_network(channel_network):
    def groups(name: str) -> dict[tuple[str, ...], tuple[tuple[str, ...], int]]:
        model, x = channel_network(name, 0)
        graph = channel_graph(model, x)
        return {
            g.producers: (tuple(g.inputs), g.units * (-1 if g.frozen else 1)) for g in graph.groups
        }

    assert groups("residual") == {("stem", "outer"): (("inner", "head"), 6),
                                  ("inner",): (("outer",), 5)}  # fmt: skip
    assert groups("branches") == {("left",): (("mix",), 4), ("right",): (("mix",), 5),
                                  ("mix",): (("head",), 6)}  # fmt: skip
    assert groups("written") == {("conv", "gate"): (("hidden",), -4), ("hidden",): (("head",), 7)}
    assert groups("tokens") == {("up",): (("down",), 8)}
    assert groups("padded") == {("stem", "wide"): (("wide", "last"), -7), ("last",): (("head",), 4)}
    assert groups("three") == {("body.0",): (("body.5",), 5), ("body.8",): (("body.10",), 5)}


def test_offsets_of_a_concatenation_and_of_a_depthwise_convolution(channel_network):
    model, x = channel_network("branches", 0)
    left, right, _ = channel_graph(model, x).groups
    assert left.outputs["depth"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, *[-1] * 10]
    assert right.inputs["mix"].tolist() == [*[-1] * 8, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert set(left.outputs) == {"left", "depth", "norm"}


class One(nn.Module):
    """Two convolutions with a function of the test's own between them."""

    def __init__(self, between: Callable[[Tensor], Tensor], width: int = 4, after: int = 4) -> None:
        super().__init__()
        self.a, self.between = nn.Conv2d(2, width, 1), between
        self.b, self.c = nn.Conv2d(after, 3, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.between(self.a(x))))


def depth(x: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    """Drops whole branches in training; in eval mode it hands on what it is given."""
    return F.dropout(x, p) if training else x


torch.fx.wrap("depth")

FREE: list[Callable[[Tensor], Tensor]] = [
    lambda x: x + x,
    lambda x: x.transpose(2, 3),
    lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
    lambda x: torch.permute(x, (1, 0, 2, 3)).swapaxes(0, 1),
    lambda x: torch.chunk(x, 2, dim=2)[0],
    lambda x: x.unbind(2)[1][:, :, None],
    lambda x: x.split(3, dim=3)[1],
    lambda x: depth(x),
    lambda x: F.relu(x, inplace=True), lambda x: torch.relu(x), lambda x: x.tanh(),
    lambda x: 2 * x + 1, lambda x: x / 3, lambda x: F.dropout(x, 0.5, False),
    lambda x: x[:, :, ::2, 1:], lambda x: F.avg_pool2d(x, 2), lambda x: x.mean(3, keepdim=True),
    lambda x: F.pad(x, (1, 1, 0, 2)), lambda x: x.contiguous().clone(), lambda x: x.clamp(min=0),
    lambda x: F.interpolate(x, scale_factor=2.0), lambda x: x * torch.ones(1, 1, 1),
    lambda x: F.max_pool2d(x, 2), lambda x: torch.sub(x, 1.0), lambda x: x * x.shape[0],
    lambda x: x * x.size(2),
]  # fmt: skip
FROZEN: list[tuple[Callable[[Tensor], Tensor], str]] = [
    (lambda x: torch.cat(torch.chunk(x, 2, dim=1)[::-1], 1), "cuts the channels by number"),
    (lambda x: torch.cat(x.split([1, 3], dim=1)[::-1], 1), "cuts the channels by number"),
    (lambda x: x * torch.ones(4, 1, 1), "joins the channels with a tensor of as many"),
    (lambda x: torch.cat([x[:, :2], x[:, 2:]], 1), "takes some channels by number"),
    (lambda x: x / x.size(1), "the number of channels is read by 'size'"),
    (lambda x: x / x.shape[-3], "the number of channels is read by 'getattr"),
    (lambda x: x / x.numel(), "the number of channels is read by 'numel'"),
]
FIXED: list[tuple[Callable[[Tensor], Tensor], str]] = [
    (lambda x: x.softmax(1), "softmax"),
    (lambda x: x.transpose(1, 2).softmax(2).transpose(1, 2), "softmax"),
    (lambda x: x * x.mean(1, keepdim=True), "mean"),
    (lambda x: 1 / (1 + x), "truediv"),
    (lambda x: torch.matmul(x, x), "matmul"),
    (lambda x: F.layer_norm(x, x.shape[1:]), "layer_norm"),
    (lambda x: torch.cat([x, x], 2), "cat"),
    (lambda x: F.pad(x, (0, 0, 0, 0, -1, 1)), "pad"),
    (lambda x: x.unbind(1)[0][:, None].expand_as(x), "unbind"),
    (lambda x: torch.where(x > 0, x, 0.0), "gt"),
    (lambda x: x.flip(1), "flip"),
]


@pytest.mark.parametrize("index", range(len(FREE)))
def test_operations_that_keep_channels_apart(index):
    graph = found(One(FREE[index]), 2, 6, 6)
    assert [g.producers for g in graph.groups] == [("a",), ("b",)]
    assert not graph.groups[0].frozen


@pytest.mark.parametrize("index", range(len(FROZEN)))
def test_operations_that_keep_a_channel_in_its_place(index):
    between, why = FROZEN[index]
    net = One(between)
    before = set(vars(net))
    (group, _) = found(net, 2, 6, 6).groups
    assert set(vars(net)) == before
    assert any(why in reason for reason in group.frozen), group.frozen


@pytest.mark.parametrize("index", range(len(FIXED)))
def test_operations_that_are_not_known_keep_all_channels(index):
    between, name = FIXED[index]
    graph = found(One(between), 2, 6, 6)
    assert [g.producers for g in graph.groups] == [("b",)]
    assert graph.whole["a"].startswith("its output reaches") and name in graph.whole["a"]


def test_a_pooling_that_would_take_the_channels_for_rows_is_not_followed():
    net = nn.Sequential(nn.Conv1d(2, 4, 1), nn.MaxPool2d(2), nn.Conv1d(2, 3, 1), nn.Conv1d(3, 1, 1))
    assert "does not keep channels apart" in found(net, 2, 6).whole["0"]


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.norm(self.a(self.norm(self.b(self.b(x))))))


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x))
        return self.c(x) + F.linear(x, self.c.weight)


class Own(nn.Conv2d):
    """A class of one's own that runs as its parent does."""


def test_what_is_shared_or_used_by_hand_stays_whole():
    assert found(Twice(), 3).groups == ()
    why = found(Twice(), 3).whole
    assert why["b"] == "it is used more than once" and "'norm'" in why["a"]
    graph = found(ByHand(), 3)
    assert [g.producers for g in graph.groups] == [("a",)]
    assert graph.whole["c"] == "it is used more than once"
    assert "'c', which is used more than once" in graph.whole["b"]


def test_layers_left_out_and_groups_of_channels():
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 1),
                        nn.ReLU(), Own(4, 3, 1), nn.Conv2d(3, 2, 1))  # fmt: skip
    graph = found(net, 2, 3, 3)
    assert [(g.producers, g.units) for g in graph.groups] == [
        (("0",), 2), (("1",), 2), (("2",), 4), (("4",), 3),
    ]  # fmt: skip
    assert graph.groups[0].outputs["0"].tolist() == graph.groups[0].inputs["1"].tolist()
    assert graph.groups[0].inputs["1"].tolist() == [0, 1, 0, 1]
    chosen = channel_graph(net, torch.rand(2, 2, 3, 3), ["!4"])
    assert "'4', which was left out" in chosen.whole["2"]
    first = nn.Sequential(nn.Conv2d(2, 2, 1, groups=2), nn.Conv2d(2, 2, 1))
    assert "passes on channels that no filter made" in found(first, 2, 3, 3).whole["0"]


def test_an_output_nobody_uses_and_a_linear_across_positions():
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.across = nn.Conv1d(2, 3, 1), nn.Conv1d(2, 3, 1), nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            self.b(x)
            return self.across(self.a(x))

    why = found(Idle(), 2, 5).whole
    assert why["b"] == "no layer that could drop its channels comes after it"
    assert "'across', which does not run along the channels" in why["a"]

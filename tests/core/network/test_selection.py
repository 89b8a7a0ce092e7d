"""Which layers are pruned: chosen and left out by name, glob and type, or refused by name."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core import Except, calibrate, prune
from sipp_core.network.layers import other_matrices, prunable_layers
from sipp_core.network.selection import leaving_out


def names(model: nn.Module, layers: Any = None) -> list[str]:
    return [layer.name for layer in prunable_layers(model, layers)]


def network() -> nn.Module:
    return nn.ModuleDict(
        {
            "features": nn.Sequential(
                nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.Conv2d(2, 4, 1))
            ),
            "mixer": nn.Conv1d(4, 4, 1),
            "head": nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)),
        }
    )


ALL = ["features.0", "features.2.0", "mixer", "head.0", "head.2"]


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [
        (None, ALL),
        ("features.*", ALL[:2]),
        ("features", ALL[:2]),
        ("*.0", ["features.0", "features.2.0", "head.0"]),
        (nn.Conv2d, ALL[:2]),
        ([nn.Conv2d, "head.2"], [*ALL[:2], "head.2"]),
        ((nn.Conv2d, nn.Conv1d), ALL[:3]),
        ("!features.*", ALL[2:]),
        (["!mixer", "!head.0"], ["features.0", "features.2.0", "head.2"]),
        (Except(nn.Conv2d), ALL[2:]),
        ([nn.Linear, "!head.2"], ["head.0"]),
        (["features", "head", Except(nn.Linear)], ALL[:2]),
        (lambda name, module: name.endswith("2"), ["head.2"]),
        ((entry for entry in ("mixer", "head.2")), ["mixer", "head.2"]),
        (nn.Sequential, ["features.0", "features.2.0", "head.0", "head.2"]),
    ],
)
def test_layers_are_chosen_and_left_out(layers: Any, chosen: list[str]) -> None:
    assert names(network(), layers) == chosen


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ("fc", ValueError, "layers: 'fc' matches no layer .*'features.0' .Conv2d., .*'head.2'"),
        (["head", "features.1"], ValueError, "'features.1' matches no layer"),
        ("!haed", ValueError, "layers: the exclusion 'haed' matches no layer of the model"),
        (nn.Conv3d, ValueError, "layers: Conv3d matches no layer"),
        (Except(nn.LSTM), ValueError, "the exclusion LSTM matches no layer"),
        (["head", "!head"], ValueError, "no layer to prune.*selects"),
        (3, TypeError, "layers must hold names.*found 3"),
        (["head", None], TypeError, "layers must hold names.*found None"),
        (dict, TypeError, "layers must hold names.*found <class 'dict'>"),
    ],
)
def test_slips_are_refused_by_name(layers: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        names(network(), layers)


def test_a_name_with_glob_characters_means_itself() -> None:
    assert names(nn.ModuleDict({"fc[0]": nn.Linear(1, 1), "fc0": nn.Linear(1, 1)}), "fc[0]") == [
        "fc[0]",
        "fc0",
    ]
    assert names(nn.ModuleDict({"a*": nn.Linear(1, 1)}), "a*") == ["a*"]


# ---- what is not supported ---------------------------------------------------------------------

UNSUPPORTED: dict[str, tuple[nn.Module, str]] = {
    "RNN": (nn.RNN(4, 4), "recurrence with nn.Linear"),
    "LSTM": (nn.LSTM(4, 4), "recurrence with nn.Linear"),
    "GRU": (nn.GRU(4, 4), "recurrence with nn.Linear"),
    "RNNCell": (nn.RNNCell(4, 4), "cell with nn.Linear"),
    "LSTMCell": (nn.LSTMCell(4, 4), "cell with nn.Linear"),
    "GRUCell": (nn.GRUCell(4, 4), "cell with nn.Linear"),
    "Bilinear": (nn.Bilinear(4, 4, 4), "nn.Linear of their products"),
    "EmbeddingBag": (nn.EmbeddingBag(4, 4), "nn.Linear of counts"),
    "ConvTranspose1d": (nn.ConvTranspose1d(4, 4, 1), "nn.Upsample and a convolution"),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 4, 1), "nn.Upsample and a convolution"),
    "ConvTranspose3d": (nn.ConvTranspose3d(4, 4, 1), "nn.Upsample and a convolution"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_unsupported_layers_are_refused_with_what_to_do(kind: str) -> None:
    module, hint = UNSUPPORTED[kind]
    model = nn.ModuleDict({"fc": nn.Linear(4, 4), "odd": module})
    message = f"layer 'odd' is a {kind}, which is not supported; .*{re.escape(hint)}.*'!odd'"
    for layers in (None, "*", type(module), "!fc"):
        with pytest.raises(ValueError, match=message):
            names(model, layers)
    for layers in ("fc", "!odd", Except(type(module)), [nn.Linear, "!odd"]):
        assert names(model, layers) == ["fc"]
    with pytest.raises(ValueError, match=f"layer '' is a {kind}.*{re.escape(hint)}"):
        names(module)


def test_what_is_inside_an_unsupported_layer_is_refused_too() -> None:
    class Odd(nn.LSTM):
        def __init__(self) -> None:
            super().__init__(4, 4)
            self.inner = nn.Linear(4, 4)

    model = nn.ModuleDict({"fc": nn.Linear(4, 4), "odd": Odd(), "more": nn.LSTM(4, 4)})
    message = "layer 'odd' is a Odd, .*layer 'odd.inner' is part of 'odd'; .*'!odd'"
    with pytest.raises(ValueError, match=message):
        names(model, "odd.inner")
    with pytest.raises(ValueError, match=r"'odd' is a Odd.*'more' is a LSTM.*'!odd', '!more'\]"):
        names(model)


def test_all_offenders_are_named_at_once_with_a_pattern_that_leaves_them_out() -> None:
    blocks = [nn.ModuleDict({"fc": nn.Linear(4, 4), "rnn": nn.GRU(4, 4)}) for _ in range(3)]
    model = nn.Sequential(*blocks)
    with pytest.raises(
        ValueError, match="layers '0.rnn', '1.rnn', '2.rnn' are of type GRU"
    ) as raised:
        names(model)
    pattern = re.search(r"layers=\[(.*)\]$", str(raised.value))
    assert pattern is not None and pattern[1] == "'!*.rnn'"
    assert names(model, pattern[1].strip("'")) == ["0.fc", "1.fc", "2.fc"]


@pytest.mark.parametrize(
    ("culprits", "others", "pattern"),
    [
        (["a"], ["b"], "layers=['!a']"),
        (["h.0.x", "h.1.x"], ["h.0.y", "h.1.y"], "layers=['!h.*.x']"),
        (["h.0.x", "h.1.x"], ["h.2.x"], "layers=['!h.0', '!h.1']"),
        (["h.0.x", "h.1.x"], ["h.2.x", "h.0.y", "h.1.y"], "layers=['!h.0.x', '!h.1.x']"),
        (["aux.a.conv", "aux.fc"], ["fc"], "layers=['!aux']"),
        (["a.b"], [], "layers=['!a.b']"),
    ],
)
def test_the_pattern_means_the_culprits_and_nothing_else(
    culprits: list[str], others: list[str], pattern: str
) -> None:
    assert leaving_out(culprits, culprits + others) == pattern


def test_matrices_of_unknown_modules_are_named_in_the_result() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.fc = nn.LayerNorm([2, 3]), nn.Linear(3, 3)
            self.table, self.scale = nn.Parameter(torch.ones(1, 2, 3)), nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * self.fc(self.norm(x) + self.table)

    model = nn.Sequential(Own(), nn.Embedding(3, 3))
    assert other_matrices(model) == ("0.table",)
    assert other_matrices(model, "0.fc") == ()
    result = prune(model[0], torch.rand(5, 2, 3), method="sipp-det", keep=0.5)
    assert any("left whole" in note and "table" in note for note in result.notes)


# ---- shared weights and several calls ----------------------------------------------------------


class Pair(nn.Module):
    second: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)


def tied(how: str) -> nn.Module:
    model = Pair()
    first = model.first.weight
    if how == "one parameter":
        model.second.weight = first
    elif how == "one memory":
        model.second.weight = nn.Parameter(first.detach())
    elif how == "overlapping rows":
        memory = torch.rand(4, 3)
        model.first.weight = nn.Parameter(memory[:3])
        model.second.weight = nn.Parameter(memory[1:])
    elif how == "an embedding":
        model.second = nn.Embedding.from_pretrained(first.detach())
    elif how == "a buffer":
        model.second.register_buffer("copy", first.detach())
    return model


@pytest.mark.parametrize(
    "how", ["one parameter", "one memory", "overlapping rows", "an embedding", "a buffer"]
)
def test_shared_weights_are_refused(how: str) -> None:
    with pytest.raises(
        ValueError, match="weights are tied: layer 'first' shares its weight with 'second"
    ):
        names(tied(how))
    with pytest.raises(ValueError, match="weights are tied"):
        names(tied(how), "first")


def test_weights_side_by_side_in_one_memory_are_not_shared() -> None:
    memory = torch.rand(6, 3)
    model = Pair()
    model.first.weight = nn.Parameter(memory[:3])
    model.second.weight = nn.Parameter(memory[3:])
    assert names(model) == ["first", "second"]


class Repeated(nn.Module):
    """One convolution called once for each entry of a pyramid, then once more on its own output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, dtype=torch.float64)
        self.counter: Tensor
        self.register_buffer("counter", torch.zeros(()))

    def inner(self, x: Tensor) -> list[Tensor]:
        first = torch.relu(self.conv(x))
        return [x, x[:, :, ::2, ::2], first]

    def forward(self, x: Tensor) -> Tensor:
        self.counter += 1  # even in eval mode
        x, small, first = self.inner(x)
        return self.conv(small).mean((2, 3)) + self.conv(first).mean((2, 3))


def test_calls_of_one_layer_with_different_shapes_accumulate() -> None:
    torch.manual_seed(0)
    model = Repeated()
    x = torch.rand(7, 2, 6, 6, dtype=torch.float64)
    layer = calibrate(model, x, forward_size=3).layers[0]
    with torch.no_grad():
        seen = [nn.functional.unfold(part, 3, padding=1) for part in model.inner(x)]
    rows = np.concatenate([part.transpose(1, 2).reshape(-1, 18).numpy() for part in seen])
    expected = sipp_theory.sensitivity(layer.layer.weight.numpy(), rows)
    np.testing.assert_allclose(layer.sensitivity.numpy(), expected, rtol=1e-12)
    assert layer.rows == len(rows)


def test_buffers_that_a_forward_pass_writes_to_are_put_back() -> None:
    model = Repeated()
    buffer = model.counter
    prune(model, torch.rand(7, 2, 6, 6, dtype=torch.float64), method="sipp-det", keep=0.5)
    assert model.counter is buffer and float(buffer) == 0


def test_a_layer_that_some_batches_never_reach_counts_nothing_there() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.high = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            up = x[:, 0] > 0.5
            return torch.cat([self.low(x[~up]), self.high(x[up])])

    x = torch.tensor([[0.1, 1.0], [0.2, 1.0], [0.9, 1.0], [0.3, 1.0]])
    low, high = calibrate(Experts(), x, forward_size=2).layers
    assert (low.rows, high.rows) == (3, 1)

"""Products with a layer's weight beside its calls: heard, or refused all at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear as bound_early

from sipp_core import calibrate, prune


def linear(x: Tensor, w: Tensor) -> Tensor:
    return torch.nn.functional.linear(x, w)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    scripted = torch.jit.script(linear)


class Net(nn.Module):
    """A dense layer, a convolution, and what is computed beside their calls."""

    def __init__(self, beside: Callable[[Net, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.fc, self.conv, self.head = nn.Linear(4, 4), nn.Conv2d(1, 2, 2), nn.Linear(6, 3)
        self.other = nn.Parameter(torch.rand(4, 4))
        self.beside = beside

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.fc(x), self.conv(x.view(-1, 1, 2, 2)).flatten(1)], dim=1)
        return self.head(y) if self.beside is None else self.head(y) + self.beside(self, x)


def mixed(net: Net, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = x.view(-1, 1, 2, 2)
        return net.conv(image).float().sum() + F.conv2d(image, net.conv.weight).float().sum()


BESIDE: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "transposed": lambda net, x: (x @ net.fc.weight.T).sum(),
    "matmul": lambda net, x: torch.matmul(net.fc.weight, x.T).sum(),
    "einsum": lambda net, x: torch.einsum("ni,oi->no", x, net.fc.weight).sum(),
    "addmm": lambda net, x: torch.addmm(x, x, net.fc.weight.T).sum(),
    "vmap": lambda net, x: torch.vmap(lambda row: net.fc.weight @ row)(x).sum(),
    "bound early": lambda net, x: bound_early(x, net.fc.weight).sum(),
    "scripted": lambda net, x: scripted(x, net.fc.weight).sum(),
    "copied": lambda net, x: F.linear(x, net.fc.weight.clone()).sum(),
    "in parts": lambda net, x: F.linear(x, net.fc.weight[:2]).sum(),
    "scaled": lambda net, x: functional_call(net.fc, {"weight": net.fc.weight * 2}, x).sum(),
    "convolution": lambda net, x: F.conv2d(x.view(-1, 1, 2, 2), net.conv.weight).sum(),
    "autocast": mixed,
}
HEARD: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "F.linear": lambda net, x: F.linear(3 * x, net.fc.weight).sum(),
    "functional_call": lambda net, x: functional_call(
        net.fc, {"weight": net.fc.weight}, 3 * x
    ).sum(),
}
HARMLESS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "shape and dtype": lambda net, x: x.to(net.fc.weight.dtype).sum() * net.fc.weight.shape[0],
    "new tensors": lambda net, x: net.fc.weight.new_zeros(1) + torch.ones_like(net.fc.weight).sum(),
    "the bias": lambda net, x: net.fc.bias.sum(),
}


def calibrated(beside: Callable[[Net, Tensor], Tensor] | None) -> list[Tensor]:
    torch.manual_seed(0)
    x = torch.rand(9, 4, generator=torch.Generator().manual_seed(1))
    return [layer.sensitivity for layer in calibrate(Net(beside), x).layers]


@pytest.mark.parametrize("way", BESIDE)
def test_a_product_that_no_call_announces_is_refused(way: str) -> None:
    layer = "conv" if way in ("convolution", "autocast") else "fc"
    with pytest.raises(ValueError, match=rf"'{layer}' \(by \w+\) is read outside.*\['!{layer}'\]"):
        calibrated(BESIDE[way])
    x = torch.rand(9, 4)
    assert len(calibrate(Net(BESIDE[way]), x, layers=f"!{layer}").layers) == 2


@pytest.mark.parametrize("way", HEARD)
def test_a_product_that_is_heard_is_measured(way: str) -> None:
    torch.manual_seed(0)
    x = torch.rand(9, 4, generator=torch.Generator().manual_seed(1))
    layer = calibrate(Net(HEARD[way]), x).layers[0]
    assert layer.positions == 18 and float(layer.peaks.max()) == 3 * float(x.max())


@pytest.mark.parametrize("way", HARMLESS)
def test_what_reads_no_value_changes_nothing(way: str) -> None:
    for result, expected in zip(calibrated(HARMLESS[way]), calibrated(None), strict=True):
        assert torch.equal(result, expected)


def test_all_offenders_are_named_at_once_with_the_way_out() -> None:
    def both(net: Net, x: Tensor) -> Tensor:
        return BESIDE["transposed"](net, x) + BESIDE["convolution"](net, x)

    with pytest.raises(ValueError, match=r"'fc' .*'conv' .*layers=\['!fc', '!conv'\]"):
        calibrated(both)


class Replaced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.own = nn.Linear(4, 4), nn.Parameter(torch.rand(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return functional_call(self.fc, {"weight": self.own}, x)


def test_a_layer_that_is_called_with_another_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'fc' is called with another weight.*\['!fc'\]"):
        calibrate(Replaced(), torch.rand(9, 4))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.low(x) if x.mean() < 1 else self.high(x)


def test_a_layer_that_not_all_inputs_reach_is_noted() -> None:
    batches = [torch.rand(5, 4), torch.rand(7, 4) + 1]
    result = prune(Branching(), batches, method="sipp-det", keep=0.5, forward_size=5)
    reached = [layer.reached_by for layer in calibrate(Branching(), batches, forward_size=5).layers]
    # The stream is cut anew: 5 low ones, and two passes of high ones.
    assert reached == [5, 7]
    (note,) = [note for note in result.notes if "not called" in note]
    assert note.endswith("low (5), high (7)") and "of the 12 inputs" in note
    whole = prune(Net(), torch.rand(9, 4), method="sipp-det", keep=0.5)
    assert not any("not called" in note for note in whole.notes)

"""What stands around a layer: its norm, the sum that it goes into; and a refit that uses both."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sipp_core.network.layers import prunable_layers
from sipp_core.pruning.refit import refit
from sipp_core.pruning.surroundings import Call, look_around, watch
from sipp_core.runtime.execution import evaluating
from sipp_core.zoo.architectures import ResidualBlock
from tests.core.conftest import network
from tests.core.methods.conftest import seeded

REFIT = sys.modules[refit.__module__]


class Blocks(nn.Module):
    """Two sums: one of a norm's output as it is, one of what an in-place ReLU made of it."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 1)
        self.first, self.norm = nn.Conv2d(4, 4, 3, padding=1, bias=bias), nn.BatchNorm2d(4)
        self.second, self.other = nn.Conv2d(4, 4, 1, bias=bias), nn.BatchNorm2d(4)
        self.twice, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.norm(self.first(F.relu(x)))
        x = F.relu(self.other(self.second(x)), inplace=True) + x
        x = x.mean((2, 3))
        return self.head(self.twice(torch.tanh(self.twice(x))))


def blocks(seed: int = 0, bias: bool = False) -> Blocks:
    model = Blocks(bias)
    seeded(model, seed)
    rng = torch.Generator().manual_seed(seed + 1)
    for norm in (model.norm, model.other):
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(torch.randn(4, generator=rng))
        norm.running_var.copy_(torch.rand(4, generator=rng) + 0.5)
    return model.double()


def images(n: int = 40) -> Tensor:
    return torch.randn(n, 2, 5, 5, generator=torch.Generator().manual_seed(9)).double()


def test_norms_and_sums_are_found() -> None:
    model = blocks()
    around = look_around(model, prunable_layers(model), images(1))
    assert list(around) == ["stem", "first", "second", "twice", "head"]
    norms = {name: place.norm_name for name, place in around.items()}
    assert norms == {"stem": "", "first": "norm", "second": "other", "twice": "", "head": ""}
    # The stem's own output is added to, the second norm's was written over before.
    assert [name for name, place in around.items() if place.added] == ["stem", "first"]
    assert around["twice"].calls == 2
    assert [place.takes_bias for place in around.values()] == [True] * 5
    assert all(
        not hook for m in model.modules() for hook in (m._forward_hooks, m._forward_pre_hooks)
    )


def test_a_residual_block_of_the_zoo() -> None:
    block = seeded(ResidualBlock(4, 4, 1))
    around = look_around(block, prunable_layers(block), torch.rand(1, 4, 6, 6))
    assert [(p.norm_name, p.added) for p in around.values()] == [("bn1", False), ("bn2", True)]


def test_a_norm_of_two_layers_is_nobodys_bias() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.a(x)) * self.norm(self.b(x))

    model = Shared()
    around = look_around(model, prunable_layers(model), torch.rand(1, 3))
    assert not any(place.takes_bias or place.added for place in around.values())


def test_what_is_added_is_handed_on() -> None:
    model, x = blocks(), images(3)
    around = look_around(model, prunable_layers(model), x[:1])
    seen: dict[str, list[Call]] = {name: [] for name in around}
    watch(model, around, x, lambda name, call: seen[name].append(call))
    assert [len(calls) for calls in seen.values()] == [1, 1, 1, 2, 1]
    with torch.no_grad(), evaluating(model):
        added = seen["first"][0].added
        assert added is not None and torch.equal(added, model.stem(x))
    early: list[Call] = []
    watch(model, {"first": around["first"]}, x, lambda _, call: early.append(call), last="first")
    assert len(early) == 1 and torch.equal(early[0].given, seen["first"][0].given)


def masks_of(model: nn.Module, names: tuple[str, ...], share: float) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(4)
    return {
        layer.name: torch.rand(layer.module.weight.shape, generator=rng)  # pyright: ignore
        < (share if layer.name in names else 1.1)
        for layer in prunable_layers(model)
    }


def pruned_by(model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    new = copy.deepcopy(model)
    with torch.no_grad():
        for name, mask in masks.items():
            new.get_submodule(name).get_parameter("weight").mul_(mask)
    return new


def test_a_norm_stands_in_for_a_bias() -> None:
    """A convolution without a bias before its norm ends as one with a bias does."""
    plain = blocks()
    biased = blocks(bias=True)
    with torch.no_grad():
        biased.load_state_dict(plain.state_dict(), strict=False)
        for layer in (biased.first, biased.second):
            assert layer.bias is not None
            layer.bias.zero_()
    masks, x = masks_of(plain, ("first", "second"), 0.3), images()
    outputs = []
    for model in (plain, biased):
        new = pruned_by(model, masks)
        refit(model, new, prunable_layers(model), masks, x)
        with torch.no_grad():
            outputs.append(new.eval()(x))
    torch.testing.assert_close(outputs[0], outputs[1])


def test_a_layer_before_a_sum_makes_up_for_the_other_path() -> None:
    """The stem alone was pruned; the branch that is added to it takes what it lost."""
    dense, x = blocks(), images(200)
    masks = masks_of(dense, ("stem",), 0.5)
    assert not masks["stem"].all()
    ends = {}
    for name, layers in (("stem", ["stem"]), ("both", ["stem", "first"])):
        new = pruned_by(dense, masks)
        refit(dense, new, prunable_layers(dense, layers), masks, x, ridge=1e-6)
        with torch.no_grad(), evaluating(dense), evaluating(new):
            sums = []
            for model in (dense, new):
                stem = model.get_submodule("stem")(x)
                first = model.get_submodule("first")(F.relu(stem))
                sums.append(stem + model.get_submodule("norm")(first))
            ends[name] = float((sums[0] - sums[1]).square().mean())
    assert ends["both"] < 0.7 * ends["stem"]


def test_of_many_rows_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, x = blocks(), images(60)
    masks, results = masks_of(dense, ("stem", "first", "second"), 0.5), []
    for rows, held in ((10**6, 2**24), (700, 2**24), (700, 1)):
        monkeypatch.setattr(REFIT, "ROWS", rows)
        monkeypatch.setattr(REFIT, "ROWS_AN_INPUT", 1)
        monkeypatch.setattr(REFIT, "HELD", held)
        new = pruned_by(dense, masks)
        refit(dense, new, prunable_layers(dense), masks, x)
        results.append([value.clone() for value in new.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(results[1], results[2], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(results[0], results[1], strict=True))
    whole, some = (torch.cat([v.double().flatten() for v in r]) for r in results[:2])
    assert float((whole - some).norm() / whole.norm()) < 0.3


@pytest.mark.parametrize("name", ["residual", "branches", "padded", "tokens"])
def test_everything_kept_changes_nothing(name: str) -> None:
    dense, x = network(name, 3)
    masks = {
        layer.name: torch.ones(layer.weight.shape, dtype=torch.bool)
        for layer in prunable_layers(dense)
    }
    new = copy.deepcopy(dense)
    refit(dense, new, prunable_layers(dense), masks, x)
    with torch.no_grad():
        torch.testing.assert_close(new(x), dense(x), rtol=1e-6, atol=1e-8)


def test_a_norm_of_zeros_takes_nothing_and_breaks_nothing() -> None:
    """Residual branches often start as nothing: timm's ResNets, before any training."""
    dense, x = blocks(), images()
    with torch.no_grad():
        dense.norm.weight.zero_()
    masks = masks_of(dense, ("stem", "first", "second"), 0.5)
    new = pruned_by(dense, masks)
    refit(dense, new, prunable_layers(dense), masks, x)
    assert all(value.isfinite().all() for value in new.state_dict().values())

"""Training what pruning left: laws of masks, hooks, frozen weights, tickets and the cascade."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import sipp_core
from sipp_core.network.masks import holding_zeros, nonzeros, random_like
from sipp_core.zoo import datasets, models, retraining, training
from sipp_core.zoo.datasets import Dataset
from sipp_core.zoo.recipes import Recipe

ADAM = Recipe(2, 32, 5e-3, weight_decay=1e-2)
SGD = Recipe(2, 32, 0.1, optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=1e-2)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """A small part of the digits."""
    whole = datasets.load("digits")
    return replace(
        whole, train_inputs=whole.train_inputs[:300], train_targets=whole.train_targets[:300]
    )


@pytest.fixture
def net() -> nn.Module:
    return models.dense([64, 24, 16, 10], seed=1)


def weight(net: nn.Module, name: str) -> nn.Parameter:
    return net.get_parameter(f"{name}.weight")


def gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def some_masks(net: nn.Module, share: float = 0.3) -> dict[str, Tensor]:
    dice = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(module.weight.shape, generator=dice) < share
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear)
    }


@pytest.mark.parametrize("recipe", [ADAM, SGD], ids=["adam", "sgd"])
def test_zeros_stay_zero_and_the_rest_learns(recipe: Recipe, net: nn.Module, data: Dataset) -> None:
    masks, before = some_masks(net), copy.deepcopy(net)
    retraining.retrain(net, data, recipe, masks=masks)
    for name, mask in masks.items():
        new, old = weight(net, name), weight(before, name)
        assert not new[~mask].any() and new[mask].ne(old[mask]).float().mean() > 0.9


def test_without_masks_the_same_weights_would_have_moved(net: nn.Module, data: Dataset) -> None:
    """The law above can fail: weights set to zero by hand wake up."""
    masks = some_masks(net)
    with holding_zeros(net, masks):
        pass
    training.train(net, data, training.Recipe(1, 32, 5e-3))
    assert weight(net, "fc1")[~masks["fc1"]].any()


def test_hooks_and_gradients_are_left_as_they_were(net: nn.Module) -> None:
    masks = {"fc1": some_masks(net)["fc1"]}
    first = weight(net, "fc1")
    with holding_zeros(net, masks):
        net(torch.ones(2, 64)).sum().backward()
        held = gradient(first)
        assert not held[~masks["fc1"]].any() and held[masks["fc1"]].any()
    first.grad = None
    net(torch.ones(2, 64)).sum().backward()
    assert gradient(first)[~masks["fc1"]].any()
    assert not first._backward_hooks


def test_hooks_are_removed_when_training_fails(net: nn.Module) -> None:
    with pytest.raises(ZeroDivisionError), holding_zeros(net, some_masks(net)):
        raise ZeroDivisionError
    assert not any(parameter._backward_hooks for parameter in net.parameters())


def test_frozen_weights_stay_frozen(net: nn.Module, data: Dataset) -> None:
    masks = some_masks(net)
    first = weight(net, "fc1").requires_grad_(False)
    expected = first.detach().clone() * masks["fc1"]
    retraining.retrain(net, data, ADAM, masks=masks)
    assert torch.equal(weight(net, "fc1"), expected) and not weight(net, "fc1").requires_grad


def test_a_mask_of_another_shape_is_refused_before_anything_changes(net: nn.Module) -> None:
    before = copy.deepcopy(net.state_dict())
    good = some_masks(net)
    bad = good | {"fc3": torch.ones(2, 2, dtype=torch.bool)}
    with (
        pytest.raises(ValueError, match=r"layer 'fc3' has shape \(2, 2\), its weight \(10, 16\)"),
        holding_zeros(net, bad),
    ):
        pass
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize("seed", range(5))
def test_random_masks_keep_each_layers_count(seed: int, net: nn.Module) -> None:
    masks = some_masks(net) | {"none": torch.zeros(3, 4, dtype=torch.bool)}
    drawn = random_like(masks, seed)
    assert {n: (m.shape, int(m.sum())) for n, m in drawn.items()} == {
        n: (m.shape, int(m.sum())) for n, m in masks.items()
    }
    assert not torch.equal(drawn["fc1"], masks["fc1"])
    again = random_like(masks, seed)
    assert all(torch.equal(drawn[name], again[name]) for name in masks)


def test_random_masks_are_uniform() -> None:
    """Each place is drawn equally often: 2 of 5 in 4,000 draws, 4.5 standard deviations."""
    mask = {"a": torch.tensor([True, True, False, False, False])}
    total = sum(random_like(mask, seed)["a"].double() for seed in range(4000))
    assert isinstance(total, Tensor)
    assert (total - 1600).abs().max() < 4.5 * (4000 * 0.4 * 0.6) ** 0.5


def test_a_ticket_is_the_start_with_zeros(net: nn.Module) -> None:
    masks, before = some_masks(net), copy.deepcopy(net.state_dict())
    ticket = retraining.rewound(net, masks)
    for name, mask in masks.items():
        assert torch.equal(weight(ticket, name), weight(net, name) * mask)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(nonzeros(ticket, ["fc1"])["fc1"], masks["fc1"])


def sparsify(model: nn.Module, keep: float) -> sipp_core.PruneResult:
    rows = datasets.load("digits").train_inputs[:50]
    return sipp_core.prune(model, rows, method="magnitude", keep=keep, scope="global")


def test_a_cascade_descends_and_zeros_are_never_taken_back(net: nn.Module, data: Dataset) -> None:
    before = copy.deepcopy(net.state_dict())
    rounds = list(retraining.cascade(net, data, (0.6, 0.3, 0.1), sparsify, Recipe(1, 32, 5e-3)))
    total = sum(m.numel() for m in some_masks(net).values())
    assert [round(r.kept, 3) for r in rounds] == pytest.approx([0.6, 0.3, 0.1], abs=1 / total)
    names = list(some_masks(net))
    left = [nonzeros(r.model, names) for r in rounds]
    for earlier, later in pairwise(left):
        assert all((later[n] <= earlier[n]).all() for n in names)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_cascade_that_does_not_descend_is_refused(net: nn.Module, data: Dataset) -> None:
    with pytest.raises(ValueError, match=r"keeps must descend; found \(0.3, 0.3\)"):
        next(retraining.cascade(net, data, (0.3, 0.3), sparsify, ADAM))

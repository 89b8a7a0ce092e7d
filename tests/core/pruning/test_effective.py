"""AL-6: weights on no live path go, and their places are given to others."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from sipp_core import calibrate, prune
from sipp_core.methods import registered
from sipp_core.network.layers import prunable_layers
from sipp_core.pruning.effective import effective_weights, spend
from tests.core.conftest import for_method
from tests.core.methods.conftest import images, inputs, relu_network, rows

TAKE_IT = [name for name, method in registered().items() if "effective" in method.takes]


def by_change(model: nn.Module, x: torch.Tensor, factor: float) -> dict[str, torch.Tensor]:
    """Weights that move some output when they are changed, one after another."""
    moved = {}
    with torch.no_grad():
        before = model(x)
        for layer in prunable_layers(model):
            weight = layer.module.get_parameter("weight")
            mask = torch.zeros_like(weight, dtype=torch.bool)
            for index in weight.nonzero():
                at = tuple(index.tolist())
                old = weight[at].clone()
                weight[at] = old * factor
                mask[at] = not torch.equal(model(x), before)
                weight[at] = old
            moved[layer.name] = mask
    return moved


@pytest.mark.parametrize("kind", ["dense", "images"])
def test_effective_weights_are_those_that_move_an_output(kind: str) -> None:
    model = relu_network().double() if kind == "dense" else images()
    x = rows().double() if kind == "dense" else inputs("images")
    layers = prunable_layers(model)
    pruned = prune(model, x, method="magnitude", keep=0.08, scope="global").model.eval()
    before = copy.deepcopy(pruned.state_dict())
    result = effective_weights(pruned, layers, x)
    assert all(torch.equal(before[name], value) for name, value in pruned.state_dict().items())
    assert all(p.grad is None for p in pruned.parameters())
    # A hair, where more could wake a ReLU; twice as much, where tanh hides a hair.
    for name, mask in by_change(pruned, x, 1 + 1e-6 if kind == "dense" else 2.0).items():
        assert torch.equal(result[name], mask)
    kept = sum(int((p != 0).sum()) for p in pruned.parameters() if p.ndim > 1)
    assert sum(int(mask.sum()) for mask in result.values()) <= kept


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("method", TAKE_IT)
def test_the_budget_is_of_effective_weights(method: str, scope: Any) -> None:
    model, x = relu_network(), rows()
    if "scope" not in registered()[method].takes:
        scope = None
    usual: dict[str, Any] = {"method": method, "keep": 0.2, "scope": scope, "seed": 1}
    result = prune(model, for_method(method, x), effective=True, **usual)
    assert result.nnz_after <= round(0.2 * 135)
    alive = effective_weights(result.model, prunable_layers(model), x)
    plain = prune(model, for_method(method, x), **usual)
    live = effective_weights(plain.model, prunable_layers(model), x)
    assert sum(int(m.sum()) for m in alive.values()) == result.nnz_after
    if not registered()[method].random:
        assert result.nnz_after >= min(27, sum(int(m.sum()) for m in live.values()))
    assert result.claims == ("ES-1", "SP-9", "SP-6", "AL-6")
    assert any("AL-6" in note for note in result.notes)
    for report in result.layers:  # what is promised holds, with certainty
        assert report.measured is not None and report.measured <= report.eps * (1 + 1e-6)


def test_nothing_dead_changes_nothing_but_the_claim() -> None:
    model, x = relu_network(), rows()
    usual = prune(model, x, method="magnitude", keep=0.9)
    free = prune(model, x, method="magnitude", keep=0.9, effective=True)
    live = effective_weights(usual.model, prunable_layers(model), x)
    if sum(int(m.sum()) for m in live.values()) == usual.nnz_after:
        assert all(torch.equal(usual.masks[k], free.masks[k]) for k in usual.masks)


def test_masks_refit_and_a_ready_calibration() -> None:
    model, x = relu_network(), rows()
    ready = calibrate(model, x, inputs=True)
    both = [
        prune(model, given, method="magnitude", keep=0.3, scope="global", effective=True)
        for given in (x, ready)
    ]
    for a, b in zip(both[0].model.parameters(), both[1].model.parameters(), strict=True):
        assert torch.equal(a, b)
    masked = prune(
        model, x, method="magnitude", keep=0.3, scope="global", effective=True, masks=True
    )
    for name, mask in both[0].masks.items():
        assert torch.equal(masked.model.get_submodule(name).get_buffer("weight_mask") != 0, mask)
    refitted = prune(
        model, x, method="magnitude", keep=0.3, scope="global", effective=True, refit=True
    )
    assert refitted.claims == ("AL-5", "SP-12")
    assert all(torch.equal(refitted.masks[k], both[0].masks[k]) for k in both[0].masks)


def test_what_has_no_budget_or_no_inputs_is_refused() -> None:
    model, x = relu_network(), rows()
    with pytest.raises(ValueError, match="effective=True spends what is freed of a budget"):
        prune(model, x, method="sipp-det", eps=0.3, effective=True)
    with pytest.raises(ValueError, match="'svd' does not use effective=True"):
        prune(model, x, method="svd", keep=0.5, effective=True)
    with pytest.raises(ValueError, match=r"lacks what method .* inputs=True"):
        prune(model, calibrate(model, x), method="magnitude", keep=0.5, effective=True)


def test_spending_takes_the_best_that_was_seen() -> None:
    """Counts that jump over the budget, and fall again."""
    counts = {amount: min(amount, 30) if amount < 40 else 90 for amount in range(10, 101)}
    assert counts[spend(lambda amount: (amount, counts[amount]), 35, 100)] == 30
    assert spend(lambda amount: (amount, amount), 35, 100) == 35
    assert spend(lambda amount: (amount, 2 * amount), 35, 100) == 17

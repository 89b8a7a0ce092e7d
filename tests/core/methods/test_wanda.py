"""Wanda: the largest of every row, by its definition."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sipp_core import calibrate, prune
from sipp_core.runtime.numbers import Float
from tests.core.methods.conftest import BUILD, inputs


def wanda_by_hand(kind: str, model: nn.Module, x: Tensor) -> dict[str, Float]:
    """|w_ij| ||a_j|| from every layer's unfolded input rows."""
    result: dict[str, Float] = {}
    model = copy.deepcopy(model).eval()
    for name, module in model.named_children():
        if isinstance(module, nn.Linear):
            norm = x.norm(dim=0)
            result[name] = (module.weight.abs() * norm).detach().numpy()
        if isinstance(module, nn.Conv2d):
            rows = functional.unfold(x, module.kernel_size, padding=module.padding)  # type: ignore[arg-type]
            per_group = rows.unflatten(1, (module.groups, -1)).square().sum(dim=(0, 3)).sqrt()
            group = torch.arange(module.out_channels) * module.groups // module.out_channels
            result[name] = (module.weight.flatten(1).abs() * per_group[group]).detach().numpy()
        x = module(x)
    return result


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("kind", BUILD)
def test_wanda_keeps_the_largest_of_each_row(kind: str, scope: str) -> None:
    model, x = BUILD[kind](), inputs(kind)
    result = prune(model, x, method="wanda", keep=0.5, scope=scope, batch_size=4)
    scores = wanda_by_hand(kind, model, x)
    assert set(scores) == set(result.masks)
    for plan in result.plans:
        np.testing.assert_allclose(plan.scores, scores[plan.name], rtol=1e-12)
        kept = result.masks[plan.name].flatten(1).numpy()
        half = kept.shape[1] / 2
        for row, mask in zip(scores[plan.name], kept, strict=True):
            assert mask.sum() in (np.floor(half), np.ceil(half))
            assert row[mask].min() > row[~mask].max()


def test_norms_are_summed_at_any_size() -> None:
    """Squares far below and above those of usual activations keep their digits."""
    module = nn.Linear(4, 1).double()
    x = torch.tensor([[1e-30, 1e-12, 1.0, 1e20], [3e-30, 2e-12, 2.0, 2e20]]).double()
    energy = calibrate(module, x, statistics={"energy"}, batch_size=1).layers[0].energy
    assert energy is not None
    np.testing.assert_allclose(energy.numpy(), x.square().sum(0, keepdim=True).numpy(), rtol=1e-12)
    assert calibrate(module, x).layers[0].energy is None

"""Optimal brain surgeon: the sweep against brute force, its budget, and what it is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sipp_core import prune
from sipp_core.methods import OptimalBrainSurgeon
from sipp_core.methods.obs import sweep
from tests.core.conftest import network
from tests.core.methods.conftest import relu_network, rows


def gram(n: int = 60, width: int = 9) -> torch.Tensor:
    x = torch.randn(n, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]
    return x.T @ x


def test_one_dropped_weight_is_made_up_for_by_all_behind_it() -> None:
    """The columns behind the dropped one take least squares' best, those before it stay."""
    matrix = gram()
    weight = torch.randn(1, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ridge = 1e-3
    new = sweep(weight, matrix, 8 / 9, 9, ridge)
    (column,) = (new[0] == 0).nonzero().flatten().tolist()
    h = matrix + ridge * matrix.diagonal().mean() * torch.eye(9, dtype=torch.float64)
    assert torch.equal(new[0, :column], weight[0, :column])
    behind = list(range(column + 1, 9))
    # min (v - w)' H (v - w) over v with v_column = 0 and v = w before it
    step = torch.linalg.solve(h[behind][:, behind], h[behind, column]) * weight[0, column]
    torch.testing.assert_close(new[0, behind], weight[0, behind] + step)


def test_it_is_the_weight_of_least_saliency_that_goes() -> None:
    matrix = gram()
    weight = torch.randn(1, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    h = matrix + 1e-3 * matrix.diagonal().mean() * torch.eye(9, dtype=torch.float64)
    # [U]_jj^2 is the inverse's diagonal once the columns before j are settled.
    saliency = [float(weight[0, j] ** 2 / torch.linalg.inv(h[j:, j:])[0, 0]) for j in range(9)]
    dropped = (sweep(weight, matrix, 8 / 9, 9, 1e-3)[0] == 0).nonzero().flatten().tolist()
    assert dropped == [int(np.argmin(saliency))]


@pytest.mark.parametrize("block", [1, 4, 128])
@pytest.mark.parametrize("keep", [0.1, 0.37, 1.0])
def test_the_budget_is_met(block: int, keep: float) -> None:
    model, x = relu_network(), rows()
    result = prune(model, x, method=OptimalBrainSurgeon(block=block), keep=keep)
    for report in result.layers:
        assert report.nnz_after == round(keep * report.shape[0] * report.shape[1])
    assert result.claims == ("ES-1", "SP-9", "SP-6")


def test_it_errs_less_than_dropping_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 5))
    mixed = torch.randn(200, 6) @ torch.randn(6, 30) + 0.1 * torch.randn(200, 30)
    errors = {}
    with torch.no_grad():
        for method in ("obs", "wanda", "magnitude"):
            new = prune(model, mixed, method=method, keep=0.4).model
            errors[method] = float((new(mixed) - model(mixed)).square().mean())
    assert errors["obs"] < 0.6 * min(errors["wanda"], errors["magnitude"])


@pytest.mark.parametrize("name", ["residual", "branches"])
def test_convolutions_norms_and_groups(name: str) -> None:
    model, x = network(name, 0)
    result = prune(model, x, method="obs", keep=0.5)
    with torch.no_grad():
        assert torch.isfinite(result.model(x)).all()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"block": 0}, "block must be at least 1; found 0"), ({"ridge": 0.0}, "ridge must be")],
)
def test_bad_parameters_are_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OptimalBrainSurgeon(**parameters)

"""Promises are of the weights as stored: what their dtype rounds is part of them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import calibrate, prune
from sipp_core.nettrim import retrim
from sipp_core.network.layers import weight_of
from sipp_core.pruning import make_table
from sipp_core.pruning.promise import before_rounding, rounding_errors

HALVES = [torch.bfloat16, torch.float16, torch.float32]


def layer(dtype: torch.dtype, weight: Tensor | None = None) -> nn.Linear:
    torch.manual_seed(0)
    net = nn.Linear(40, 12, bias=False) if weight is None else nn.Linear(weight.shape[1], 1, False)
    if weight is not None:
        net.weight.data = weight
    return net.to(dtype)


def exact_errors(old: nn.Linear, new: nn.Linear, rows: Tensor) -> list[Fraction]:
    """Largest |z^ - z|/z~ of each neuron over the rows, in whole numbers."""
    before, after = (
        [[Fraction(w) for w in row] for row in net.weight.detach().double().tolist()]
        for net in (old, new)
    )
    points = [[Fraction(a) for a in row] for row in rows.double().tolist()]
    return [
        max(
            abs(sum(((v - w) * a for w, v, a in zip(wide, thin, x, strict=True)), Fraction(0)))
            / sum((abs(w * a) for w, a in zip(wide, x, strict=True)), Fraction(0))
            for x in points
        )
        for wide, thin in zip(before, after, strict=True)
    ]


def test_the_example_of_a_rounded_recentring() -> None:
    net = layer(torch.bfloat16, torch.tensor([[1 + 2**-7, 0.001, 0.002]]))
    rows = torch.ones(1, 3, dtype=torch.bfloat16)
    result = prune(net, rows, method="sipp-recentred", keep=1 / 3, bound="exact")
    assert isinstance(result.model, nn.Linear)
    (error,) = exact_errors(net, result.model, rows)
    assert 0.0026 < error <= result.layers[0].eps < 0.006


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("method", ["sipp-det", "sipp-recentred", "magnitude", "wanda"])
def test_certain_promises_hold_of_stored_weights(method: str, dtype: torch.dtype) -> None:
    net = layer(dtype)
    rows = torch.rand(8, 40, generator=torch.Generator().manual_seed(1)).to(dtype)
    for keep in (0.5, 0.9, 0.97):
        result = prune(net, rows, method=method, keep=keep, bound="exact")
        assert isinstance(result.model, nn.Linear)
        errors = exact_errors(net, result.model, rows)
        promised = result.layers[0].eps_neuron
        assert all(e <= Fraction(float(p)) for e, p in zip(errors, promised, strict=True))


@pytest.mark.parametrize("dtype", HALVES)
def test_rounding_is_counted_at_its_worst(dtype: torch.dtype) -> None:
    net = layer(dtype)
    rows = torch.rand(8, 40, generator=torch.Generator().manual_seed(1)).to(dtype)
    table = make_table(
        calibrate(net, rows).layers[0], delta=0.1, coverage_factor=1.0, bound="kl", eta=12,
        eta_star=40,
    )  # fmt: skip
    multiplier = np.random.default_rng(2).uniform(0.5, 3, table.weight.shape)
    stored = torch.from_numpy(table.weight * multiplier).to(dtype).double().numpy()
    eps = rounding_errors(table, multiplier, stored)
    unit = torch.finfo(dtype).eps / 2
    assert (eps > 0).all() and (eps <= 3 * unit * (1 + 1e-12)).all()
    moved = np.abs((stored - table.weight * multiplier) @ rows.double().numpy().T)
    size = np.abs(table.weight) @ rows.double().numpy().T
    assert (moved <= eps.max(axis=0)[:, None] * size).all()
    assert (rounding_errors(table, np.ones_like(multiplier), table.weight) == 0).all()
    left = before_rounding(table, 0.2)
    assert left < 0.2 and left + unit * (1 + left) <= 0.2 * (1 + 1e-15)
    with pytest.raises(ValueError, match=f"no more than what rounding weights to {dtype}"):
        before_rounding(table, unit)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("method", ["sipp-poisson", "sipp-hybrid", "sipp-recentred"])
def test_guarantee_mode_leaves_room_for_rounding(method: str, dtype: torch.dtype) -> None:
    net = layer(dtype)
    rows = torch.rand(8, 40, generator=torch.Generator().manual_seed(1)).to(dtype)
    given = {"bound": "exact", "eps": 0.5, "delta": 0.2}
    report = prune(net, rows, method=method, **given).layers[0]
    assert report.nnz_after < report.nnz_before and 0.3 < report.eps <= 0.5


@pytest.mark.parametrize("cascade", [False, True])
def test_nettrim_says_the_radius_of_stored_weights(cascade: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 4)).bfloat16()
    rows = torch.rand(30, 12, generator=torch.Generator().manual_seed(1)).bfloat16()
    done = retrim(net, rows, eps=0.01, cascade=cascade)
    first = done.layers["0"]
    wide, thin = net[0], done.model.get_submodule("0")
    assert isinstance(wide, nn.Linear) and isinstance(thin, nn.Linear)
    assert torch.equal(first.weight, weight_of(thin).detach().double())
    assert wide.bias is not None and thin.bias is not None
    points = rows.double()
    target = (points @ wide.weight.double().T + wide.bias.double()).clamp(min=0)
    result = points @ thin.weight.double().T + thin.bias.double()
    on = target > 0
    inside = float((result - target)[on].detach().norm())
    above = float(result[~on].detach().clamp(min=0).norm())
    assert first.constraint == pytest.approx(inside)
    assert math.hypot(inside, above) <= done.promised[0] * (1 + 1e-9)
    # What the solver met, two bytes a weight do not.
    assert math.hypot(inside, above) > first.eps * 1.01

"""Guarantee mode by measured errors: certain on the calibration inputs, fewer weights, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sipp_core import prune
from sipp_core.pruning import LayerReport

EPS = 0.3


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 5)).to(dtype)


def inputs(signed: bool = False) -> torch.Tensor:
    rows = torch.rand(40, 30, generator=torch.Generator().manual_seed(2))
    return rows - 0.5 if signed else rows


def measured(report: LayerReport) -> float:
    assert report.measured is not None
    return report.measured


@pytest.mark.parametrize("method", ["sipp-poisson", "sipp-rand", "magnitude", "sipp-recentred"])
@pytest.mark.parametrize("signed", [False, True])
def test_every_neuron_is_within_eps_on_every_input(method: str, signed: bool) -> None:
    net, x = network(), inputs(signed)
    result = prune(net, x, method=method, eps=EPS, bound="measured")
    assert max(map(measured, result.layers)) <= EPS and not result.vacuous
    assert result.nnz_after < result.nnz_before and result.claims == ("SP-12",)
    assert "with certainty" in result.holds_for and "nothing of other inputs" in result.holds_for
    w, v = (m.get_parameter("0.weight").double() for m in (net, result.model))
    error = (x.double() @ (v - w).T).abs() / (x.double().abs() @ w.abs().T)
    assert error.max() <= EPS


def test_the_best_of_more_draws_leaves_fewer_weights_than_any_theorem() -> None:
    net, x = network(), inputs()
    found = [
        prune(net, x, method="sipp-poisson", eps=EPS, bound="measured", candidates=k).nnz_after
        for k in (1, 8)
    ]
    promised = prune(net, x, method="sipp-poisson", eps=EPS, delta=0.05).nnz_after
    assert found[1] < found[0] < promised


@pytest.mark.parametrize("points", [None, 7])
def test_rows_that_were_not_kept_are_measured_too(points: int | None) -> None:
    result = prune(
        network(), inputs(signed=True), method="sipp-poisson", eps=EPS, bound="measured",
        points=points,
    )  # fmt: skip
    assert max(map(measured, result.layers)) <= EPS


def test_the_dtype_of_the_weights_is_measured() -> None:
    x = inputs().bfloat16()
    result = prune(network(torch.bfloat16), x, method="sipp-poisson", eps=EPS, bound="measured")
    assert max(map(measured, result.layers)) <= EPS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keep": 0.5, "bound": "measured"}, "is of guarantee mode"),
        ({"eps": 0.3, "bound": "measured", "refit": True}, "leave out keep and refit"),
        ({"eps": 0.3, "delta": 0.1, "candidates": 4}, "by bound='measured' alone"),
        ({"eps": 0.3, "bound": "measured", "candidates": 0}, "candidates"),
        ({"eps": 0.3, "bound": "measured", "method": "sipp-hybrid"}, "does not choose weights by"),
        (
            {"eps": 0.3, "bound": "measured", "method": "magnitude", "candidates": 2},
            "draws nothing",
        ),
    ],
)
def test_what_has_no_effect_is_refused(given: dict[str, object], message: str) -> None:
    named: dict[str, object] = {"method": "sipp-poisson"} | given
    with pytest.raises(ValueError, match=message):
        prune(network(), inputs(), **named)  # type: ignore[arg-type]


def test_what_is_measured_is_what_is_promised() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4))
    result = prune(net, torch.rand(30, 12), method="magnitude", eps=0.4, bound="measured")
    for layer in result.layers:
        assert layer.measured is not None and layer.measured_neuron is not None
        assert layer.eps == layer.measured <= 0.4 and layer.vacuous_neurons == 0
        assert (layer.eps_neuron == layer.measured_neuron).all()

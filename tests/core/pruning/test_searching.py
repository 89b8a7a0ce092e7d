"""Guarantee mode by measured errors: certain on the calibration inputs, fewer weights, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sipp_core import prune
from sipp_core.methods import SippNetwork
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
    result = [
        prune(net, x, method="sipp-poisson", eps=EPS, bound="measured", candidates=k).nnz_after
        for k in (1, 8)
    ]
    promised = prune(net, x, method="sipp-poisson", eps=EPS, delta=0.05).nnz_after
    assert result[1] < result[0] < promised


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
        ({"eps": 0.3, "bound": "bernstein", "method": "sipp-network"}, "takes bound='measured'"),
        ({"eps": 0.3, "method": SippNetwork(rounds=2)}, "rounds=2 spend a budget"),
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


def conv() -> nn.Sequential:
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(),
        nn.Linear(54, 4),
    )  # fmt: skip
    net(torch.randn(64, 2, 5, 5))
    return net.eval()


@pytest.mark.parametrize("method", ["sipp-network", "magnitude", "sipp-poisson", "wanda"])
@pytest.mark.parametrize("images", [False, True])
def test_refitted_weights_are_within_eps_on_every_input(method: str, images: bool) -> None:
    net = conv() if images else network()
    x = torch.randn(50, 2, 5, 5) if images else inputs(signed=True)
    more: dict[str, Any] = {} if method == "sipp-network" else {"refit": True, "bound": "measured"}
    result = prune(net, x, method=method, eps=EPS, **more)
    assert max(map(measured, result.layers)) <= EPS and not result.vacuous
    assert result.nnz_after < result.nnz_before and result.claims == ("AL-5", "SP-12")
    assert all(layer.eps == layer.measured for layer in result.layers)
    # By hand, given the layer's own input; what stands behind it is the other network's.
    stop = 2 if images else 1
    parts: tuple[Any, Any] = net[:stop], result.model
    weight, scale = parts[0][0].weight.detach().abs(), torch.ones(1)
    size = nn.functional.conv2d(x.abs(), weight) if images else x.abs() @ weight.T
    if images:
        norm = parts[0][1]
        scale = ((norm.running_var + norm.eps).rsqrt() * norm.weight).detach()[:, None, None]
    with torch.no_grad():
        error = ((parts[1][:stop](x) - parts[0](x)) / scale).abs() / size
    assert error.max() <= EPS * (1 + 1e-4)


def test_a_refit_needs_fewer_weights_for_the_same_error() -> None:
    net, x = network(), inputs()
    left = {
        refit: prune(net, x, method="magnitude", eps=EPS, bound="measured", refit=refit).nnz_after
        for refit in (False, True)
    }
    assert left[True] < left[False]


def test_padding_has_no_say_in_a_refit() -> None:
    torch.manual_seed(5)
    net, x = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)), torch.randn(30, 4, 8)
    lengths = torch.arange(30) % 4 + 1
    mask = torch.arange(4) < lengths[:, None]
    wild = torch.where(mask[..., None], x, 100 * torch.randn(30, 4, 8))
    zero = torch.where(mask[..., None], x, torch.zeros(()))

    def counts(given: Any) -> torch.Tensor:
        return mask[: len(given)] if len(given) == 30 else torch.ones(given.shape[:2]) > 0

    modes: tuple[dict[str, Any], ...] = ({"keep": 0.4}, {"eps": EPS, "bound": "measured"})
    for named in modes:
        ours, theirs = (
            prune(net, given, method="magnitude", mask=counts, refit=True, **named)
            for given in (wild, zero)
        )
        for one, other in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
            torch.testing.assert_close(one, other)

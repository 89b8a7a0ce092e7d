"""Net-Trim as a method of `prune`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sipp_core import calibrate, prune
from sipp_core.methods import NetTrim, registered
from sipp_core.nettrim.network import retrim
from tests.core.methods.conftest import relu_network, rows


def test_net_trim_does_what_its_own_function_does() -> None:
    model, x = relu_network(), rows()
    mine = prune(model, x, method="nettrim", eps=0.2)
    theirs = retrim(model, x, eps=0.2)
    for a, b in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert mine.claims == ("NT-1", "NT-2") and "NT-2, Frobenius" in mine.notes[0]
    first = [network.get_submodule("0") for network in (model, mine.model)]
    with torch.no_grad():
        y, moved = (torch.relu(layer(x)) for layer in first)
    assert float((moved - y).norm()) <= 0.2 * float(y.norm()) * (1 + 1e-5)


def test_a_convolution_is_refused_by_net_trim_by_name() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(10, 2))
    with pytest.raises(ValueError, match="layer '0' is a Conv1d: Net-Trim is for nn.Linear"):
        prune(model, torch.rand(5, 1, 7), method="nettrim", eps=0.1)


def test_the_variants_are_the_registered_methods() -> None:
    for solver in ("admm", "cvxpy"):
        for cascade in (False, True):
            method = NetTrim(cascade, solver)
            assert registered()[method.name] == method
    solver: Any = "simplex"
    with pytest.raises(ValueError, match="solver must be one of admm, cvxpy; found 'simplex'"):
        NetTrim(solver=solver)


def test_a_cascade_rests_on_another_claim() -> None:
    model, x = relu_network(), rows()
    result = prune(model, calibrate(model, x, inputs=True), method=NetTrim(cascade=True), eps=0.2)
    assert result.method == "nettrim-cascade" and result.claims == ("NT-1", "NT-3")
    assert result.arguments["cascade"] is True and result.arguments["solver"] == "admm"
    theirs = retrim(model, x, eps=0.2, cascade=True)
    for a, b in zip(result.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("nettrim-cascade", {"keep": 0.5}, "'nettrim-cascade' does not use keep=0.5; it takes eps"),
        ("nettrim-cvxpy", {"keep": 0.5}, "'nettrim-cvxpy' does not use keep=0.5; it takes eps"),
        ("nettrim", {"eps": 0.1, "masks": True}, "does not use masks=True; it takes eps, keep"),
        ("nettrim", {"keep": 0.5, "scope": "global"}, "does not use scope='global'; it takes"),
        ("nettrim", {"keep": 0.5, "bound": "kl"}, "does not use bound='kl'; it takes eps, keep"),
        ("nettrim", {"eps": 0.1, "coverage_factor": 2}, "does not use coverage_factor=2; it"),
    ],
)
def test_what_it_cannot_do_is_refused(method: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        prune(relu_network(), rows(), method=method, **arguments)

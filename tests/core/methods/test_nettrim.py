"""Net-Trim as a method of `prune`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sipp_core import prune
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

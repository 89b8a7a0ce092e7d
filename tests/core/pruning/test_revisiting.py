"""Net-Trim and filter pruning as methods of `prune`: reports, files, certificates, refusals."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import certify, load, prune, prune_filters
from sipp_core.nettrim.network import retrim
from sipp_core.pruning.prune import REVISITING
from sipp_core.zoo import models


def dense() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 3))


def rows(n: int = 40, seed: int = 0) -> Tensor:
    return torch.rand(n, 7, generator=torch.Generator().manual_seed(seed))


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("nettrim", {"eps": 0.2}), ("nettrim", {"keep": 0.5}), ("nettrim-cascade", {"eps": 0.2}),
    ("nettrim-cvxpy", {"eps": 0.2}), ("nettrim-cvxpy-cascade", {"eps": 0.2}),
    ("filters-det", {"keep": 0.5}), ("filters-rand", {"keep": 0.5}),
    ("filters-det", {"eps": 0.4, "delta": 0.1}), ("filters-rand", {"eps": 0.4, "delta": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "asked"), ASKED)
def test_they_are_pruned_saved_and_certified_like_all_others(
    method: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    model, x = dense(), rows()
    before = copy.deepcopy(model.state_dict())
    result = prune(model, x, method=method, seed=2, **asked)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert result.method == method and result.nnz_after < result.nnz_before
    weights = [m.weight for m in result.model.modules() if isinstance(m, nn.Linear)]
    assert [int((w != 0).sum()) for w in weights] == [r.nnz_after for r in result.layers]
    for report in result.layers:
        assert report.nnz_after == report.budgets.sum() or method.startswith("nettrim")
        assert report.eps_neuron.shape == (report.shape[0],)
    if "keep" in asked:
        assert result.kept <= asked["keep"] + 1e-9
    again = load(result.save(tmp_path / "a"), model)
    with torch.no_grad():
        assert torch.equal(again.model(x), result.model(x))
    assert again.structure == result.structure and again.vacuous == result.vacuous
    assert again.save(tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    certificate = certify(model, again.model, rows(60, seed=9), delta=0.2, confidence=0.9)
    assert np.isfinite(certificate.eps)


def test_net_trim_does_what_its_own_function_does() -> None:
    model, x = dense(), rows()
    mine = prune(model, x, method="nettrim", eps=0.2)
    theirs = retrim(model, x, eps=0.2)
    for a, b in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert mine.claims == ("NT-1", "NT-2") and "NT-2, Frobenius" in mine.notes[0]
    first = [network.get_submodule("0") for network in (model, mine.model)]
    with torch.no_grad():
        y, moved = (torch.relu(layer(x)) for layer in first)
    assert float((moved - y).norm()) <= 0.2 * float(y.norm()) * (1 + 1e-5)


@pytest.mark.parametrize("method", ["filters-det", "filters-rand"])
def test_filters_do_what_their_own_function_does(method: str) -> None:
    model, x = models.build("lenet-5", 1), torch.rand(12, 1, 28, 28)
    mine = prune(model, x, method=method, keep=0.5, seed=4)
    theirs = prune_filters(model, x, method=method, keep=0.5, seed=4)
    for a, b in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert {c.name: c.sizes for c in mine.structure} == theirs.shapes
    by_name = {report.name: report for report in theirs.layers}
    for report in mine.layers:
        own = by_name[report.name]
        assert (report.nnz_before, report.nnz_after) == (own.nnz_before, own.nnz_after)
        assert report.removed == report.shape[0] - len(own.kept_filters)
        assert report.eps == own.eps
        gone = np.setdiff1d(np.arange(report.shape[0]), own.kept_filters)
        assert (report.budgets[:, gone] == 0).all()
    assert f"{theirs.parameters_after:,}" in mine.notes[0]


@pytest.mark.parametrize("method", REVISITING)
def test_a_ready_calibration_does_not_do(method: str) -> None:
    from sipp_core import calibrate

    model = dense()
    with pytest.raises(ValueError, match="runs the model on the calibration inputs again"):
        prune(model, calibrate(model, rows()), method=method, keep=0.5)


@pytest.mark.parametrize(
    ("method", "asked", "words"),
    [
        ("nettrim-cascade", {"keep": 0.5}, "a cascade takes eps and gamma"),
        ("nettrim-cvxpy", {"keep": 0.5}, "cvxpy has not: give eps"),
        ("nettrim", {"eps": 0.1, "masks": True}, "writes new weights, not masks"),
        ("filters-det", {"keep": 0.5, "bound": "kl"}, "takes bound='bernstein'"),
        ("filters-rand", {"eps": 0.5}, "guarantee mode needs delta"),
        ("filters-det", {"keep": 1e-3}, "cannot be met"),
    ],
)
def test_what_they_cannot_do_is_refused(method: str, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        prune(dense(), rows(), method=method, **asked)


def test_a_convolution_is_refused_by_net_trim_by_name() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(10, 2))
    with pytest.raises(ValueError, match="layer '0' is a Conv1d: Net-Trim is for nn.Linear"):
        prune(model, torch.rand(5, 1, 7), method="nettrim", eps=0.1)

"""Filter pruning as a method of `prune`: one result, old spellings, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sipp_core
from sipp_core import calibrate, load, prune, prune_filters
from sipp_core.methods import Filters
from sipp_core.zoo import models
from tests.core.methods.conftest import relu_network, rows

METHODS = ("filters-det", "filters-rand")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", [{"keep": 0.5}, {"eps": 0.4, "delta": 0.1}], ids=["keep", "eps"])
def test_both_functions_say_the_same_of_the_same_network(
    method: str, mode: dict[str, Any], tmp_path: Path
) -> None:
    model, x = models.build("lenet-5", 1), torch.rand(12, 1, 28, 28)
    mine = prune(model, x, method=method, seed=4, **mode)
    theirs = prune_filters(model, x, method=method, seed=4, **mode)
    assert mine.summary() == theirs.summary()
    files = [r.save(tmp_path / k).read_bytes() for r, k in ((mine, "a"), (theirs, "b"))]
    assert files[0] == files[1]
    assert mine.channels is not None
    assert {c.name: c.sizes for c in mine.structure} == mine.channels.shapes
    for report in mine.layers:
        own = report.channels
        assert own is not None
        assert report.removed == report.shape[0] - len(own.kept_filters)
        assert report.eps == own.eps
        gone = np.setdiff1d(np.arange(report.shape[0]), own.kept_filters)
        assert (report.budgets[:, gone] == 0).all()
    assert f"{mine.channels.parameters_after:,}" in mine.notes[0]
    assert mine.scope == "global"
    assert mine.claims == (("PF-2", "SP-1") if method == "filters-rand" else ("PF-2", "SP-6"))
    assert "all filters and patches of a layer at once" in mine.holds_for
    sure = "with certainty" in mine.holds_for
    assert sure == (method == "filters-det") != ("with probability" in mine.holds_for)


def test_the_printed_bound_is_a_parameter() -> None:
    model, x = relu_network(), rows()
    old = prune_filters(model, x, method="filters-rand", keep=0.5, bound="printed")
    new = prune(model, x, method=Filters(drawn=True, size="printed"), keep=0.5)
    assert old.summary() == new.summary() and new.claims == ("PF-1", "SP-1")
    assert new.arguments["size"] == "printed"
    plain = prune(model, x, method="filters-rand", keep=0.5)
    assert plain.claims == ("PF-2", "SP-1") and plain.layers[1].eps != new.layers[1].eps


def test_fields_of_the_old_result_are_reached_with_a_warning() -> None:
    result = prune_filters(relu_network(), rows(), keep=0.5)
    channels, first = result.channels, result.layers[0].channels
    assert channels is not None and first is not None
    for name in vars(channels):
        with pytest.warns(DeprecationWarning, match=rf"\.{name} goes .*write \.channels\.{name}"):
            assert getattr(result, name) is getattr(channels, name)
    for name in set(vars(first)) - set(vars(result.layers[0])):
        with pytest.warns(DeprecationWarning, match=rf"write \.channels\.{name}"):
            assert getattr(result.layers[0], name) is getattr(first, name)
    with pytest.warns(DeprecationWarning, match="FilterResult goes .* returns a PruneResult"):
        assert sipp_core.FilterResult is sipp_core.PruneResult
    other = prune(relu_network(), rows(), method="sipp-det", keep=0.5)
    for of, name in ((other, "groups"), (other.layers[0], "before"), (result, "nonsense")):
        with pytest.raises(AttributeError, match=f"{type(of).__name__} has no attribute '{name}'"):
            getattr(of, name)


def test_a_saved_network_keeps_its_parameters(tmp_path: Path) -> None:
    model, x = relu_network(), rows()
    result = prune_filters(model, x, keep=0.5, alike="channels")
    again = load(result.save(tmp_path / "net"), model)
    assert again.arguments == result.arguments
    assert (again.arguments["alike"], again.arguments["drawn"]) == ("channels", False)


def test_a_ready_calibration_must_hold_the_inputs() -> None:
    model, x = relu_network(), rows()
    ready = calibrate(model, x, inputs=True)
    for method in METHODS:
        result = prune_filters(model, ready, method=method, keep=0.5, seed=3)
        alone = prune_filters(model, x, method=method, keep=0.5, seed=3)
        pairs = zip(result.model.parameters(), alone.model.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
        with pytest.raises(ValueError, match=f"lacks what method '{method}' .*inputs=True"):
            prune_filters(model, calibrate(model, x), method=method, keep=0.5)
    with pytest.raises(ValueError, match="batch_size= was settled when the calibration was made"):
        prune_filters(model, ready, keep=0.5, batch_size=8)


def test_half_precision_is_pruned_as_a_method_too() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).bfloat16()
    for method in METHODS:
        result = prune(net, torch.rand(4, 4).bfloat16(), method=method, keep=0.5)
        assert result.kept <= 0.5 and result.model.get_parameter("2.weight").shape[1] < 8
        assert all(p.dtype == torch.bfloat16 for p in result.model.parameters())


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("filters-det", {"keep": 0.5, "bound": "kl"}, "does not use bound='kl'; it takes cov"),
        ("filters-det", {"keep": 0.5, "scope": "layer"}, "does not use scope='layer'; it takes"),
        ("filters-rand", {"keep": 0.5, "masks": True}, "does not use masks=True; it takes"),
        ("filters-rand", {"eps": 0.5}, "guarantee mode needs delta"),
        ("filters-det", {"keep": 1e-3}, "cannot be met"),
        (Filters(False, "printed"), {"keep": 0.5}, "bound='printed' is for filters that are drawn"),
        (Filters(True, alike="channels"), {"keep": 0.5}, "filters that are dropped, with keep="),
    ],
)
def test_what_they_cannot_do_is_refused(
    method: str | Filters, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        prune(relu_network(), rows(), method=method, **arguments)


def test_parameters_are_refused_by_name() -> None:
    size: Any = "kl"
    with pytest.raises(ValueError, match="bound must be one of bernstein, printed; found 'kl'"):
        Filters(size=size)
    with pytest.raises(ValueError, match="alike must be one of errors, channels; found 'kl'"):
        Filters(alike=size)

"""Arguments of `prune`: those without effect are refused by one message, the others recorded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sipp_core import calibrate, load, prune, prune_sharded
from sipp_core.methods import Keep, Method, NetTrim, SippDet, Within, find_method
from sipp_core.pruning.arguments import Arguments, make_request
from sipp_theory import BOUNDS

X = torch.rand(40, 8, generator=torch.Generator().manual_seed(0))


class Unread:
    """Inputs that must not be looked at."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        raise AssertionError("an input was read")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (
            "nettrim",
            {"keep": 0.5, "scope": "global", "bound": "kl", "coverage_factor": 2.0, "masks": True},
            "method 'nettrim' does not use scope='global', bound='kl', coverage_factor=2.0, "
            "masks=True; it takes eps, keep$",
        ),
        ("magnitude", {"keep": 0.5, "bound": "corenet"}, "takes bound='bernstein' or .*'corenet'"),
        ("sipp-rand", {"keep": 0.5, "points": 9}, "looks at no activation rows; .*points=9"),
        ("svd", {"keep": 0.5, "bound": "kl"}, "'svd' does not use bound='kl'; it takes cover"),
        ("filters-det", {"keep": 0.5, "scope": "layer"}, "does not use scope='layer'; it takes"),
        ("filters-rand", {"keep": 0.5, "bound": "bernstein"}, "does not use bound='bernstein'"),
        (
            "sipp-rand",
            {"keep": 0.5, "bound": "corenet", "coverage_factor": 2.0},
            "bound 'corenet' takes no coverage_factor.*found 2.0",
        ),
        ("corenet", {"keep": 0.5, "coverage_factor": 2.0}, "'corenet' takes no coverage_factor"),
        (
            "sipp-det",
            {"eps": 0.5, "delta": 0.1, "scope": "layer"},
            "scope divides a budget: give it with keep=...; found 'layer'",
        ),
        ("random", {"eps": 0.5, "delta": 0.1}, "does not use eps=0.5; it takes bound, "),
    ],
)
def test_what_has_no_effect_is_refused(
    method: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prune(network(), Unread(), method=method, **arguments)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("sipp-rand", {"keep": 0.5, "scope": "layer", "coverage_factor": 1.0, "masks": False}),
        ("nettrim", {"keep": 0.5, "scope": "layer", "coverage_factor": 1.0, "masks": False}),
        ("filters-det", {"keep": 0.5, "scope": "global", "coverage_factor": 1.0}),
        ("sipp-det", {"eps": 0.5, "scope": "global"}),
        ("magnitude", {"keep": 0.5, "bound": "exact", "points": 9}),
        ("corenet++", {"keep": 0.5, "points": 9}),
    ],
)
def test_what_says_no_more_than_the_default_or_is_used_is_accepted(
    method: str, arguments: dict[str, Any]
) -> None:
    assert prune(network(), X, method=method, **arguments).method == method


@pytest.mark.parametrize("name", ["batch_size", "forward_size", "layers"])
def test_what_a_ready_calibration_has_settled_is_refused(name: str) -> None:
    net = network()
    arguments: dict[str, Any] = {name: ["0"] if name == "layers" else 8}
    with pytest.raises(ValueError, match=f"{name}= was settled when the calibration was made"):
        prune(net, calibrate(net, X), method="sipp-det", keep=0.5, **arguments)


def test_the_rows_that_a_ready_calibration_kept_are_the_ones_recorded() -> None:
    net = network()
    ready = calibrate(net, X, points=9)
    for points in (None, 9):
        result = prune(net, ready, method="sipp-det", keep=0.5, bound="exact", points=points)
        assert result.arguments["points"] == 9
    with pytest.raises(ValueError, match="points= was settled when the calibration was made"):
        prune(net, ready, method="sipp-det", keep=0.5, bound="exact", points=20)
    assert prune(net, ready, method="sipp-det", keep=0.5).arguments["points"] is None


def test_a_predicate_is_recorded_without_its_address(tmp_path: Path) -> None:
    net = network()
    files = []
    for k in "ab":
        result = prune(net, X, method="sipp-det", keep=0.5, layers=lambda name, _: name == "0")
        assert "<lambda>" in str(result.arguments["layers"])
        files.append(result.save(tmp_path / k).read_bytes())
    assert files[0] == files[1]


def test_a_request_says_what_was_chosen() -> None:
    rule = find_method("sipp-rand")
    budget = make_request(rule, network(), keep=0.5)
    assert budget.target == Keep(0.5, "global") and not budget.guaranteed
    assert (budget.delta, budget.seed, budget.points) == (0.05, 0, 0)
    assert budget.bound is BOUNDS["bernstein"]
    assert make_request(rule, network(), keep=0.5, scope="layer").target == Keep(0.5, "layer")
    assert make_request(rule, network(), keep=0.5, bound="exact").points == 1024
    promise = make_request(rule, network(), eps=0.2, delta=0.1, bound=BOUNDS["kl"])
    assert promise.target == Within(0.2) and promise.guaranteed and promise.bound.name == "kl"
    assert make_request(find_method("corenet"), network(), keep=0.5).bound.name == "corenet"


@pytest.mark.parametrize(
    ("method", "given", "recorded"),
    [
        (
            SippDet(rank="mean"),
            {"layers": ["0"], "masks": True, "forward_size": 7},
            {
                "rank": "mean", "points": None, "masks": True, "refit": False, "effective": False,
                "candidates": 1,
                "layers": "['0']", "forward_size": 7,
            },
        ),
        (
            "sipp-rand",
            {"bound": "exact", "points": 9},
            {
                "points": 9, "masks": False, "refit": False, "effective": False, "candidates": 1,
                "layers": None, "forward_size": None,
            },
        ),
        (
            "corenet++",
            {},
            {
                "points": 1024, "masks": False, "refit": False, "effective": False, "candidates": 1,
                "layers": None, "forward_size": None,
            },
        ),
        (
            NetTrim(),
            {"layers": nn.Linear},
            {
                "cascade": False, "solver": "admm", "points": None, "masks": False,
                "refit": False, "effective": False, "candidates": 1,
                "layers": repr(nn.Linear), "forward_size": None,
            },
        ),
    ],
)  # fmt: skip
def test_a_result_records_every_argument_and_keeps_them(
    method: str | Method, given: dict[str, Any], recorded: dict[str, object], tmp_path: Path
) -> None:
    net = network()
    result = prune(net, X, method=method, keep=0.5, seed=3, **given)
    assert result.arguments == recorded
    summary: Any = result.summary()
    assert summary["arguments"] == recorded
    again = load(result.save(tmp_path / "net"), net)
    assert again.arguments == recorded and again.summary() == summary


@pytest.mark.parametrize("function", [prune, prune_sharded])
def test_what_a_call_takes_is_what_a_request_is_made_of(function: Callable[..., Any]) -> None:
    known = {field.name: field for field in fields(Arguments)}
    taken = inspect.signature(function).parameters
    shared = [taken[name] for name in known if name in taken]
    assert all((p.annotation, p.default) == (known[p.name].type, known[p.name].default)
               for p in shared)  # fmt: skip
    if function is prune:
        assert len(shared) == len(known)
    with pytest.raises(TypeError, match="unexpected keyword argument 'keeps'"):
        make_request(find_method("magnitude"), nn.Linear(2, 2), keeps=0.5)

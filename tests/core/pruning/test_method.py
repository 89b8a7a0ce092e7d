"""Methods by name: the registry, variants from words, the bounds that each takes."""

from __future__ import annotations

from typing import Any

import pytest

from sipp_core import METHODS
from sipp_core.methods import (
    Entrywise,
    Filters,
    Magnitude,
    NetTrim,
    SippDet,
    bounds_of,
    find_method,
    register,
    registered,
    variant,
)
from sipp_core.pruning.method import FAMILIES
from sipp_theory import BOUNDS


def test_methods_are_listed_by_family() -> None:
    assert tuple(registered()) == METHODS and len(METHODS) == 33
    families = [FAMILIES.index(method.facts.family) for method in registered().values()]
    assert families == sorted(families)
    assert all(name == method.name for name, method in registered().items())


def test_a_method_is_itself_or_its_name() -> None:
    rule = SippDet(rank="mean")
    assert find_method(rule) is rule
    assert find_method("sipp-det") == SippDet() != rule
    with pytest.raises(ValueError, match="method must be one of .*; found 'magic'") as refusal:
        find_method("magic")
    assert all(name in str(refusal.value) for name in METHODS)


def test_a_name_is_given_once() -> None:
    for method in (Magnitude, Entrywise("l1")):
        with pytest.raises(ValueError, match="is named '.*' already; choose another name"):
            register(method)
    assert tuple(registered()) == METHODS


@pytest.mark.parametrize(
    ("method", "settings", "made"),
    [
        (SippDet(), {"rank": "mean"}, SippDet("mean")),
        (NetTrim(), {"cascade": "true", "solver": "cvxpy"}, NetTrim(True, "cvxpy")),
        (NetTrim(True), {"cascade": "False"}, NetTrim()),
        (NetTrim(), {"cascade": True}, NetTrim(True)),
        (Entrywise("l1"), {"law": "l2"}, Entrywise("l2")),
        (Filters(True), {"size": "printed"}, Filters(True, "printed")),
        (Filters(), {}, Filters()),
    ],
)
def test_a_variant_has_the_parameters_it_is_given(method: Any, settings: Any, made: Any) -> None:
    result = variant(method, settings)
    assert result == made and type(result) is type(made) and result.name == made.name


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (Magnitude(), {"rank": "mean"}, "'magnitude' has no parameter rank='mean'; .* are none"),
        (NetTrim(), {"a": 1, "b": "c"}, "no parameter a=1, b='c'; its parameters are cascade, so"),
        (NetTrim(), {"cascade": "maybe"}, "cascade must be true or false; found 'maybe'"),
        (
            SippDet(),
            {"rank": "median"},
            "rank must be one of patch-mean, max, mean; found 'median'",
        ),
        (Entrywise("l1"), {"law": "l3"}, "law must be one of .*; found 'l3'"),
    ],
)
def test_other_parameters_are_refused(method: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variant(method, settings)


def test_bounds_are_those_that_can_promise_something() -> None:
    every = tuple(BOUNDS)
    for name, method in registered().items():
        bounds = bounds_of(method)
        if "bound" not in method.takes:
            assert bounds == ()
            continue
        if method.guarantee_bound == "measured":  # no bound speaks before weights are solved for
            assert bounds == () and method.measurable
            continue
        assert method.default_bound in bounds
        drawn = name in ("sipp-rand", "sipp-hybrid", "uniform") or name.startswith(
            ("corenet", "entry-")
        )
        whole = name in ("sipp-rand", "sipp-poisson", "uniform", "corenet", "corenet+")
        expected = every if drawn else tuple(b for b in every if b != "corenet")
        assert bounds == tuple(b for b in expected if whole or BOUNDS[b].knows != "neuron")

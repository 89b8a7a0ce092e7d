"""The parts that a report is made of: splits, choice, numbers, labels."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from reports.overview import bounds, curves
from reports.overview.settings import SETTINGS, settings
from reports.overview.splits import calibration_count, split, widths
from reports.site import methods, plain, style
from sipp_core import calibrate
from sipp_core.methods import registered
from sipp_core.methods.corenet import VALIDATION_EVERY
from sipp_core.zoo import datasets, models


def test_no_input_has_two_roles() -> None:
    data = datasets.load("digits")
    parts = split(data, 200, seed=3)
    assert len(np.unique(parts.calibration)) == len(parts.calibration) == 200
    test = np.concatenate([parts.figures, parts.certificate])
    assert np.array_equal(np.sort(test), np.arange(len(data.test_inputs)))
    assert torch.equal(parts.figure_targets, data.test_targets[torch.from_numpy(parts.figures)])
    rows = {tuple(row.tolist()) for row in parts.calibration_inputs}
    assert parts.repeats == sum(tuple(r.tolist()) in rows for r in parts.certificate_inputs)


def test_another_seed_splits_otherwise() -> None:
    data = datasets.load("digits")
    first, second = split(data, 50, seed=0), split(data, 50, seed=1)
    assert not np.array_equal(first.certificate, second.certificate)


def test_enough_inputs_are_left_when_some_are_set_aside() -> None:
    model = models.build("digits-mlp")
    count = calibration_count(model, 0.05)
    size = sipp_theory.calibration_size(*widths(model), 0.05)
    assert count - count // VALIDATION_EVERY >= size


def row(method: str, keep: float, accuracy: float, error: float) -> dict[str, object]:
    run = {"accuracy": accuracy, "error": error, "seed": 0, "kept": keep}
    return {"method": method, "keep": keep, "runs": [run, run | {"accuracy": 1.0, "seed": 1}]}


def test_the_choice_is_the_sparsest_that_is_accurate_enough() -> None:
    rows = [row("a", 0.5, 0.97, 0.2), row("b", 0.5, 0.98, 0.1), row("a", 0.2, 0.9, 0.3)]
    result = curves.choose(rows, original=0.98, tolerance=0.01)
    assert (result["method"], result["keep"], result["seed"]) == ("b", 0.5, 0)


def test_the_choice_falls_back_on_the_most_accurate() -> None:
    rows = [row("a", 0.2, 0.5, 0.2), row("b", 0.2, 0.6, 0.9)]
    assert curves.choose(rows, original=0.98, tolerance=0.01)["method"] == "b"


def test_the_sums_are_those_that_pruning_uses() -> None:
    layer = calibrate(models.build("digits-mlp", 1), torch.rand(20, 64)).layers[0]
    total, support = bounds.sums(layer)
    weight, s = layer.layer.weight.double().numpy(), layer.sensitivity.double().numpy()
    for neuron in (0, 17):
        for sign, mask in enumerate((weight[neuron] > 0, weight[neuron] < 0)):
            assert total[sign, neuron] == pytest.approx(s[neuron, mask].sum())
            assert support[sign, neuron] == (s[neuron, mask] > 0).sum()


def test_every_method_has_a_look_and_an_unknown_one_the_spare() -> None:
    assert style.SPARE not in map(methods.look, registered())
    assert methods.look("not yet known") == style.SPARE
    assert methods.label("not yet known") == "not yet known" and methods.label("snip") == "SNIP"


@pytest.mark.parametrize("family", ["sipp", "corenet"])
def test_methods_in_one_panel_look_different(family: str) -> None:
    looks = [
        methods.look(name)
        for name, method in registered().items()
        if method.facts.family in (family, "baseline")
    ]
    for sign in ("marker", "line"):
        assert len({(look.colour, getattr(look, sign)) for look in looks}) == len(looks)
    assert len({look.marker for look in looks}) == len(looks)


def test_calibrations_are_shared_by_methods_that_set_as_many_inputs_aside() -> None:
    model, data = models.build("digits-mlp"), datasets.load("digits")
    pairs = [(data.train_inputs[:40], data.train_targets[:40])]
    ready = methods.calibrations(model, pairs, ("snip", "wanda", "corenet++"), seed=0)
    assert ready["snip"] is ready["wanda"] is not ready["corenet++"]
    assert ready["snip"].statistics == {"energy", "gradients"} and not ready["snip"].validation
    assert ready["corenet++"].validation


def test_guarantees_name_known_methods() -> None:
    for dataset in SETTINGS:
        plan = settings(dataset, quick=False)
        assert {method for method, _ in plan.guarantees} <= set(plan.methods)


def test_json_has_no_number_that_json_lacks() -> None:
    text = plain.dump({"a": math.inf, "b": -math.inf, "c": math.nan, "d": np.float64(0.1)})
    assert json.loads(text) == {
        "a": "infinite", "b": "-infinite", "c": "undefined", "d": 0.1,
    }  # fmt: skip


def test_json_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="found Tensor"):
        plain.plain({"a": torch.ones(2)})


@given(st.floats(1e-300, 1e300), st.integers(1, 6))
def test_upward_is_never_below(value: float, digits: int) -> None:
    text = plain.upward(value, digits).replace(",", "")
    if " × 10" in text:
        head, power = text.split(" × 10")
        raised = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        text = f"{head}e{raised}"
    shown = float(text)
    assert shown >= value * (1 - 1e-15)
    assert shown <= value * (1 + 10.0 ** (1 - digits)) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 3, "0"), (0.9996, 3, "1.00"), (9.97e23, 2, "1.0 × 10²⁴"), (12345.0, 3, "12,300"),
        (0.00012, 2, "0.00012"), (0.000012, 2, "1.2 × 10⁻⁵"), (-0.5, 1, "−0.5"), (99.96, 3, "100"),
        ("infinite", 3, "∞"), (None, 3, "none"),
    ],
)  # fmt: skip
def test_significant_digits(value: plain.Number, digits: int, text: str) -> None:
    assert plain.significant(value, digits) == text


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_labels_are_spread_in_order(places: list[float]) -> None:
    moved = style.spread(places, 0.05, 0.0, 1.0)
    ranked = [m for _, m in sorted(zip(places, moved, strict=True), key=lambda pair: pair[0])]
    assert all(b - a >= 0.05 - 1e-9 for a, b in pairwise(ranked))
    assert ranked[-1] <= 1 + 1e-9

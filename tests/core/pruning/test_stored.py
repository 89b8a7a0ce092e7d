"""What is kept of a plan and of masks: the same numbers in fewer bytes, whole and by parts."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core.methods import Magnitude, Method, SippDet, SippHybrid, SippPoisson, SippRand, Wanda
from sipp_core.pruning import plan as plans
from sipp_core.pruning import stored
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.pruning.prune import prune
from sipp_core.pruning.stored import Masks, NumberEach, stored_numbers, whole
from sipp_core.runtime.numbers import generator

FIELDS = ("scores", "positive", "nonzero", "probability", "draws", "eps", "dead", "whole", "scale")


@pytest.fixture(autouse=True)
def _nothing_is_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "SMALL", 0)
    monkeypatch.setattr("sipp_core.pruning.planning.SMALL", 0)


def made(method: str | Method) -> LayerPlan:
    torch.manual_seed(0)
    net, inputs = nn.Linear(19, 13), torch.randn(20, 19)
    with torch.no_grad():
        net.weight[torch.rand(13, 19) < 0.2] = 0
    return prune(net, inputs, method=method, keep=0.4).plans[0]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0.0, 1.0, 1.0]] * 3),
        np.array([[0.5, 2.0**-30, 3.0]]),
        np.array([[0.1, 1 / 3, 1e300]]),
        np.random.default_rng(0).random((5, 9)) < 0.5,
    ],
)
def test_no_number_is_lost(values: np.ndarray) -> None:
    kept = stored_numbers(values)
    assert np.array_equal(whole(kept), values)
    assert np.array_equal(whole(kept[1:]), values[1:])


def test_flags_take_a_bit_and_float32_is_taken_where_it_says_as_much() -> None:
    flags = np.random.default_rng(0).random((64, 80)) < 0.5
    kept = stored_numbers(flags.astype(np.float64))
    assert isinstance(kept, stored.Bits) and kept.packed.nbytes == 64 * 10
    assert whole(stored_numbers(np.array([[0.5, 3.0]]))).dtype == np.float32
    assert whole(stored_numbers(np.array([[0.1, 3.0]]))).dtype == np.float64


@pytest.mark.parametrize("method", [SippDet(), SippPoisson(), SippRand()])
def test_a_plan_is_the_plan_of_its_parts(
    method: str | Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = made(method)
    monkeypatch.setattr(
        plans, "neurons", lambda shape: [slice(k, k + 3) for k in range(0, shape[0], 3)]
    )
    parts = plan.parts()
    assert len(parts) == 5
    for field in FIELDS:
        axis = 1 if field in ("draws", "eps", "dead", "whole", "scale") else 0
        joined = np.concatenate([getattr(part, field) for _, part in parts], axis=axis)
        assert np.array_equal(joined, getattr(plan, field)), field
    cut, expected = draw(plan, generator(3)), plan.expected()
    monkeypatch.undo()
    assert np.array_equal(cut, draw(plan, generator(3)))
    assert np.array_equal(expected, plan.expected())


METHODS = [SippDet(), SippPoisson(), SippRand(), SippHybrid(), Magnitude(), Wanda()]
TARGETS: list[dict[str, Any]] = [{"keep": 0.4}, {"eps": 0.5, "delta": 0.1}]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", TARGETS)
def test_no_cut_into_neurons_changes_a_bit(
    method: Method, target: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net, inputs = nn.Sequential(nn.Linear(19, 13), nn.ReLU(), nn.Linear(13, 7)), torch.rand(20, 19)
    results = []
    for block in (stored.BLOCK, 40):
        monkeypatch.setattr(stored, "BLOCK", block)
        results.append(prune(net, inputs, method=method, **target))
    one, cut = results
    for a, b in zip(one.model.state_dict().values(), cut.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(one.layers, cut.layers, strict=True):
        assert a.summary() == b.summary() and np.array_equal(a.budgets, b.budgets)
        assert np.array_equal(a.eps_neuron, b.eps_neuron)
    for a, b in zip(one.plans, cut.plans, strict=True):
        assert all(np.array_equal(getattr(a, field), getattr(b, field)) for field in FIELDS)


@pytest.mark.parametrize("method", [Magnitude(), Wanda()])
def test_a_plan_keeps_nothing_that_training_writes_to(method: Method) -> None:
    net, inputs = nn.Linear(19, 13), torch.rand(20, 19)
    plan = prune(net, inputs, method=method, keep=0.4).plans[0]
    before = plan.scores
    with torch.no_grad():
        net.weight.add_(1.0)
    assert np.array_equal(plan.scores, before)


def test_sizes_are_the_products_that_they_stand_for() -> None:
    values, factors = np.array([[-2.0, 3.0], [4.0, -5.0]], np.float32), np.array([[0.1, 1], [7, 0]])
    sizes = stored.Sizes(values, factors, np.array([1, 0]))
    expected = np.array([[14.0, 0.0], [0.4, 5.0]])
    assert np.array_equal(whole(sizes), expected)
    assert np.array_equal(stored.numbers(sizes, slice(1, 2)), expected[1:])
    assert np.array_equal(whole(stored.Divided(sizes, 2.0)[:1]), expected[:1] / 2)
    assert np.array_equal(whole(stored.Sizes(values)), np.abs(values))


def test_a_plan_of_a_poisson_sample_keeps_rates_and_not_probabilities() -> None:
    plan = made(SippPoisson())
    coins = vars(plan)["_probability"]
    assert isinstance(coins, plans.Coins) and coins.rates.shape == (2, 13)
    again = pickle.loads(pickle.dumps(plan))
    assert np.array_equal(again.probability, plan.probability)
    assert ((plan.probability > 0) & (plan.probability < 1)).any()


def test_masks_are_given_as_they_were() -> None:
    given: dict[str, Tensor] = {
        "a": torch.rand(4, 3, 2, 2) < 0.5, "b": torch.ones(1, 9, dtype=torch.bool)
    }  # fmt: skip
    masks = Masks(given)
    assert list(masks) == ["a", "b"] and len(masks) == 2 and Masks() == {}
    assert all(torch.equal(masks[name], mask) for name, mask in given.items())
    masks["a"].fill_(False)
    assert torch.equal(masks["a"], given["a"]), "what is handed out is a copy"


def test_a_field_says_float64_whatever_is_kept() -> None:
    class Holder:
        """Something with a number for each weight."""

        field = NumberEach()

    holder = Holder()
    holder.field = np.array([[True, False]])
    assert holder.field.dtype == np.float64 and holder.field.tolist() == [[1.0, 0.0]]

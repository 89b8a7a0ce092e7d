"""`generalize`: each number against one computed another way."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import beta
from torch import nn

from reports.generalization import classic, halves
from reports.generalization.plans import PLANS, plan_of
from reports.generalization.run import FORMS, generalize
from sipp_core import decompress
from sipp_core.certificates.errors import count_errors, exact_scores
from sipp_core.compression import quantization
from sipp_core.compression.architecture import named
from sipp_core.compression.rate_control import Schedule
from sipp_core.zoo import datasets, models, training
from sipp_core.zoo.recipes import Recipe


@pytest.fixture(scope="module")
def digits():
    data = datasets.load("digits")
    model = models.dense((64, 10), 0)
    training.train(model, data, training.Recipe(5, 64, 5e-3))
    return model, data


@pytest.fixture(scope="module")
def short():
    """The plan of digits with few epochs."""
    plan = plan_of(None, "digits")
    schedule = Schedule(again=Recipe(1, 64, 3e-3), levels=Recipe(4, 64, 4e-3), steps=(0.5,))
    return replace(
        plan, subject=replace(plan.subject, recipe=Recipe(4, 64, 5e-3)), keeps=(0.6, 0.3),
        methods=("magnitude",), levels=(3,), schedule=schedule,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(short):
    kept = PLANS["dense:64,10", "digits"]
    PLANS["dense:64,10", "digits"] = short
    try:
        return generalize(data="digits", delta=0.1, seed=1, command="here")
    finally:
        PLANS["dense:64,10", "digits"] = kept


def test_halves_share_no_input_and_leave_none_out(digits):
    _, data = digits
    first, second = halves.halves(data, seed=4)
    together = torch.cat([first.train_inputs, second.train_inputs])
    assert len(first.train_inputs) == len(data.train_inputs) // 2
    assert torch.equal(together.sum(0), data.train_inputs.sum(0))
    numbers = torch.arange(len(data.train_inputs), dtype=torch.float32)[:, None]
    some = replace(data, train_inputs=numbers)
    parts = [part.train_inputs.flatten().tolist() for part in halves.halves(some, seed=4)]
    assert set(parts[0]) | set(parts[1]) == set(range(len(numbers)))
    assert not set(parts[0]) & set(parts[1])
    with pytest.raises(ValueError, match="two training inputs at least; found 1"):
        halves.halves(replace(data, train_inputs=numbers[:1], train_targets=numbers[:1]), 0)


def test_the_half_column_is_clopper_pearson_at_a_shared_level(digits, short):
    _, data = digits
    column = halves.column(short, data, delta=0.1, seed=0, threads=1)
    rows = column["candidates"]
    assert [row["keep"] for row in rows] == [1.0, 0.6, 0.5, 0.3]
    assert column["trained_on"] + column["n"] == len(data.train_inputs)
    for row in rows:
        level = 0.1 / (2**32 * len(rows))
        exact = beta.isf(level, row["errors"] + 1, column["n"] - row["errors"])
        assert row["bound"] == pytest.approx(exact, rel=1e-9)
    assert column["bound"] == min(row["bound"] for row in rows)


def test_a_prior_never_sees_the_half_that_it_is_judged_on(digits, short):
    _, data = digits
    _, second = halves.halves(data, seed=0)
    before = halves.column(short, data, 0.1, 0, 1)
    # Other labels there change what is counted, and no network.
    spoiled = data.train_targets.clone()
    order = torch.randperm(len(spoiled), generator=torch.Generator().manual_seed(0))
    rows = order[len(spoiled) // 2 :]
    spoiled[rows] = (spoiled[rows] + 1) % 10
    after = halves.column(short, replace(data, train_targets=spoiled), 0.1, 0, 1)
    for one, other in zip(before["candidates"], after["candidates"], strict=True):
        assert one["test_errors"] == other["test_errors"]
        assert other["errors"] > len(second.train_inputs) / 2


def test_gn_1_counts_what_it_says(digits):
    model, data = digits
    expected = exact_scores(model, data.train_inputs).numpy()
    rows = classic.compression(model, expected, data, [0.3, 1.0], delta=0.05, seed=0)
    right = expected[np.arange(len(expected)), data.train_targets]
    others = np.where(np.eye(10, dtype=bool)[data.train_targets], -np.inf, expected).max(1)
    for row in rows:
        assert row["margin_loss"] == np.mean(right - others <= row["gamma"])
        # Places and values, how many there are, a step for weights and biases, delta.
        nats = row["parameters"] * math.log(254 * 650) + math.log(651 / 0.05)
        nats += 2 * math.log(2048) + 32 * math.log(2)
        total = row["margin_loss"] + row["exceptions"] + math.sqrt(nats / (2 * row["n"]))
        assert row["bound"] == pytest.approx(total, rel=1e-12)
        assert row["parameters"] <= row["keep"] * 640 + 10
    # With every weight kept only rounding is left, and it is small.
    assert rows[1]["exceptions"] < 0.05 < rows[0]["exceptions"]


def test_gn_1_lists_every_step_that_a_float32_grid_can_have():
    exponents = torch.arange(-149, 128, dtype=torch.float64)
    every = torch.exp2(exponents[:, None] + torch.arange(0, 1, 1 / 64, dtype=torch.float64))
    steps = quantization.short(every.float().flatten(), quantization.STEP_BITS).unique()
    assert 1000 < len(steps) <= classic.STEPS


def test_gn_2_is_void_and_says_why(digits):
    model, data = digits
    scores = exact_scores(model, data.train_inputs).numpy()
    facts = classic.corenet(model, scores, data, 0.05, 0)
    assert facts["vacuous"]
    assert facts["bound"] > 1
    assert facts["largest_factor"] == max(facts["log2_factors"], key=lambda item: item[1])[0]
    assert facts["log2_penalty"] == pytest.approx(sum(v for _, v in facts["log2_factors"]))
    refused = classic.corenet(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), scores, data, 0.05, 0
    )
    assert "fully connected layers; Conv2d is none" in refused["refused"]


def test_margins_are_those_of_the_scores():
    scores = np.array([[2.0, 0.5], [0.0, 1.0], [1.0, 3.0], [1.0, 1.0]])
    facts = classic.margin_facts(scores, torch.tensor([0, 0, 1, 1]))
    assert facts["error"] == 0.5
    assert facts["quantiles"][0] == -1.0
    assert facts["quantiles"][-1] == 2.0
    assert facts["largest_output"] == pytest.approx(math.sqrt(10))


def test_the_budget_holds_every_bit_of_the_file_and_prices_every_choice(found):
    facts = found.summary()
    total = sum(charge["bits"] for charge in facts["budget"])
    assert total == pytest.approx(8 * len(found.file.content) + 32 + math.log2(2), abs=1e-6)
    what = [charge["what"] for charge in facts["budget"]]
    for word in ("header", "checksum", "architecture", "the search", "the rules of the code"):
        assert word in what
    assert any("seed" in one for one in what)
    assert any("keep ratio" in one for one in what)


def test_the_certified_bound_is_that_of_the_decoded_file(found):
    facts = found.summary()
    data = datasets.load("digits")
    network = decompress(found.file.content)
    errors = count_errors(network, data.train_inputs, data.train_targets)
    best = facts["candidates"][facts["best"]]
    assert errors == best["errors"]
    # Clopper-Pearson at level delta 2^-B, computed by scipy.
    level = 0.1 * 2.0 ** -(found.file.bits + 33) if found.file.bits < 1000 else None
    exact = beta.isf(level, errors + 1, len(data.train_inputs) - errors) if level else None
    if exact is not None and np.isfinite(exact) and exact > 0:
        assert found.bound == pytest.approx(exact, rel=1e-6)
    assert best["bound"] == found.bound == min(one["bound"] for one in facts["candidates"])
    values = {row["name"]: row["value"] for row in facts["bounds"]}
    kinds = [values[name] for name in values if name.startswith("Occam, ")][:3]
    assert kinds == sorted(kinds)
    assert values["Catoni, the union over lambda paid"] >= kinds[1]
    assert all(row["vacuous"] == (row["value"] >= 1) for row in facts["bounds"])


def test_the_bound_falls_as_inputs_are_added(found):
    rows = found.summary()["by_n"]
    assert [row["n"] for row in rows] == [300, 1000, 1437]
    for form in FORMS:
        assert rows[0][form] >= rows[-1][form]
    assert rows[-1]["binomial"] == found.bound


def test_the_result_says_where_it_comes_from(found):
    result = found.summary()["made"]
    assert result["command"] == "here"
    assert result["seed"] == 1
    assert result["seconds"] > 0
    assert "core" in result["machine"]


def test_every_plan_is_of_an_architecture_that_a_file_can_name():
    for (net, data), plan in PLANS.items():
        assert plan.subject.net == net
        assert plan.subject.data == data
        shape = named(net).input_shape
        assert math.prod(shape) == {"digits": 64, "mnist": 784}[data]
    assert plan_of("dense:64,20,10", "digits").subject.net == "dense:64,20,10"
    with pytest.raises(ValueError, match="data must be one of digits, mnist; found 'cifar10'"):
        plan_of(None, "cifar10")
    with pytest.raises(ValueError, match="net must be one of .*found 'resnet-20'"):
        plan_of("resnet-20", "mnist")

"""Rate control: what a candidate's file says of its network, and what it is charged."""

import math
from typing import Any

import pytest
import torch
from torch import nn

import sipp_theory
from sipp_core import decompress
from sipp_core.certificates.errors import count_errors
from sipp_core.compression import rate_control
from sipp_core.compression.rate_control import Schedule, Setting, candidates, charged, search
from sipp_core.zoo import datasets, models, training
from sipp_core.zoo.recipes import Recipe

ONE = Schedule(again=Recipe(2, 64, 3e-3), levels=Recipe(3, 64, 4e-3), steps=(0.6, 0.4))


@pytest.fixture(scope="module")
def digits():
    data = datasets.load("digits")
    model: Any = models.dense((64, 10), 0)
    training.train(model, data, training.Recipe(10, 64, 5e-3))
    return model, data


@pytest.fixture(scope="module")
def found(digits):
    model, data = digits
    settings = candidates(["magnitude", "none"], [0.5, 0.2], [3, 4], ["grid", "table"])
    return settings, list(
        search(model, data, settings, ONE, delta=0.05, architecture="dense:64,10", seed=3)
    )


def test_errors_are_counted_one_by_one_and_ties_and_nans_are_errors():
    scores = torch.tensor(
        [
            [1.0, 0.0, 0.0],
            [0.0, 2.0, 2.0],
            [3.0, 1.0, 4.0],
            [math.nan, 0.0, 0.0],
            [0.0, 0.0, math.nan],
        ]
    )
    wrong = {0: 0, 1: 1, 2: 0, 3: 1, 4: 1}
    for target, rows in ((torch.tensor([0, 1, 2, 1, 0]), wrong),):
        for row, expected in rows.items():
            got = count_errors(nn.Identity(), scores[row : row + 1], target[row : row + 1])
            assert got == expected
        assert count_errors(nn.Identity(), scores, target, batch_size=2) == sum(rows.values())
    infinite = torch.tensor([[math.inf, 0.0]])
    assert count_errors(nn.Identity(), infinite, torch.tensor([0])) == 1


def test_counting_leaves_the_model_alone(digits):
    model, data = digits
    model.train()
    try:
        errors = count_errors(model, data.test_inputs, data.test_targets)
        assert model.training
        assert model.fc1.weight.dtype == torch.float32
        accuracy = training.accuracy(model, data.test_inputs, data.test_targets)
        assert errors == round((1 - accuracy) * len(data.test_inputs))
    finally:
        model.eval()
    with pytest.raises(ValueError, match="at least one; found 0 inputs"):
        count_errors(model, torch.empty(0, 64), torch.empty(0, dtype=torch.long))
    with pytest.raises(ValueError, match="found 2 inputs and 1 targets"):
        count_errors(model, torch.zeros(2, 64), torch.zeros(1, dtype=torch.long))


def test_candidates_are_every_combination_that_makes_sense():
    result = candidates(["none", "magnitude"], [0.1, 0.5], [3, 4], ["grid", "table"])
    assert len(result) == len(set(result)) == 9
    assert all(one.keep == 1.0 for one in result if one.method == "none")
    assert not any(one.levels == 4 and one.codebook == "grid" for one in result)
    with pytest.raises(ValueError, match=r"keep must lie in \(0, 1\]; found 0"):
        candidates(["none"], [0], [3], ["grid"])
    with pytest.raises(ValueError, match="no candidate is left"):
        candidates(["none"], [0.5], [4], ["grid"])


def test_everything_is_said_of_what_the_file_decodes_to(digits, found):
    _, data = digits
    settings, rows = found
    # Methods in their order, and each from dense to sparse.
    assert {one.setting for one in rows} == set(settings)
    for one in rows:
        network: Any = decompress(one.file.content)
        assert one.errors == count_errors(network, data.train_inputs, data.train_targets)
        assert one.test_errors == count_errors(network, data.test_inputs, data.test_targets)
        assert one.n == len(data.train_inputs)
        weight = network.fc1.weight
        assert one.kept == int(weight.count_nonzero()) / weight.numel()
        assert one.kept <= one.setting.keep
        assert len(weight.unique()) <= one.setting.levels


def test_the_bound_pays_for_every_bit_of_the_file_and_for_the_search(found):
    settings, rows = found
    for one in rows:
        assert one.choice_bits == charged(len(settings)) >= 32 + math.log2(len(settings))
        assert one.choice_bits < 32 + math.log2(len(settings)) + 1e-9
        paid = sipp_theory.occam_bound(
            "binomial", errors=one.errors, n=one.n,
            bits=8 * len(one.file.content) + 32 + math.log2(len(settings)), delta=0.05,
        )  # fmt: skip
        assert one.bound == pytest.approx(float(paid), rel=1e-12)
        free = sipp_theory.occam_bound(
            "binomial", errors=one.errors, n=one.n, bits=one.file.bits, delta=0.05
        )
        assert one.bound > float(free)


def test_whole_neurons_go_first_and_stay_away():
    data = datasets.load("digits")
    model: Any = models.dense((64, 30, 10), 0)
    training.train(model, data, training.Recipe(5, 64, 5e-3))
    settings = candidates(["none", "magnitude"], [0.2], [5], ["grid"], filters=[0.35])
    assert {one.filters for one in settings} == {0.35}
    for one in search(model, data, settings, ONE, delta=0.05, architecture="dense:64,30,10"):
        network: Any = decompress(one.file.content)
        alive = network.fc1.weight.any(1)
        # 74 weights a neuron, 2,220 in all.
        assert alive.sum() <= 10
        assert not network.fc1.bias[~alive].any()
        assert not network.fc2.weight[:, ~alive].any()
        assert one.kept <= (0.35 if one.setting.method == "none" else 0.2)
    with pytest.raises(ValueError, match=r"filters must lie in \(0, 1\]; found 2"):
        candidates(["none"], [0.2], [5], ["grid"], filters=[2])


def test_same_seed_same_files(digits):
    model, data = digits
    settings = [Setting("sipp-det", 0.3, 3, "grid")]
    files = [
        next(search(model, data, settings, ONE, delta=0.1, seed=5)).file.content for _ in range(2)
    ]
    assert files[0] == files[1]


def test_the_given_model_and_its_zeros(digits):
    model, data = digits
    before = model.fc1.weight.detach().clone()
    steps = []
    one = next(
        search(
            model, data, [Setting("magnitude", 0.25, 5, "table")], ONE, delta=0.05,
            progress=lambda done, total, what: steps.append((done, total, what)),
        )
    )  # fmt: skip
    assert torch.equal(model.fc1.weight, before)
    read: Any = one.network(model)
    assert read.fc1.weight.count_nonzero() <= 160
    assert steps[0] == (0, 1, "magnitude 0.25, 5 levels")


def test_what_is_refused(digits):
    model, data = digits
    with pytest.raises(ValueError, match="settings must name a candidate"):
        next(search(model, data, [], ONE, delta=0.05))
    some = [Setting("none", 1.0, 3, "grid")]
    with pytest.raises(ValueError, match="delta"):
        next(search(model, data, some, ONE, delta=1.0))
    with pytest.raises(ValueError, match="architecture must be one of"):
        next(search(model, data, some, ONE, delta=0.05, architecture="lenet-6"))
    with pytest.raises(ValueError, match="method must be one of"):
        next(search(model, data, [Setting("magic", 0.5, 3, "grid")], ONE, delta=0.05))


def test_processes_and_a_stop_change_no_file(digits, tmp_path, monkeypatch):
    model, data = digits
    settings = candidates(["magnitude", "none"], [0.5, 0.3], [3], ["grid"])
    alone = list(search(model, data, settings, ONE, delta=0.05))
    again = list(search(model, data, settings, ONE, delta=0.05, jobs=2, folder=tmp_path))
    assert [vars(one) for one in again] == [vars(one) for one in alone]
    assert len(again) == len(alone) == 3

    calls = []
    coded = rate_control._coded
    monkeypatch.setattr(rate_control, "_coded", lambda *call: calls.append(call[0]) or coded(*call))
    kept = list(search(model, data, settings, ONE, delta=0.05, folder=tmp_path))
    assert [vars(one) for one in kept] == [vars(one) for one in alone] and calls == []
    # One that is gone is made again on the same way down; another seed's search sees none of them.
    gone = max(tmp_path.iterdir())
    gone.unlink()
    kept = list(search(model, data, settings, ONE, delta=0.05, folder=tmp_path))
    assert [vars(one) for one in kept] == [vars(one) for one in alone] and len(calls) == 1
    next(search(model, data, settings, ONE, delta=0.05, seed=1, folder=tmp_path))
    assert len(calls) == 2
    path = max(tmp_path.iterdir())
    path.write_text(path.read_text().replace('"errors": ', '"errors": 1'))
    with pytest.raises(ValueError, match="is damaged .it was altered"):
        list(search(model, data, settings, ONE, delta=0.05, folder=tmp_path))
        list(search(model, data, settings, ONE, delta=0.05, seed=1, folder=tmp_path))

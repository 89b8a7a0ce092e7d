"""`sipp certify`: the sentence, the exit codes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from torch import nn

import sipp_core
from sipp_core.zoo import datasets, models

Call = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def base(weights: Path, pruned: Path) -> tuple[object, ...]:
    return ("certify", pruned, "--model", "digits-mlp", "--weights", weights)


def test_it_says_what_core_certifies(sipp: Call, base: Any, weights: Path, pruned: Path) -> None:
    model = models.build("digits-mlp")
    model.load_state_dict(load_file(weights))
    expected = sipp_core.certify(
        model, sipp_core.load(pruned, model).model, datasets.load("digits").test_inputs
    )
    ended = sipp(*base, "--data", "digits")
    assert ended.code == 0 and ended.err == "" and expected.sentence() in ended.out
    result = sipp(*base, "--data", "digits", "--json").json
    assert result["eps"] == expected.eps > 0 and result["sentence"] == expected.sentence()
    assert result["kind"] == "CT-2" and result["n"] == 360


def test_the_model_of_a_built_in_file_is_found(sipp: Call, weights: Path, pruned: Path) -> None:
    ended = sipp("certify", pruned, "--weights", weights, "--inputs", "digits", "--eps", 0.9)
    assert ended.code == 0 and "above eps" in ended.out


@pytest.mark.usefixtures("short_training")
def test_without_weights_the_same_network_is_trained_again(sipp: Call, tmp_path: Path) -> None:
    out = tmp_path / "p"
    words = ("--calibration-size", 40, "--keep", 0.6, "--seed", 5, "--out", out)
    assert sipp("prune", "--model", "digits-mlp", "--data", "digits", *words).code == 0
    ended = sipp("certify", out, "--data", "digits", "--json")
    assert ended.code == 0 and "seed 5" in ended.err and "differs" not in ended.err
    assert ended.json["seed"] == 5
    ended = sipp("certify", out, "--data", "digits", "--seed", 6)
    assert ended.code == 2 and "was pruned from another network" in ended.err


def test_too_few_inputs_are_told_by_the_exit_code(sipp: Call, base: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", datasets.load("digits").test_inputs[:50].numpy())
    ended = sipp(*base, "--data", tmp_path / "x.npy")
    assert ended.code == 1 and "at least 90 are needed" in ended.out
    ended = sipp(*base, "--data", tmp_path / "x.npy", "--json")
    assert ended.code == 1 and ended.json["eps"] == "inf" and ended.json["vacuous"] is True


def test_calibration_inputs_are_no_held_out_ones(
    refused: Refused, sipp: Call, base: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", datasets.load("digits").train_inputs.numpy())
    assert "were calibration inputs" in refused(*base, "--data", tmp_path / "x.npy")
    assert sipp(*base, "--data", tmp_path / "x.npy", "--allow-repeats").code == 0


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (("--delta", 0), "delta"),
        (("--confidence", 1), "confidence"),
        (("--eps", -1), "--eps"),
        (("--eps", "nan"), "--eps"),
        (("--device", "abacus"), "'abacus'"),
        (("--model", "lenet-300-100"), "does not fit"),
        (("--model", "resnet"), "'resnet'"),
    ],
)
def test_bad_options_are_refused_by_name(
    refused: Refused, base: Any, words: tuple[object, ...], culprit: str
) -> None:
    assert culprit in refused(*base, "--data", "digits", *words)


def test_files_that_are_no_pruned_networks_are_refused(
    refused: Refused, weights: Path, pruned: Path, tmp_path: Path
) -> None:
    path = tmp_path / "p.safetensors"
    words = ("certify", path, "--data", "digits", "--weights", weights)
    assert "there is no pruned network" in refused(*words)
    path.write_bytes(pruned.read_bytes()[:-9])
    assert "truncated" in refused(*words)
    content = bytearray(pruned.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "altered" in refused(*words)
    save_file(load_file(weights), path)
    assert "not written by sipp" in refused(*words)
    net = nn.Sequential(nn.Linear(64, 3))
    result = sipp_core.prune(net, np.ones((2, 64), np.float32), method="sipp-det", keep=0.5)
    result.save(path)
    assert "fits no built-in model" in refused(*words)

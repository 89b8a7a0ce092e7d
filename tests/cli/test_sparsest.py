"""`sipp sparsest`: the fewest certified weights, by error and by accuracy, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sipp_core
from sipp_core.zoo import datasets, models

Call = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def base(weights: Path) -> tuple[object, ...]:
    return (
        "sparsest", "--model", "digits-mlp", "--weights", weights, "--calibration", "digits",
        "--method", "magnitude", "--keeps", "0.9,0.6,0.1",
    )  # fmt: skip


def test_a_target_of_accuracy_and_the_network_that_meets_it(
    sipp: Call, base: Any, tmp_path: Path
) -> None:
    out = tmp_path / "best.safetensors"
    ended = sipp(*base, "--drop", 0.1, "--confidence", 0.9, "--out", out, "--json")
    assert ended.code == 0
    content = ended.json
    assert content["keeps"][: len(content["drops"])] == content["keeps"] and content["drop"] == 0.1
    assert (
        content["drops"][-1]
        > 0.1
        >= content["drops"][-2]
        == content["certificate"]["accuracy"]["drop"]
    )
    again = sipp_core.load(out, models.build("digits-mlp"))
    assert again.summary()["layers"] == content["result"]["layers"]
    shown = sipp(*base, "--drop", 0.1, "--confidence", 0.9).out
    assert "The fewest weights that are certified" in shown.splitlines()[0]
    assert "drop proved" in shown and "accuracy is at least" in shown


def test_a_target_of_error_on_files_and_its_failure(sipp: Call, base: Any, tmp_path: Path) -> None:
    inputs = tmp_path / "held.npy"
    np.save(inputs, datasets.load("digits").test_inputs[:200].numpy())
    words = (*base, "--inputs", inputs, "--eps", 0.9, "--delta", 0.3, "--confidence", 0.9)
    content = sipp(*words, "--json").json
    assert content["result"]["nnz_after"] < content["result"]["nnz_before"]
    assert content["certificate"]["kind"] == "CT-3" and content["certificate"]["n"] == 200
    failed = sipp(*base, "--eps", 1e-6, "--keeps", "0.5")
    assert failed.code == 1 and "Not even 50.0% of the weights" in failed.out.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give one target"),
        (("--eps", 0.1, "--drop", 0.1), "give one target"),
        (("--drop", 2), "drop must lie in (0, 1)"),
        (("--eps", 0.1, "--keeps", "0.1,0.5"), "keeps must be strictly decreasing"),
        (("--eps", 0.1, "--keeps", "dense"), "--keeps are numbers from dense to sparse"),
        (("--eps", 0.1, "--labels", "y.npy"), "--labels y.npy go with --drop"),
        (("--eps", 0.1, "--method", "nettrim-cascade"), "does not use keep"),
        (("--eps", 0.1, "--confidence", 2), "confidence must"),
    ],
)
def test_what_is_refused_before_any_work(
    refused: Refused, base: Any, words: tuple[object, ...], message: str
) -> None:
    assert message in refused(*base, *words)

"""`sipp report`: what it passes on, where it says the page is, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import proofs_check
import reports

Call = Callable[..., Any]


@dataclass(frozen=True)
class Built:
    index: Path
    results: Path
    vacuous: bool
    violated: bool


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for the builder, which takes minutes; what it was called with and how it ends."""
    seen: dict[str, Any] = {"violated": False, "error": None}

    def build(dataset: str, out: Path, **options: Any) -> Built:
        seen.update(options, dataset=dataset, out=out)
        if seen["error"] is not None:
            raise seen["error"]
        return Built(out / "index.html", out / "results.json", True, seen["violated"])

    class Ledger:
        def summary(self) -> dict[str, object]:
            return {"profile": seen["checked"]["profile"]}

    def run(profile: str, **options: Any) -> Ledger:
        seen["checked"] = options | {"profile": profile}
        return Ledger()

    monkeypatch.setattr(reports, "build", build, raising=False)
    monkeypatch.setattr(proofs_check, "run", run)
    return seen


def test_it_says_where_the_page_is(sipp: Call, builds: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    ended = sipp("report", "--out", out, "--quick", "--seed", 3)
    # Vacuous bounds are what the report is there to show.
    assert ended.code == 0 and str(out / "index.html") in ended.out
    assert (builds["dataset"], builds["out"], builds["seed"]) == ("digits", out, 3)
    assert (builds["quick"], builds["device"], builds["data_dir"]) == (True, "cpu", None)
    assert builds["progress"] is None
    assert builds["ledger"] == {"profile": "quick"} and builds["checked"]["seed"] == 3
    result = sipp(
        "report", "--out", out, "--dataset", "mnist", "--data-dir", tmp_path, "--json"
    ).json
    assert result["index"] == str(out / "index.html") and result["violated"] is False
    assert (builds["dataset"], builds["data_dir"]) == ("mnist", tmp_path)


def test_the_ledger_can_be_left_out_or_taken_in_full(
    sipp: Call, builds: dict[str, Any], tmp_path: Path
) -> None:
    assert sipp("report", "--out", tmp_path, "--ledger", "none").code == 0
    assert builds["ledger"] is None and "checked" not in builds
    words = ("--ledger", "full", "--store", tmp_path / "store", "--data-dir", tmp_path)
    assert sipp("report", "--out", tmp_path, *words).code == 0
    assert builds["ledger"] == {"profile": "full"}
    assert builds["checked"]["store"] == str(tmp_path / "store")
    assert builds["checked"]["data_dir"] == str(tmp_path)


def test_a_violated_guarantee_is_told_by_the_exit_code(
    sipp: Call, builds: dict[str, Any], tmp_path: Path
) -> None:
    builds["violated"] = True
    ended = sipp("report", "--out", tmp_path)
    assert ended.code == 1 and "violated" in ended.out


def test_interrupted(sipp: Call, builds: dict[str, Any], tmp_path: Path) -> None:
    builds["error"] = KeyboardInterrupt()
    ended = sipp("report", "--out", tmp_path)
    assert ended.code == 130 and "interrupted" in ended.err and ended.out == ""


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (("--out", "/dev/null/out"), "/dev/null"),
        (("--dataset", "cifar"), "'cifar'"),
        (("--device", "abacus"), "'abacus'"),
        (("--seed", "x"), "--seed"),
        (("--ledger", "half"), "'half'"),
        (("--dataset", "cifar10"), "`sipp prune --model resnet-20 --calibration cifar10"),
    ],
)
def test_bad_options_are_refused_before_any_work(
    refused: Callable[..., str],
    builds: dict[str, Any],
    words: tuple[object, ...],
    culprit: str,
    tmp_path: Path,
) -> None:
    place = () if "--out" in words else ("--out", tmp_path)
    assert culprit in refused("report", *place, *words)
    assert "dataset" not in builds
    assert list(tmp_path.iterdir()) == []


def test_validation_results_come_with_the_report(
    sipp: Call, refused: Call, builds: dict[str, Any], tmp_path: Path
) -> None:
    from reports.validation import Validation, load

    words = ("report", "--out", tmp_path / "out", "--ledger", "none")
    assert sipp(*words).code == 0 and builds["validation"] == load()
    assert sipp(*words, "--validation", "none").code == 0 and builds["validation"] == []
    result = Validation("sipp", "T", "quick", "s", (), (), {})
    (tmp_path / "sipp-quick.json").write_text(json.dumps(result.summary()))
    assert sipp(*words, "--validation", tmp_path).code == 0 and builds["validation"] == [result]
    assert "no such folder" in refused(*words, "--validation", tmp_path / "none")


def test_the_generalization_page_can_be_left_out_or_come_from_a_folder(
    sipp: Call, refused: Call, builds: dict[str, Any], tmp_path: Path
) -> None:
    words = ("report", "--out", tmp_path / "out", "--ledger", "none")
    assert sipp(*words).code == 0
    assert all(one.bound <= 1 for one in builds["generalization"])
    assert sipp(*words, "--generalization", "none").code == 0
    assert builds["generalization"] == []
    empty = tmp_path / "empty"
    empty.mkdir()
    assert sipp(*words, "--generalization", empty).code == 0 and builds["generalization"] == []
    (empty / "a.sipp").write_bytes(b"")
    assert "a.sipp lacks a.json" in refused(*words, "--generalization", empty)
    assert "no such folder" in refused(*words, "--generalization", tmp_path / "none")

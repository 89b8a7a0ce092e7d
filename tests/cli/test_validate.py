"""`sipp validate`: every paper end to end in the tiny schedule, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reports
from reports.validation import Line, Validation, read
from reports.validation.cells import Cells

Call = Callable[..., Any]
YES = Line(
    "a [b] of nets", "2 points", "3 points", "yes", low=1.0, high=5.0, unit="points", seeds=3
)
NO = Line("another", "less", "more", "no", seeds=1)
LEFT = Line("big nets", "84.9%", "-", "not run", why="no data")
MADE = {"machine": ["abacus"], "date": ["2026-01-02"], "command": ["sipp validate sipp"],
        "versions": ["torch 2"], "seconds": 3.0, "cells": 2}  # fmt: skip


def made(*lines: Line) -> Validation:
    return Validation("sipp", "SiPP", "quick", "small nets", lines, (), MADE)


@pytest.fixture
def validates(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for the experiments."""
    seen: dict[str, Any] = {"found": made(YES, NO, LEFT)}

    def validate(paper: str, **options: Any) -> Validation:
        seen.update(options, paper=paper)
        return seen["found"]

    monkeypatch.setattr(reports, "validate", validate)
    monkeypatch.delenv("SIPP_DATA_DIR", raising=False)
    return seen


def test_a_disagreement_is_shown_and_is_no_error(sipp: Call, validates: dict[str, Any]) -> None:
    ended = sipp("validate", "sipp", "--quick", "--seed", 3, "--only", "lenet-5", "--threads", 2,
                 "--methods", "snip,random", "--seeds", 4)  # fmt: skip
    assert ended.code == 0
    names = ("paper", "schedule", "seed", "seeds", "only", "methods", "threads")
    options = {name: validates[name] for name in names}
    assert options == {"paper": "sipp", "schedule": "quick", "seed": 3, "seeds": 4,
                     "only": "lenet-5", "methods": "snip,random", "threads": 2}  # fmt: skip
    assert validates["command"] == (
        "sipp validate sipp --schedule quick --seed 3 --threads 2 --only lenet-5 "
        "--methods snip,random --seeds 4"
    )
    for words in (
        "a [b] of nets", "2 points", "3 points", "1 to 5 points, 3 seeds", "yes", "another", "no",
        "not run: big nets: no data", "small nets", "of 2 statements and numbers that were run, 1 "
        "is reproduced, 0 in part or undecided, 1 not; 1 not run",
    ):  # fmt: skip
        assert words in ended.out, words


def test_a_broken_promise_is_exit_code_1(sipp: Call, validates: dict[str, Any]) -> None:
    validates["found"] = made(YES, Line("bound", "holds", "2 of 3", "no", guarantee=True))
    ended = sipp("validate", "sipp", "--quick")
    assert ended.code == 1 and "VIOLATED: bound: 2 of 3" in ended.out
    assert sipp("validate", "sipp", "--quick", "--json").code == 1


def test_json_and_the_file_are_the_result(
    sipp: Call, validates: dict[str, Any], tmp_path: Path
) -> None:
    out, store = tmp_path / "new" / "sipp.json", tmp_path / "store"
    ended = sipp("validate", "sipp", "--out", out, "--json", "--data-dir", tmp_path,
                 "--store", store)  # fmt: skip
    assert read(ended.json) == validates["found"] == read(json.loads(out.read_text()))
    assert validates["schedule"] == "reduced" and validates["folder"] == store
    assert validates["data_dir"] == tmp_path and ended.err == ""


def test_a_long_run_that_keeps_nothing_says_so(sipp: Call, validates: dict[str, Any]) -> None:
    ended = sipp("validate", "sipp", "--schedule", "paper")
    assert "--store FOLDER lets it go on" in ended.err and validates["folder"] is None


@pytest.mark.parametrize(
    ("words", "why"),
    [(("x", "--quick"), "paper must be one of"),
     (("sipp", "--schedule", "x"), "schedule must be one of"),
     (("sipp", "--quick", "--schedule", "paper"), "contradict each other"),
     (("sipp", "--quick", "--only", "x"), "only must be of digits-mlp"),
     (("sipp", "--quick", "--methods", "snip,x"), "methods must be of sipp-network, "),
     (("corenet", "--quick", "--methods", "svd"), "methods can be chosen for sipp and"),
     (("sipp", "--quick", "--device", "abacus"), "--device 'abacus'")],
)  # fmt: skip
def test_bad_arguments_are_refused(refused: Call, words: tuple[str, ...], why: str) -> None:
    assert why in refused("validate", *words)


def test_a_file_that_cannot_be_written_is_refused_first(refused: Call, tmp_path: Path) -> None:
    assert "it is a folder" in refused("validate", "sipp", "--quick", "--out", tmp_path)


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return result | {"made": result["made"] | {"seconds": 0}}


@pytest.mark.parametrize("paper", ["corenet", "sipp", "networks", "nettrim", "neurons", "svm"])
def test_a_paper_runs_end_to_end_and_survives_being_stopped(
    paper: str, sipp: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("validate", paper, "--schedule", "tiny", "--json")
    straight = sipp(*words, "--store", tmp_path / "a")
    assert straight.code == 0, straight.err
    result = straight.json
    assert result["paper"] == paper and result["lines"] and result["made"]["cells"] > 3
    assert {line["schedule"] for line in result["lines"]} <= {"tiny"}

    # Stopped after each third cell, and started again until it is through.
    whole, stopped, limit = Cells.get, 0, [0]

    def breaks(self: Cells, key: Any, compute: Any) -> Any:
        if len(self.cells) >= limit[0]:
            raise KeyboardInterrupt
        return whole(self, key, compute)

    for cells in range(3, result["made"]["cells"], 3):
        limit[0] = cells
        monkeypatch.setattr(Cells, "get", breaks)
        stopped += sipp(*words, "--store", tmp_path / "b").code == 130
    monkeypatch.setattr(Cells, "get", whole)
    resumed = sipp(*words, "--store", tmp_path / "b")
    assert stopped >= 1
    assert without_times(resumed.json) == without_times(result)

    # A further run finds everything.
    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("sipp_core.zoo.training.train", never)
    monkeypatch.setattr("sipp_core.prune", never)
    assert sipp(*words, "--store", tmp_path / "b").json == resumed.json

"""`sipp bench`: what it passes on, what it shows, and how it ends."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reports
from reports import BenchRun
from reports.benches.findings import Check, Curve, Measured, Series, Skipped, read

Call = Callable[..., Any]
MET = Measured("kernel", "4 x 4 [dense]", "times faster than torch", 12.0, 11.0, 13.0, "times",
               repeats=5, target=10.0)  # fmt: skip
MISSED = dataclasses.replace(MET, family="inputs", what="time", value=3.0, unit="s", target=2.0,
                             sense="at most")  # fmt: skip
RUN = BenchRun(
    "quick", 3, "2026-01-02T03:04:05+00:00", {"processor": "abacus", "cores": "2"}, {"kernel": 1.0},
    (MET, MISSED),
    (Curve("scaling", "t", "inputs |S|", "s", (Series("dense", (2, 8), (1, 4), 1.0),), "fixed"),),
    (Check("kernel", "the bits are equal", True, "all"),),
    (Skipped("gpu", "the kernel on a GPU", "no CUDA device is at hand"),),
)  # fmt: skip


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for the benchmarks, which take minutes."""
    seen: dict[str, Any] = {"found": RUN}

    def bench(**options: Any) -> BenchRun:
        seen.update(options)
        return seen["found"]

    monkeypatch.setattr(reports, "bench", bench)
    monkeypatch.delenv("SIPP_DATA_DIR", raising=False)
    return seen


def test_a_missed_target_is_shown_and_is_no_error(sipp: Call, benches: dict[str, Any]) -> None:
    ended = sipp("bench", "--quick", "--only", "kernel", "--only", "inputs", "--threads", 1)
    assert ended.code == 0
    assert (benches["scale"], benches["only"], benches["threads"]) == (
        "quick", ["kernel", "inputs"], 1,
    )  # fmt: skip
    for words in (
        "abacus", "4 x 4 [dense]", "12 x", "at least 10 x", "yes", "at most 2 s", "NO",
        "dense as size^1.00", "no CUDA device is at hand", "1 of 1 checks hold",
        "1 of 2 targets are met",
    ):  # fmt: skip
        assert words in ended.out, words


def test_the_json_is_the_run(sipp: Call, benches: dict[str, Any], tmp_path: Path) -> None:
    ended = sipp("bench", "--json", "--data-dir", tmp_path, "--seed", 3)
    assert ended.code == 0 and read(ended.json) == RUN
    assert [one["met"] for one in ended.json["measured"]] == [True, False]
    assert (benches["scale"], benches["seed"], benches["data_dir"]) == ("full", 3, str(tmp_path))


def test_a_violated_check_is_told_by_the_exit_code(sipp: Call, benches: dict[str, Any]) -> None:
    wrong = Check("kernel", "the bits are equal", False, "3 sensitivities differ")
    benches["found"] = dataclasses.replace(RUN, checks=(wrong,))
    ended = sipp("bench")
    assert ended.code == 1
    assert "VIOLATED: the bits are equal: 3 sensitivities differ" in ended.out
    assert sipp("bench", "--json").code == 1


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (("--only", "kernels"), "'kernels'"),
        (("--threads", "-1"), "found -1"),
        (("--device", "abacus"), "'abacus'"),
        (("--seed", "x"), "--seed"),
        (("--data-dir", "/dev/null/no"), "/dev/null/no"),
    ],
)
def test_bad_options_are_refused(
    refused: Callable[..., str], words: tuple[object, ...], culprit: str
) -> None:
    assert culprit in refused("bench", *words)


def test_one_family_runs_for_real(sipp: Call) -> None:
    ended = sipp("bench", "--quick", "--only", "gpu", "--json")
    assert ended.code == 0 and ended.json["skipped"][0]["family"] == "gpu"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def build(dataset: str, out: Path, **options: Any) -> Any:
        seen.update(options)
        return reports.BuildResult(out / "index.html", out / "results.json", False, False)

    monkeypatch.setattr(reports, "build", build)
    return seen


def test_the_report_takes_a_run_from_a_file(
    sipp: Call, builds: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(RUN.summary()))
    words = ("report", "--out", tmp_path / "out", "--ledger", "none")
    assert sipp(*words, "--bench", file).code == 0
    assert read(builds["bench"]) == RUN
    assert sipp(*words).code == 0
    assert builds["bench"] is None


def test_the_report_runs_benchmarks_when_asked(
    sipp: Call, builds: dict[str, Any], benches: dict[str, Any], tmp_path: Path
) -> None:
    words = ("report", "--out", tmp_path / "out", "--ledger", "none", "--bench", "quick")
    assert sipp(*words).code == 0
    assert benches["scale"] == "quick" and read(builds["bench"]) == RUN


@pytest.mark.parametrize(
    ("text", "culprit"),
    [(None, "--bench must be"), ("{", "line 1"), ("{}", "has no 'form'"), ("[1]", "has no 'form'")],
)
def test_the_report_refuses_what_is_no_run(
    refused: Callable[..., str], builds: dict[str, Any], text: str | None, culprit: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / "bench.json"
    if text is not None:
        file.write_text(text)
    output = refused("report", "--out", tmp_path / "out", "--ledger", "none", "--bench", file)
    assert culprit in output and str(file) in output
    assert not builds and not (tmp_path / "out").exists()

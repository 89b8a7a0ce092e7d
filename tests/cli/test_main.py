"""What all commands share: help, version, the edge, and how JSON writes what JSON lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from sipp_cli import ladder, main, places, render

Call = Callable[..., Any]
COMMANDS = (
    "prune", "certify", "compress", "decompress", "bounds", "check", "report", "generalize",
    "simulate",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_what_every_command_has(
    sipp: Call, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = sipp(command, "--help")
    assert ended.code == 0
    for option in ("--json", "--seed", "--device"):
        assert option in ended.out


def test_version_help_and_unknown_commands(sipp: Call) -> None:
    assert sipp("--version").out.startswith("sipp-theory ")
    assert all(command in sipp("--help").out for command in COMMANDS)
    ended = sipp("brune")
    assert ended.code == 2 and "brune" in ended.err and "Traceback" not in ended.err


def test_run_returns_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["bounds", "--points", "10", "--dimension", "20"]) == 1
    assert main.run(["bounds"]) == 2
    assert main.run(["bounds", "--nonsense"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("two\n  lines"), 2, "sipp bounds: two lines"),
        (FileNotFoundError(2, "No such file", "x.npy"), 2, "sipp bounds: x.npy: No such file"),
        (PermissionError("no entry"), 2, "no entry"),
        (AssertionError("our fault"), 70, "internal error, please report it: our fault"),
        (typer.Exit(1), 1, ""),
    ],
)
def test_every_failure_has_its_exit_code(
    sipp: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ladder, "calibration", fail)
    ended = sipp("bounds", "--points", 10, "--dimension", 20)
    assert ended.code == code and words in ended.err
    assert ("Traceback" in ended.err) == (code == 70)
    monkeypatch.setenv("SIPP_DEBUG", "1")
    debugged = sipp("bounds", "--points", 10, "--dimension", 20)
    assert ("Traceback" in debugged.err) == (code in (2, 70))


def test_the_module_runs_and_passes_the_exit_code_on(repository: Path, tmp_path: Path) -> None:
    for words, code in ((["--version"], 0), (["bounds", "--points", "1", "--dimension", "2"], 1)):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "sipp_cli", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert done.stdout and not done.stderr


def test_json_has_no_numbers_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "a": np.float64(np.inf), "b": (float("nan"), -np.inf), "c": np.arange(2), 4: Path("x"),
        "e": None, "f": True, "g": np.bool_(False), "h": np.array([np.inf]), "i": "text",
    }  # fmt: skip
    render.show_json(value)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": "inf", "b": ["nan", "-inf"], "c": [0, 1], "4": "x", "e": None, "f": True, "g": False,
        "h": ["inf"], "i": "text",
    }  # fmt: skip
    with pytest.raises(TypeError, match="object cannot be written"):
        render.plain(object())


def test_numbers_and_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    shown = [render.number(x) for x in (1012640.0, 0.05526, np.inf, None, 3, 1e300)]
    assert shown == ["1,012,640", "0.05526", "inf", "-", "3", "1e+300"]
    render.show_table("t", ("<name", "n"), [("[red]x", "1")])
    assert "[red]x" in capsys.readouterr().out


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with render.progress() as update:
        assert update is None
    monkeypatch.setenv("FORCE_COLOR", "1")
    with render.progress() as update:
        assert update is not None
        update(1, 0, "counting")
        update(1, 2, "half [done]")


def test_places_to_write_are_tried_and_left_as_they_were(tmp_path: Path) -> None:
    places.refuse_unwritable(tmp_path / "new" / "folder", folder=True)
    places.refuse_unwritable(tmp_path / "new" / "file", folder=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    for path, folder in ((tmp_path / "file" / "out", True), (tmp_path / "file", True),
                         (tmp_path, False)):  # fmt: skip
        with pytest.raises(OSError, match=str(path)):
            places.refuse_unwritable(path, folder=folder)

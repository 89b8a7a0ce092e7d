"""`make gpu`: what it says without a GPU, what it keeps of a stopped run, its parts on a CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import sipp_core
from reports import bench

HEAVY = (
    "constriction", "cvxpy", "dask", "joblib", "matplotlib", "pydantic", "rich", "sklearn", "typer",
)  # fmt: skip
SMALL = (20, 12, 6)


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_script", repository / "scripts" / "gpu.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_script"] = module
    spec.loader.exec_module(module)
    return module


def python(repository: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=repository, env=os.environ | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_without_a_gpu_it_says_what_it_would_run(repository: Path) -> None:
    done = python(repository, "scripts/gpu.py", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    assert "nothing was run" in done.stdout
    for word in (
        "- tests:",
        "- bench:",
        "- processes:",
        "- end-to-end:",
        "test_kernel_gpu.py",
        "--bench",
    ):
        assert word in done.stdout


def test_the_command_of_the_tests_collects_what_is_marked(repository: Path, script: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("it would run them all")
    tests = next(step for step in script.steps("cuda") if step.name == "tests")
    done = python(repository, *tests.command[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" in done.stdout.splitlines()[-1] and "deselected" in done.stdout


def test_every_missing_package_is_named_with_what_it_brings(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    gone = {"triton", "hypothesis", "sklearn"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in gone else real(name)
    )
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    monkeypatch.setattr(script, "probe", lambda device: None)
    assert script.main() == 0
    message = capsys.readouterr().out
    assert "missing: triton (the GPU kernel" in message
    assert "missing: hypothesis (the tests)" in message
    assert "missing: scikit-learn (the test" in message and "missing: torch" not in message


def counting(script: Any, folder: Path, code: str) -> Any:
    """A step that leaves a mark each time that it runs."""
    mark = f"open({str(folder / 'ran')!r}, 'a').write('x'); "
    return script.Step("step", "a word", [sys.executable, "-c", mark + code], {}, 60)


def test_a_stopped_run_goes_on_where_it_was(script: Any, tmp_path: Path) -> None:
    step = counting(script, tmp_path, "print('done')")
    ran = tmp_path / "ran"
    first = script.perform(step, tmp_path, "key", 60)
    assert (first["ended"], first["output"]) == (0, "done\n")
    assert script.perform(step, tmp_path, "key", 60)["output"] == "done\n"
    assert ran.read_text() == "x"
    script.perform(step, tmp_path, "another machine", 60)
    assert ran.read_text() == "xx"
    failing = counting(script, tmp_path, "raise SystemExit(3)")
    for _ in range(2):  # what failed is run again
        assert script.perform(failing, tmp_path, "third", 60)["ended"] == 3
    assert ran.read_text() == "xxxx"


def test_what_cannot_run_says_why(script: Any, tmp_path: Path) -> None:
    lacking = script.Step("step", "a word", ["no"], {"nothing": ("no_such_package", "a test")}, 9)
    result = script.perform(lacking, tmp_path, "key", 60)
    assert result["ended"] is None and result["why"] == "lacks nothing (a test)"
    slow = script.Step("slow", "a word", [sys.executable, "-c", "input()"], {}, 0)
    slow.command[-1] = "import time; print('so far', flush=True); time.sleep(60)"
    late = script.perform(replace(slow, most=1), tmp_path, "key", 60)
    assert "took longer" in late["why"] and late["output"] == "so far\n"
    assert script.perform(slow, tmp_path, "other", 1)["why"] == "no time is left"
    assert list(script.rows("slow", result)) == [("slow", "not run", result["why"])]


def test_packages_of_another_folder_are_seen_by_the_steps(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "carried.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    step = counting(script, tmp_path, "import carried, sipp_core")
    assert script.perform(step, tmp_path, "key", 60)["ended"] == 0


def test_figures_of_the_bench_and_of_the_run_stand_in_the_table(script: Any) -> None:
    messages = json.dumps(bench(scale="tiny", only=["gpu"], threads=1).summary())
    done = {"ended": 0, "why": "", "seconds": 3.0, "output": messages}
    assert next(iter(script.rows("bench", done))) == ("bench", "passed", "3 s")
    figures = {"measured": [{"case": "a", "what": "b", "value": 1.25, "unit": "s"}]}
    lines = list(script.rows("bench", done | {"output": json.dumps(figures)}))
    assert lines[1] == ("bench", "a: b", "1.25 s")
    broken = list(script.rows("bench", done | {"ended": 1, "output": "no JSON"}))
    assert broken == [("bench", "FAILED (1)", "3 s"), ("bench", "last line", "no JSON")]
    lines = list(
        script.rows("end-to-end", done | {"output": 'a word\n{"agree": "yes", "gap": 0.5}'})
    )
    assert lines[1:] == [("end-to-end", "agree", "yes"), ("end-to-end", "gap", "0.5")]
    assert script.table(lines).splitlines()[1] == "| --- | --- | --- |"


def test_a_device_that_prunes_otherwise_is_noticed(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert script.end_to_end("cpu", SMALL, 40)["agree"] == "yes"
    calls: list[float] = []

    def other(*given: Any, keep: float, **named: Any) -> Any:
        calls.append(keep)
        return real(*given, keep=keep if len(calls) == 1 else keep / 2, **named)

    real = sipp_core.prune
    monkeypatch.setattr(sipp_core, "prune", other)
    assert script.end_to_end("cpu", SMALL, 40)["agree"] == "NO"


def test_two_processes_on_one_device_come_to_the_masks_of_one(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert script.together("cpu", SMALL)["agree"] == "yes"
    monkeypatch.setattr(script, "rank_of", lambda asked: {"masks": "others"})
    assert script.together("cpu", SMALL)["agree"] == "NO"


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton here")
def test_the_kernel_in_tritons_interpreter_gives_the_same_network(repository: Path) -> None:
    """The second run of the two measures with the GPU's kernel, as a device would."""
    code = f"""
import sys; sys.path.insert(0, "scripts")
import gpu, sipp_core
from sipp_core.sensitivity import kernel
ran, real = [], sipp_core.prune
def prune(*given, **named):
    if ran:
        kernel.kernel_for = lambda *anything: "gpu"
        raised = kernel.kernel_gpu.raise_maxima
        def noted(*given, **named):
            ran.append("gpu"); raised(*given, **named)
        kernel.kernel_gpu.raise_maxima = noted
    ran.append("prune")
    return real(*given, **named)
sipp_core.prune = prune
found = gpu.end_to_end("cpu", {SMALL}, 24)
assert "gpu" in ran, ran
print(found["agree"])
"""
    done = python(repository, "-W", "ignore", "-c", code, TRITON_INTERPRET="1")
    assert done.stdout.strip() == "yes", done.stdout + done.stderr


def test_nothing_is_imported_that_a_gpu_run_does_not_need(repository: Path) -> None:
    code = f"""
import sys; sys.path.insert(0, "scripts")
import gpu
run = gpu.measured("cpu", "tiny")
assert run["skipped"] and run["agree"] == "yes"
gpu.end_to_end("cpu", {SMALL}, 24)
print(sorted(set(sys.modules) & set({HEAVY!r})))
"""
    done = python(repository, "-c", code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr

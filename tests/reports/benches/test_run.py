"""Benchmarks: the method on a made-up clock, every family in a tiny setting, and honest checks."""

from __future__ import annotations

import json
import math
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reports import BenchRun, bench
from reports.benches import (
    child,
    children,
    gpu,
    kernel,
    machine,
    method,
    peers,
    processes,
    pruning,
    references,
    scaling,
    subjects,
)
from reports.benches.findings import Check, Findings, Measured, read
from reports.benches.run import FAMILIES
from sipp_core.sensitivity import kernel as core
from tests import forked

TINY = subjects.Setting("tiny")


class Clock:
    """Seconds that pass only while a way runs."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, list[str]()

    def __call__(self) -> float:
        return self.now

    def way(self, name: str, costs: Iterator[float]) -> method.Way:
        def run() -> None:
            self.calls.append(name)
            self.now += next(costs)

        return run


def test_a_race_warms_up_takes_turns_and_keeps_rounds_together() -> None:
    clock = Clock()
    ways = {"a": clock.way("a", iter([9.0, 5.0, 1.0, 2.0, 3.0])),
            "b": clock.way("b", iter([8.0, 5.0, 4.0, 2.0, 30.0]))}  # fmt: skip
    times = method.race(ways, 3, clock=clock)
    # First calls, warm-ups, then rounds, every other one backwards.
    assert "".join(clock.calls) == "ab" + "ab" + "ab" + "ba" + "ab"
    assert (times["a"].first, times["b"].first) == (9.0, 8.0)
    assert times["a"].runs == (1.0, 2.0, 3.0) and times["b"].runs == (4.0, 2.0, 30.0)
    # Ratios are 4, 1 and 10; the ratio of the medians would be 2.
    assert method.ratio(times["b"], times["a"]) == method.Spread(4.0, 2.5, 7.0, 3)
    assert method.difference(times["b"], times["a"]) == method.Spread(3.0, 1.5, 15.0, 3)
    assert method.rate(12.0, times["a"]).median == 6.0


def test_one_run_has_no_spread() -> None:
    assert method.spread([2.5]) == method.Spread(2.5, 2.5, 2.5, 1)


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 2.0])
def test_the_exponent_of_a_power_law_is_found(power: float) -> None:
    sizes = [2.0, 8.0, 32.0, 100.0]
    result = method.series("law", sizes, [3 * x**power for x in sizes])
    assert result.exponent == pytest.approx(power, abs=1e-12)


def test_nothing_is_fitted_to_one_size_or_to_nothing() -> None:
    assert method.series("one", [4], [1.0]).exponent is None
    assert method.series("none", [4, 8], [0.0, 1.0]).exponent is None


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), method.threads(2):
        assert torch.get_num_threads() == 2
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("value", "sense", "met"),
    [(9.9, "at least", False), (10.0, "at least", True), (10.1, "at most", False),
     (10.0, "at most", True), (math.inf, "at most", False)],
)  # fmt: skip
def test_a_target_is_met_or_not(value: float, sense: str, met: bool) -> None:
    one = Measured("f", "c", "w", value, value, value, "s", target=10.0, sense=sense)
    assert one.met is met
    assert Measured("f", "c", "w", value, value, value, "s").met is None


# Families that start processes are tested one by one below.
ALONE = ("monte-carlo", "convolution", "processes", "sharded", "svm")


@pytest.fixture(scope="module")
def run() -> BenchRun:
    seen: list[tuple[int, int, str]] = []
    only = [name for name in FAMILIES if name not in ALONE]
    done = bench(scale="tiny", only=only, threads=1, progress=lambda *at: seen.append(at))
    assert [name for _, _, name in seen] == [*only, "done"] and seen[-1][:2] == (11, 11)
    return done


def sound(found: Findings | BenchRun) -> None:
    assert all(check.holds for check in found.checks), found.checks
    for one in found.measured:
        assert one.unit in ("s", "times", "pairs/s", "GB/s", "MiB", "relative"), one
        assert math.isfinite(one.value) and one.low <= one.value <= one.high, one
        assert one.unit in ("relative", "MiB") or one.value > 0 or "less" in one.what, one
        assert one.case and one.what and one.repeats >= 1
    for curve in found.curves:
        for line in curve.series:
            assert len(line.x) == len(line.y) > 1 and list(line.x) == sorted(line.x)
    for left_out in found.skipped:
        assert left_out.what and left_out.why


def test_every_family_gives_figures_of_the_right_shape(run: BenchRun) -> None:
    sound(run)
    output = {one.family for one in (*run.measured, *run.curves, *run.skipped)}
    assert output == set(FAMILIES) - set(ALONE) == set(run.families)
    checked = {"kernel", "allocation", "planning", "prune", "files", "net-trim"}
    assert {c.family for c in run.checks} == checked
    # The cases that targets speak of are not run in a tiny setting.
    assert {one.what for one in run.measured if one.target} == {"difference of the objectives"}
    assert run.machine["cores"] == str(machine.cores()) and run.machine["torch"]


def test_a_run_survives_json(run: BenchRun) -> None:
    text = json.dumps(run.summary(), allow_nan=False)
    assert read(json.loads(text)) == run


def test_what_is_no_run_is_refused(run: BenchRun) -> None:
    good = run.summary()
    for bad, words in (
        ([], "no output of `sipp bench --json`"),
        ({}, "has no 'form'"),
        (good | {"form": 0}, "form must be 1; found 0"),
        (good | {"curves": 3}, "curves must be a list; found int"),
        ({k: v for k, v in good.items() if k != "date"}, "missing .'date'."),
        (good | {"more": 1}, "unknown .'more'."),
        (good | {"checks": [{"holds": True}]}, "checks.0. is no Check: missing"),
        (good | {"measured": [3]}, "measured.0. must be an object; found int"),
    ):
        with pytest.raises(ValueError, match=words):
            read(bad)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"scale": "huge"}, "scale must be one of full, quick, tiny; found 'huge'"),
        ({"only": ["kernels"]}, "family must be one of .*; found 'kernels'"),
        ({"seed": -1}, "seed must lie in"),
        ({"threads": 10_000}, "threads must be from 0 to the .* cores; found 10000"),
    ],
)
def test_bad_arguments_are_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bench(**{"scale": "tiny", **asked})


def test_missing_mnist_is_refused_before_any_work(tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError, match="mnist"):
        bench(scale="tiny", data_dir=tmp_path)


@pytest.mark.parametrize("way", [references.by_neuron, references.by_input])
def test_the_references_compute_sensitivities(way: Any) -> None:
    given = [subjects.single(TINY, 5, 7, 9, lit=0.5)]
    expected = core.new_accumulator(given[0].weight, support=False)
    core.update(expected, given[0].weight, given[0].activations, None)
    assert torch.allclose(way(given)[0], expected.maximum, rtol=1e-5, atol=0)
    for threads in (1, 2, 7):
        assert torch.equal(references.numba_loop(given, threads)[0], expected.maximum)


def test_a_wrong_kernel_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = core.update_maxima

    def wrong(acc: core.Accumulator, *given: Any) -> None:
        right(acc, *given)
        acc.maximum[0, 0] = torch.nextafter(acc.maximum[0, 0], torch.tensor(2.0))

    monkeypatch.setattr(core, "update_maxima", wrong)
    broken = [check for check in kernel.run(TINY).checks if not check.holds]
    assert len(broken) == 4 and all("bits" in check.what for check in broken)
    assert not gpu.on(TINY, torch.device("cpu")).checks[0].holds


def test_a_wrong_optimum_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from reports.benches import allocation

    right = allocation._ours
    monkeypatch.setattr(allocation, "_ours", lambda *given: right(*given) * (1 + 3e-6))
    broken = [check.what for check in allocation.run(TINY).checks if not check.holds]
    assert len(broken) == 2 and all("objective" in what for what in broken)


def test_a_layer_that_is_trimmed_worse_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from reports.benches import trimming

    right = trimming._joined
    monkeypatch.setattr(trimming, "_joined", lambda program: right(program) * (1 - 1e-3))
    assert not trimming.run(TINY).checks[0].holds  # smaller, and no longer feasible
    monkeypatch.setattr(trimming, "_joined", lambda program: program.start)
    assert not trimming.run(TINY).checks[0].holds  # feasible, and not sparse


def test_another_mask_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pruning.by_torch

    def wrong(model: nn.Module) -> nn.Module:
        result = right(model)
        with torch.no_grad():
            result.get_parameter("fc1.weight")[0, :3] = 1.0
        return result

    monkeypatch.setattr(pruning, "by_torch", wrong)
    assert not pruning._same_mask(TINY).holds


def test_the_kernel_on_a_device_is_timed_and_compared() -> None:
    result = gpu.on(TINY, torch.device("cpu"))
    sound(result)
    assert [one.unit for one in result.measured] == ["s", "s", "times", "pairs/s"] * 2
    assert len({one.case for one in result.measured}) == 2


def test_the_clock_of_a_device_that_torch_does_not_tell_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gpu.clock(SimpleNamespace(clock_rate=1_500_000)) == 1.5e6
    output = SimpleNamespace(stdout="1980\n1980\n")
    monkeypatch.setattr(gpu.subprocess, "run", lambda *words, **how: output)
    assert gpu.clock(SimpleNamespace()) == gpu.clock(SimpleNamespace(clock_rate=0)) == 1.98e6


@pytest.mark.gpu
def test_the_kernel_on_cuda_is_held_against_its_ceiling() -> None:
    result = gpu.run(subjects.Setting("tiny", device="cuda"))
    sound(result)
    assert result.measured[-1].target == gpu.HALF


def test_a_missing_peer_is_skipped_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchprune", None)
    (left_out,) = peers.run(TINY).skipped
    assert "torchprune" in left_out.what and left_out.why


def fake_torchprune(monkeypatch: pytest.MonkeyPatch, fails: bool) -> list[float]:
    """A stand-in with the calls of the authors' package that are used."""
    kept: list[float] = []

    class Net:
        def __init__(self, handle: nn.Module, loader: Any, loss: nn.Module) -> None:
            self.handle, self.loader = handle, loader

        def compress(self, keep_ratio: float) -> None:
            print("Processed sensitivity batch")
            for images, _ in self.loader:
                self.handle(images)
            if fails:
                raise AttributeError("np.Inf was removed")
            kept.append(keep_ratio)

    def handle(net: nn.Module, name: str) -> nn.Module:
        return net

    package: Any = types.ModuleType("torchprune")
    package.SiPPNetRand = Net
    package.util = types.SimpleNamespace(net=types.SimpleNamespace(NetHandle=handle))
    monkeypatch.setitem(sys.modules, "torchprune", package)
    return kept


def test_a_peer_that_is_here_is_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = fake_torchprune(monkeypatch, fails=False)
    result = peers.run(TINY)
    sound(result)
    assert [one.unit for one in result.measured] == ["s", "s", "times"] and not result.skipped
    assert kept == [peers.KEEP] * 2 and capsys.readouterr().out == ""


def test_a_peer_that_fails_is_skipped_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torchprune(monkeypatch, fails=True)
    result = peers.run(TINY)
    assert not result.measured and "np.Inf was removed" in result.skipped[0].why


def test_processes_save_the_same_bytes() -> None:
    result = processes.run(TINY)
    sound(result)
    assert [one.threads for one in result.measured] == [1, 2]
    assert result.checks[0].what == "1, 2 processes save the same bytes"


def test_other_bytes_are_noticed() -> None:
    same: dict[int, list[dict[str, Any]]] = {1: [{"bytes": ["a"]}], 2: [{"bytes": ["a"]}] * 2}
    assert processes._same_bytes(same).holds
    for other in (
        {3: [{"bytes": ["b"]}]},
        {2: [{"bytes": ["a"]}, {"bytes": ["b"]}]},
        {1: [{"bytes": ["a", "b"]}]},
    ):
        assert not processes._same_bytes(same | other).holds


def test_a_process_that_fails_is_named() -> None:
    with pytest.raises(RuntimeError, match="measures 'measure' ended with 1: KeyError: 'kind'"):
        children.child("measure", {})


class ForkedChild:
    """A process that was forked, with what `children` asks of one that was started."""

    def __init__(self, process: forked.Forked) -> None:
        self.process, self.returncode = process, -1

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.returncode, out, err = self.process.finish()
        return out, err


@pytest.mark.skipif(not children.tells_memory(), reason="no /proc to read the peak from")
@pytest.mark.parametrize("family", ["monte-carlo", "convolution", "sharded", "svm"])
def test_peak_memory_is_told(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(task: str, options: Any, *_: Any) -> Any:
        return ForkedChild(forked.start(tmp_path, os.environ, child.main, task, dict(options)))

    # `processes` and a process that fails are started as they are in a bench.
    monkeypatch.setattr(children, "start", start)
    result = FAMILIES[family](TINY)
    sound(result)
    assert any(one.unit == "MiB" for one in result.measured)


@pytest.mark.skipif(not children.tells_memory(), reason="no /proc to read the peak from")
@pytest.mark.parametrize("what", scaling.AFTERWARDS)
def test_what_follows_pruning_is_measured_too(what: str) -> None:
    answer = child.TASKS["afterwards"]({"width": 8, "layers": 2, "inputs": 300, "what": what})
    assert answer["weights"] == 128 and answer["seconds"] > 0 and answer["mib"] >= 0


@pytest.mark.parametrize("family", ["monte-carlo", "convolution", "sharded", "scaling", "svm"])
def test_a_system_that_tells_no_memory_is_said_so(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "tells_memory", lambda: False)
    (left_out,) = FAMILIES[family](TINY).skipped
    assert "peak memory" in left_out.why


def test_synthetic_digits_are_as_dark_as_mnist(mnist_dir: Any) -> None:
    result, which = subjects.digits(TINY, 500)
    real, what = subjects.digits(subjects.Setting(data_dir=str(mnist_dir)), 500)
    assert "synthetic" in which and what == "MNIST" and result.shape == real.shape
    lit = [float((x > 0).float().mean()) for x in (result, real)]
    assert lit[0] == pytest.approx(lit[1], abs=0.02)
    borders = result.reshape(-1, 28, 28)[:, 0]
    assert float((borders > 0).float().mean()) < 0.05


def test_a_violated_check_is_listed() -> None:
    checks = (Check("kernel", "a", True, ""), Check("kernel", "b", False, "1 differs"))
    run = BenchRun("tiny", 0, "", {}, {}, (), (), checks, ())
    assert run.violated == checks[1:]


def test_the_operands_are_those_of_the_network() -> None:
    model, x = subjects.lenet(TINY), torch.rand(3, 784)
    result = subjects.through(model, x)
    assert [tuple(p.weight.shape) for p in result] == [(300, 784), (100, 300), (10, 100)]
    assert subjects.pairs(result) == 3 * 266_200
    assert all(bool((p.activations >= 0).all()) for p in result)
    expected: Tensor = (x @ result[0].weight.clamp(min=0).T).reciprocal()
    assert torch.equal(result[0].inverse[0], expected)

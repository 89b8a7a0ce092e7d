"""The kernel on the CPU against torch in chunks, a plain compiled loop, and loops in Python."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from reports.benches import ceiling, references
from reports.benches.children import child
from reports.benches.findings import Check, Findings, Measured, Skipped
from reports.benches.method import (
    Timing,
    figure,
    race,
    rate,
    ratio,
    same_bits,
    seconds,
    threads,
    versus,
)
from reports.benches.subjects import Problem, Setting, digits, lenet, maxima, pairs, single, through

FAMILY = "kernel"
OURS, CHUNKS, LOOP = "sipp's kernel", "torch in chunks", "two-line numba loop"
BATCH, INPUT = "Python loop over neurons, whole batch", "Python loop over inputs and neurons"
DENSE_RATE = 15e9  # pairs a second on two cores
FASTER = 10.0
NAMED_ROWS, NAMED_SIDE = 256, 4096  # the cases that the targets name


def run(setting: Setting) -> Findings:
    """Race every way on every case, with each number of threads."""
    measured: list[Measured] = []
    checks: list[Check] = []
    rows = setting.size(4, 256, 256)
    generator = setting.generator()
    dense = through(lenet(setting), torch.rand(rows, 784, generator=generator))
    inputs, which = digits(setting, rows)
    sparse = through(lenet(setting), inputs)
    for count in setting.threads:
        with threads(count):
            top = ceiling.pairs_a_second(setting, count)
            name = f"LeNet-300-100, {rows} dense inputs"
            named = rows == NAMED_ROWS
            measured += _case(setting, name, dense, count, top, checks, aimed=named)
            name = f"LeNet-300-100, {rows} inputs, {which}"
            measured += _case(setting, name, sparse, count, top, checks)
            for problem, name, aimed in _single_layers(setting):
                measured += _case(setting, name, [problem], count, top, checks, aimed=aimed)
    measured += _python_loops(setting, dense, checks)
    compiled, skipped = _compilation(setting)
    return Findings((*measured, *compiled), (), tuple(checks), skipped)


def _single_layers(setting: Setting) -> Iterator[tuple[Problem, str, bool]]:
    side, rows = setting.size(16, 1024, 4096), setting.size(8, 256, 1024)
    yield (
        single(setting, side, side, rows),
        f"{side} x {side}, {rows} dense rows",
        side == NAMED_SIDE,
    )
    lit = single(setting, side, side, rows, lit=0.3)
    yield lit, f"{side} x {side}, {rows} rows, 70% zeros", False


def _case(
    setting: Setting,
    case: str,
    problems: list[Problem],
    count: int,
    top: float,
    checks: list[Check],
    aimed: bool = False,
) -> list[Measured]:
    """Figures of one case; `aimed`: whether it has targets."""
    quick = pairs(problems) < 2**30
    checks += _equal(case, count, problems)
    ours: Callable[[], object] = lambda: maxima(problems)  # noqa: E731
    rivals = {
        CHUNKS: lambda: maxima(problems, chunked=True),
        LOOP: lambda: references.numba_loop(problems, count),
    }
    times = race({OURS: ours, **rivals}, setting.size(1, 7, 15 if quick else 3), warm_ups=quick)
    rows = versus(FAMILY, case, times, OURS, threads=count)
    if aimed:
        rows = [
            replace(one, target=FASTER) if one.what == f"times faster than {CHUNKS}" else one
            for one in rows
        ]
    # The issue asks for so much of two cores where every product has to be looked at.
    target = DENSE_RATE if aimed and count == 2 and len(problems) == 1 else None
    return rows + _rates(case, problems, times[OURS], count, top, target)


def _rates(
    case: str, problems: list[Problem], timing: Timing, count: int, top: float, target: float | None
) -> list[Measured]:
    done = rate(pairs(problems), timing)
    share = rate(pairs(problems) / top, timing)
    note = "pairs decided: zeros and pairs that can raise nothing are passed over, so 1 is no limit"
    return [
        figure(FAMILY, case, OURS, done, "pairs/s", threads=count, target=target),
        figure(
            FAMILY, case, "kernel over measured ceiling", share, "times", threads=count, note=note
        ),
    ]


def _equal(case: str, count: int, problems: Sequence[Problem]) -> list[Check]:
    """The kernel's bits are those of torch in chunks, and of the compiled loop."""
    checks = []
    few = [_first_rows(one) for one in problems]
    expected = maxima(few, chunked=True)
    for way, got in ((OURS, maxima(few)), (LOOP, references.numba_loop(few, count))):
        bad = _unequal(got, expected)
        what = f"{way} gives the bits of {CHUNKS}: {case}, {_threads(count)}"
        checks.append(same_bits(FAMILY, what, bad))
    return checks


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _first_rows(one: Problem) -> Problem:
    """Rows enough to compare bits without waiting for the slow way twice."""
    rows = max(1, min(len(one.activations), 2**31 // one.weight.numel()))
    return Problem(one.weight, one.inverse[:, :rows].contiguous(), one.activations[:rows])


def _unequal(got: Sequence[Tensor], expected: Sequence[Tensor]) -> int:
    return sum(int((a != b).sum()) for a, b in zip(got, expected, strict=True))


def _python_loops(
    setting: Setting, problems: list[Problem], checks: list[Check]
) -> Iterator[Measured]:
    """The way of the authors' public code, in our words: one input at a time, and by batch."""
    rows = len(problems[0].activations)
    few = setting.size(2, 16, rows)
    part = [Problem(p.weight, p.inverse[:, :few].contiguous(), p.activations[:few])
            for p in problems]  # fmt: skip
    case = f"LeNet-300-100, {few} dense inputs"
    for way, run, given, name in (
        (BATCH, references.by_neuron, problems, f"LeNet-300-100, {rows} dense inputs"),
        (INPUT, references.by_input, part, case),
    ):
        gap = max(
            float((a - b).abs().max())
            for a, b in zip(run(given), maxima(given), strict=True)
        )  # fmt: skip
        checks.append(
            Check(
                FAMILY, f"{OURS} agrees with the {way}: {name}", gap <= 1e-5,
                f"largest difference {gap:.1e}; the loop rounds in another order",
            )
        )  # fmt: skip
        ways = {OURS: lambda given=given: maxima(given),
                way: lambda given=given, run=run: run(given)}  # fmt: skip
        with threads(setting.threads[0]):
            times = race(ways, setting.size(1, 3, 3), warm_ups=0)
        note = "as the authors' public code works, written in our own words"
        yield seconds(FAMILY, name, way, times[way], threads=setting.threads[0], note=note)
        yield figure(
            FAMILY, name, f"times faster than {way}", ratio(times[way], times[OURS]), "times",
            threads=setting.threads[0],
        )  # fmt: skip


def _compilation(setting: Setting) -> tuple[list[Measured], tuple[Skipped, ...]]:
    """First call in a new process: with nothing compiled yet, and with all of it on disk."""
    if setting.scale != "full":
        why = "a minute of compiling for nothing else; the full run has it"
        return [], (Skipped(FAMILY, "first call with nothing compiled yet", why),)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for what in ("first call, nothing compiled yet", "first call, compiled before"):
            answer = child("first", {"rows": 16}, environment={"NUMBA_CACHE_DIR": folder})
            once = answer["first"]
            rows.append(
                Measured(
                    FAMILY, "LeNet-300-100, a new process", what, once, once, once, "s",
                    note="loading and compiling; one run, with imports done",
                )
            )  # fmt: skip
    return rows, ()

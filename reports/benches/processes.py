"""Many processes: the same saved bytes from one, two and three, and how long each takes."""

from __future__ import annotations

import tempfile
from typing import Any

from reports.benches.children import finish, start
from reports.benches.findings import Check, Curve, Findings
from reports.benches.machine import cores
from reports.benches.method import figure, series, spread
from reports.benches.subjects import Setting

FAMILY = "processes"
SIZES = (1, 2, 3)


def run(setting: Setting) -> Findings:
    """Prune LeNet-300-100 by gloo groups of each size, one thread a process."""
    inputs, repeats = setting.size(300, 4096, 60_000), setting.size(1, 3, 5)
    sizes = setting.size(SIZES[:2], SIZES, SIZES)
    options = {"inputs": inputs, "repeats": repeats, "seed": setting.seed}
    answers = {size: together(size, options) for size in sizes}
    measured, medians = [], []
    for size, ranks in answers.items():
        # A round is over when its slowest process is.
        rounds = spread([max(times) for times in zip(*(r["seconds"] for r in ranks), strict=True)])
        medians.append(rounds.median)
        note = f"more processes than the {cores()} cores" if size > cores() else ""
        case = f"LeNet-300-100, {inputs:,} synthetic inputs"
        what = f"prune, {size} process{'es' if size > 1 else ''}"
        measured.append(figure(FAMILY, case, what, rounds, "s", threads=size, note=note))
    fixed = f"{inputs:,} inputs, gloo, one thread each, {cores()} cores"
    peaks = [max(each["mib"] for each in answers[size]) for size in sizes]
    curves = (
        Curve(
            FAMILY, "time-processes", "processes", "s", (series("prune", sizes, medians),), fixed
        ),
        Curve(
            FAMILY, "memory-processes", "processes", "MiB", (series("prune", sizes, peaks),),
            f"the most that one process adds; {fixed}",
        ),
    )  # fmt: skip
    return Findings(tuple(measured), curves, (_same_bytes(answers),))


def together(size: int, options: dict[str, Any]) -> list[dict[str, Any]]:
    """The result of each rank of a group."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = [options | {"folder": folder, "size": size, "rank": rank} for rank in range(size)]
        started = [start("rank", task) for task in tasks]
        try:
            return [finish(process, f"rank of {size}") for process in started]
        finally:
            for process in started:
                if process.poll() is None:
                    process.kill()
                    process.communicate()


def _same_bytes(answers: dict[int, list[dict[str, Any]]]) -> Check:
    digests = {
        size: {b for rank in ranks for b in rank["bytes"]} for size, ranks in answers.items()
    }
    same = len(set().union(*digests.values())) == 1
    words = "; ".join(
        f"{size}: {', '.join(sorted(b[:8] for b in d))}" for size, d in digests.items()
    )
    sizes = ", ".join(map(str, answers))
    return Check(FAMILY, f"{sizes} processes save the same bytes", same, f"sha256 by size: {words}")

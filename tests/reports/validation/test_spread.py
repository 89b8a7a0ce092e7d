"""Cells over processes: the rows of one process, and a killed worker costs one cell."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reports.validation import run
from reports.validation.cells import Cells
from reports.validation.spread import Work, spread
from reports.validation.subjects import ModelStore
from reports.validation.work import Meter, Task, perform

Json = dict[str, Any]


def cells_of(folder: Path, store: ModelStore, seed: int) -> Iterator[Task]:
    """Two methods of three cells; the last of method a is killed once."""

    def make(name: str) -> Json:
        with (folder / name).open("a") as file:
            file.write("x")
        if name == "a2" and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"value": float(ord(name[0]) + int(name[1]))}

    for method in "ab":
        for keep in range(3):
            key = {"net": "n", "part": "p", "method": method, "keep": keep, "seed": seed}
            yield key, lambda name=f"{method}{keep}": make(name)


def test_a_killed_worker_costs_the_cell_that_it_was_at(tmp_path: Path) -> None:
    store = ModelStore(folder=tmp_path / "networks")
    tasks = [list(cells_of(tmp_path, store, 0))]
    work = Work(
        cells_of, (tmp_path,), 0, tmp_path / "cells.jsonl", "", None, tmp_path / "networks", "cpu",
        1,
    )  # fmt: skip
    cells, seen = Cells(work.cells), list[tuple[int, int]]()
    spread(work, tasks, cells, Meter(lambda done, total, what: seen.append((done, total))), 2)
    times = {name: len((tmp_path / name).read_text()) for name in ("a0", "a1", "a2")}
    assert times == {"a0": 1, "a1": 1, "a2": 2}
    assert seen[-1] == (6, 6) and seen == sorted(seen)
    rows = perform(tasks[0], cells, Meter(None))
    assert [row["value"] for row in rows] == [97, 98, 99, 98, 99, 100]
    # The file is that of a run on one process: another one finds all of it there.
    again = Cells(work.cells)
    assert all(again.has(key) for key, _ in tasks[0])
    assert (tmp_path / "a2").read_text() == "xx"


def test_two_processes_come_to_the_table_of_one(tmp_path: Path) -> None:
    given: Json = {"schedule": "tiny", "methods": "random", "seeds": 1}
    alone = run.validate("sipp", **given)
    shared = run.validate("sipp", **given, jobs=2, folder=tmp_path)
    assert shared.lines == alone.lines and shared.curves == alone.curves
    assert shared.made["cells"] == alone.made["cells"]

"""Cells of an experiment over processes: each makes the tasks from the plans, and does some.

A unit of work is a run of cells of one network, part, method and seed, as a cascade goes on from
its last step. A worker writes each cell when it is done, so one that is killed costs the cell that
it was at. On a cluster the folder must be one that all machines see.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from reports.validation.cells import Cells
from reports.validation.subjects import ModelStore
from reports.validation.work import Meter, Task, in_words
from sipp_core.runtime import as_done, some_threads

Json = dict[str, Any]
LOADED = ("torch", "sipp_core.methods", "sipp_core.zoo", "sklearn.svm", "reports.validation.run")


@dataclass(frozen=True)
class Work:
    """All that a worker makes the tasks of an experiment from.

    Attributes:
        tasks: every cell of a plan, as in `Paper`.
        plans: the plans.
        seed: of the first network.
        cells: file of finished cells, or None.
        command: what the user typed.
        data_dir: folder of the data files.
        networks: folder of trained networks.
        device: where torch computes.
        threads: CPU threads of training.
    """

    tasks: Callable[[Any, ModelStore, int], Iterator[Task]]
    plans: tuple[Any, ...]
    seed: int
    cells: Path | None
    command: str
    data_dir: str | PathLike[str] | None
    networks: Path
    device: str
    threads: int


@functools.lru_cache(maxsize=1)
def _tasks_of(work: Work) -> list[list[Task]]:
    """The tasks of each plan; with them a worker keeps its networks and calibrations."""
    store = ModelStore(work.data_dir, work.networks, work.device, work.threads)
    return [list(work.tasks(plan, store, work.seed)) for plan in work.plans]


def _units(tasks: Sequence[Sequence[Task]], cells: Cells) -> list[tuple[int, tuple[int, ...]]]:
    """Plan and places of the cells that are left, those that need another network first."""
    first, rest = list[tuple[int, tuple[int, ...]]](), list[tuple[int, tuple[int, ...]]]()
    for plan, own in enumerate(tasks):
        seeds = set[object]()

        def kind(place: int, own: Sequence[Task] = own) -> tuple[object, ...]:
            return tuple(own[place][0].get(name) for name in ("part", "method", "seed"))

        left = (place for place, (key, _) in enumerate(own) if not cells.has(key))
        for (*_, seed), places in itertools.groupby(left, kind):
            (rest if seed in seeds else first).append((plan, tuple(places)))
            seeds.add(seed)
    return first + rest


def _some(work: Work, plan: int, places: tuple[int, ...]) -> list[Json]:
    """Cells of a unit: read where a killed worker left them, or computed."""
    cells, tasks = Cells(work.cells, work.command, work.device), _tasks_of(work)[plan]
    with some_threads(work.threads):
        for place in places:
            cells.get(*tasks[place])
    return cells.taken([tasks[place][0] for place in places])


def spread(
    work: Work, tasks: Sequence[Sequence[Task]], cells: Cells, meter: Meter, jobs: int | None
) -> None:
    """Make all cells of the tasks of each plan that are not there yet."""
    cells.begin()
    units = _units(tasks, cells)
    done, total = sum(map(len, tasks)) - sum(len(p) for _, p in units), sum(map(len, tasks))
    meter.at(done, total, f"{len(units)} units of work")
    for place, cell in as_done(_some, [(work, *unit) for unit in units], jobs, LOADED):
        cells.take(cell)
        plan, places = units[place]
        done += len(places)
        meter.at(done, total, in_words(tasks[plan][places[-1]][0]))

"""The work of an experiment as a list of cells, done one after the other with the time left."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

from reports.validation.cells import Cells
from reports.validation.sources import source_digest
from reports.validation.subjects import AnyPlan

Json = dict[str, Any]
Task = tuple[Json, Callable[[], Json]]
Progress = Callable[[int, int, str], None]
# Seconds between two estimates of the time left.
PATIENCE = 2.0


class Meter:
    """Reports progress to a callback: cells done, and what goes on inside a cell."""

    def __init__(self, progress: Progress | None) -> None:
        """Tell nobody if there is no callback."""
        self._progress, self._at = progress, (0, 0, "")
        self.heard = progress is not None

    def at(self, done: int, total: int, what: str) -> None:
        """So many cells are done, and this one is next."""
        self._at = (done, total, what)
        self._say(what)

    def inside(self, done: int, total: int, what: str) -> None:
        """Within the cell so many epochs (or inputs) are done."""
        of = f" of {total}" if total else ""
        self._say(f"{self._at[2]}; {what} {done}{of}")

    def _say(self, what: str) -> None:
        if self._progress is not None:
            self._progress(*self._at[:2], what)


def perform(tasks: Iterable[Task], cells: Cells, meter: Meter) -> list[Json]:
    """Do all tasks whose cells are not there yet."""
    jobs = list(tasks)
    keys = [key for key, _ in jobs]
    rows = []
    left, shown = "", -math.inf
    for number, (key, make) in enumerate(jobs):
        # Looking through all cells for each of thousands would take longer than they do.
        if meter.heard and time.monotonic() - shown > PATIENCE:
            left, shown = _left(cells.remaining(keys)), time.monotonic()
        meter.at(number, len(jobs), f"{in_words(key)}{left}")
        rows.append(key | cells.get(key, make))
    meter.at(len(jobs), len(jobs), "done")
    return rows


def in_words(key: Json) -> str:
    """A cell in words."""
    words = [key.get(name) for name in ("net", "part", "method")]
    return f"{' '.join(str(word) for word in words if word)}, seed {key['seed']}"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f", about {seconds:.0f} s left"
    minutes = seconds / 60
    return (
        f", about {minutes:.0f} min left" if minutes < 90 else f", about {minutes / 60:.1f} h left"
    )


def settings_of(plan: AnyPlan, leave: tuple[str, ...]) -> str:
    """A short name of the settings and the code that cells depend on: those of others are stale."""
    rest = {name: value for name, value in asdict(plan).items() if name not in leave}
    rest["source"] = source_digest()
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:8]


def cell(plan: AnyPlan, settings: str, seed: int) -> Json:
    """The part of a key that all cells of a network and a seed share."""
    return {"net": plan.subject.net, "data": plan.subject.data, "schedule": plan.schedule,
            "settings": settings, "seed": seed}  # fmt: skip


def seed_by_seed(
    plan: AnyPlan, settings: str, seeds: range, cells: Callable[[int], Iterable[Task]]
) -> Iterator[Task]:
    """Name the cells of all seeds of a plan, one seed after the other."""
    for seed in seeds:
        for extra, make in cells(seed):
            yield cell(plan, settings, seed) | extra, make

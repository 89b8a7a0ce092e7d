"""Cells of an experiment on disk: a run that is stopped goes on where it stopped.

One file holds every finished cell, a line of JSON each, with machine, date, versions, a digest of
the code and the time it took. A cell is appended when it is done; a last line that was cut off is
made again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.benches.machine import describe
from reports.validation.sources import source_digest
from sipp_core.runtime import read_bytes, versions, write_atomically

Json = dict[str, Any]
Key = Mapping[str, str | int | float]
# In files of the old format no line carries a checksum.
OLD_FORMAT, FORMAT = "sipp-theory validation cells 1", "sipp-theory validation cells 2"


def machine(device: str = "cpu") -> str:
    """Describe the machine in a line."""
    facts = describe(device)
    many = "" if facts["cores"] == "1" else "s"
    words = [facts["processor"], f"{facts['cores']} core{many}", facts["memory"]]
    return ", ".join([*words, facts["device"]] if "device" in facts else words)


class Cells:
    """Finished cells of one experiment, by key."""

    def __init__(self, path: str | Path | None, command: str = "", device: str = "cpu") -> None:
        """Read what is there."""
        self.path = None if path is None else Path(path)
        self.command, self.machine = command, machine(device)
        self.cells: dict[str, Json] = {}
        if self.path is not None and self.path.is_file():
            self.cells = _read(self.path)

    def get(self, key: Key, compute: Callable[[], Json]) -> Json:
        """Value of a cell: as it stands on disk, or computed now and written."""
        name = _text(key)
        if name not in self.cells:
            started = time.perf_counter()
            value = compute()
            _check(name, value)
            self.cells[name] = {
                "key": dict(key),
                "value": value,
                "made": {
                    "seconds": round(time.perf_counter() - started, 2),
                    "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
                    "machine": self.machine,
                    "command": self.command,
                    "versions": versions(),
                    "source": source_digest(),
                },
            }
            self._append(self.cells[name])
        return self.cells[name]["value"]

    def has(self, key: Key) -> bool:
        """Whether a cell is done."""
        return _text(key) in self.cells

    def taken(self, keys: Sequence[Key]) -> list[Json]:
        """Cells as they are kept, for another process."""
        return [self.cells[_text(key)] for key in keys]

    def take(self, cells: Sequence[Json]) -> None:
        """Note cells that another process has made, and has written to the same file."""
        self.cells |= {_text(cell["key"]): cell for cell in cells}

    def begin(self) -> None:
        """Make the file, if there is none, so that several processes may append to it."""
        if self.path is not None and not self.path.is_file():
            write_atomically(self.path, (json.dumps({"format": FORMAT}) + "\n").encode())

    def remaining(self, keys: Sequence[Key]) -> float | None:
        """Seconds that the missing cells will take, by those of their kind that are done."""
        if not self.cells:
            return None
        done: dict[tuple[object, ...], list[float]] = {}
        for cell in self.cells.values():
            seconds = cell["made"]["seconds"]
            done.setdefault(_kind(cell["key"]), []).append(seconds)
            done.setdefault((), []).append(seconds)
        means = {kind: sum(values) / len(values) for kind, values in done.items()}
        missing = [key for key in keys if _text(key) not in self.cells]
        return sum(means.get(_kind(key), means[()]) for key in missing)

    def _append(self, cell: Json) -> None:
        if self.path is None:
            return
        self.begin()
        line = json.dumps(cell | {"sha256": _seal(cell)}, allow_nan=False) + "\n"
        with self.path.open("ab", buffering=0) as file:  # at once, as others may append too
            file.write(line.encode())
            os.fsync(file.fileno())

    def origin(self, keys: Sequence[Key]) -> Json:
        """Where cells came from: machines, dates, commands, code, versions, and seconds in all."""
        notes = [self.cells[_text(key)]["made"] for key in keys]
        distinct = {
            name: sorted({note[name] for note in notes})
            for name in ("machine", "date", "command", "source")
        }
        known = {f"{k} {v}" for note in notes for k, v in note["versions"].items()}
        return distinct | {
            "versions": sorted(known),
            "seconds": round(sum(note["seconds"] for note in notes), 1),
            "cells": len(notes),
        }


def _kind(key: Key) -> tuple[object, ...]:
    return tuple(key.get(name) for name in ("net", "part", "method"))


def _check(name: str, value: Json) -> None:
    for what, number in value.items():
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"{what} is {number} in cell {name}; only finite numbers are kept")


def _read(path: Path) -> dict[str, Json]:
    """Cells of a file, whose last line may have been cut off; that line is taken away."""
    content = read_bytes(path, "file of cells")
    whole = content[: content.rfind(b"\n") + 1]
    try:
        head, *lines = [json.loads(line) for line in whole.decode("utf-8").splitlines()]
        if head["format"] not in (OLD_FORMAT, FORMAT):
            raise ValueError(f"its format is {head['format']!r}")
        for number, cell in enumerate(lines, 2):
            seal = cell.pop("sha256", None if head["format"] == FORMAT else _seal(cell))
            if seal != _seal(cell):
                raise ValueError(f"line {number} was altered")
        by_key = {_text(cell["key"]): cell for cell in lines}
        if not all({"value", "made"} <= cell.keys() for cell in lines):
            raise ValueError("a cell without its value")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} holds no cells of an experiment ({error}); move it away to start anew"
        ) from error
    if whole != content:
        write_atomically(path, whole)
    return by_key


def _seal(cell: Json) -> str:
    """SHA-256 of a cell."""
    return hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()


def _text(key: Key) -> str:
    return json.dumps(dict(key), sort_keys=True)

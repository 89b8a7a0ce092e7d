"""Cells of an experiment on disk: a run that is stopped goes on where it stopped.

One JSON file holds every finished cell of one experiment with the machine, the date and the time
it took, and the schedule it came from; it is small enough to be checked in, and rewritten whole
after each cell.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sipp_core.describing import versions
from sipp_core.saving import write_atomically

Json = dict[str, Any]
Key = Mapping[str, str | int | float]
FORMAT = "sipp-theory validation cells 1"


def machine() -> str:
    """Describe the machine in a line.

    Returns:
        Processor, cores that this process may use, memory, and the GPU if there is one.

    Claim: none (plumbing).

    Example:
        >>> "core" in machine()
        True
    """
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text("utf-8", errors="replace").splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {cores} core{'s' if cores != 1 else ''}{gpu}"


class Cells:
    """Finished cells of one experiment, by what was asked for.

    Claim: none (plumbing).
    """

    def __init__(self, path: str | Path | None, command: str = "") -> None:
        """Read what is there.

        Args:
            path: a JSON file, made when the first cell is done; None keeps nothing.
            command: what the user typed, noted with each cell.

        Raises:
            ValueError: the file is damaged, or of another kind.
        """
        self.path = None if path is None else Path(path)
        self.command = command
        self.found: dict[str, Json] = {}
        if self.path is None or not self.path.is_file():
            return
        try:
            read = json.loads(self.path.read_text("utf-8"))
            if read["format"] != FORMAT:
                raise ValueError(f"its format is {read['format']!r}")
            self.found = {_text(cell["key"]): cell for cell in read["cells"]}
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{self.path} holds no cells of an experiment ({error}); move it away to start anew"
            ) from error

    def get(self, key: Key, compute: Callable[[], Json]) -> Json:
        """Value of a cell: as it was found on disk, or computed now and written.

        Args:
            key: what the cell is of; equal keys are one cell.
            compute: makes the value, plain numbers and text that JSON holds.

        Returns:
            The value.
        """
        name = _text(key)
        if name not in self.found:
            started = time.perf_counter()
            value = compute()
            self.found[name] = {
                "key": dict(key),
                "value": value,
                "made": {
                    "seconds": round(time.perf_counter() - started, 2),
                    "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
                    "machine": machine(),
                    "command": self.command,
                    "versions": versions(),
                },
            }
            self._write()
        return self.found[name]["value"]

    def _write(self) -> None:
        if self.path is None:
            return
        cells = [self.found[name] for name in sorted(self.found)]
        text = json.dumps({"format": FORMAT, "cells": cells}, indent=1, allow_nan=False)
        write_atomically(self.path, (text + "\n").encode())

    def made(self) -> Json:
        """Where the cells came from: machines, dates, commands, versions, and seconds in all.

        Returns:
            Sorted distinct values of each, ready for JSON.
        """
        notes = [cell["made"] for cell in self.found.values()]
        distinct = {
            name: sorted({note[name] for note in notes}) for name in ("machine", "date", "command")
        }
        known = {f"{k} {v}" for note in notes for k, v in note["versions"].items()}
        return distinct | {
            "versions": sorted(known),
            "seconds": round(sum(note["seconds"] for note in notes), 1),
            "cells": len(notes),
        }


def _text(key: Key) -> str:
    return json.dumps(dict(key), sort_keys=True)

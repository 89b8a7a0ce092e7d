"""Measurements in a process of their own: its peak memory, its first call, or one rank of many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.benches.findings import Skipped

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1800  # seconds


def start(
    task: str, options: Mapping[str, Any], threads: int = 1,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:  # fmt: skip
    """Begin a task of `reports.benches.child` in a new process."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    settled = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        [sys.executable, "-m", "reports.benches.child", task, json.dumps(options)],
        env=settled | dict(environment or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], what: str, patience: float = PATIENCE) -> dict[str, Any]:
    """What the process has to say; raise RuntimeError with its last words if it failed."""
    try:
        out, errors = process.communicate(timeout=patience)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode != 0:
        last = (errors.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"the process that measures {what!r} ended with "
                           f"{process.returncode}: {last}")  # fmt: skip
    return json.loads(out.splitlines()[-1])


def child(
    task: str, options: Mapping[str, Any], threads: int = 1,
    environment: Mapping[str, str] | None = None, patience: float = PATIENCE,
) -> dict[str, Any]:  # fmt: skip
    """Run one task to its end in a new process."""
    return finish(start(task, options, threads, environment), task, patience)


def tells_memory() -> bool:
    """Whether the system tells a process's peak memory and lets it begin anew."""
    return os.access("/proc/self/clear_refs", os.W_OK) and Path("/proc/self/status").exists()


def no_memory(family: str, what: str) -> tuple[Skipped, ...]:
    """What is left out where the system does not tell a process's peak memory; else nothing."""
    why = "this system does not tell a process's peak memory (/proc is missing)"
    return () if tells_memory() else (Skipped(family, what, why),)

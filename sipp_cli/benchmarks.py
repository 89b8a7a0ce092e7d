"""One way to run the benchmarks, for the commands that show them, and to read a run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sipp_cli import inputs, networks, options, render

if TYPE_CHECKING:
    from reports import BenchRun


def run_benchmarks(
    scale: str,
    *,
    only: Sequence[str] = (),
    seed: int,
    data_dir: Path | None,
    device: str,
    threads: int = 0,
) -> BenchRun:
    """Run benchmarks as the options say, with a progress bar; refuse bad options first."""
    if not 0 <= threads <= options.MOST_THREADS:
        raise ValueError(f"--threads must be from 0 to {options.MOST_THREADS}; found {threads}")
    networks.device(device)
    folder = str(inputs.data_folder(data_dir) or "")

    from reports import bench

    with render.progress() as progress:
        return bench(
            scale=scale, only=only, seed=seed, data_dir=folder, device=device, threads=threads,
            progress=progress,
        )  # fmt: skip


def read_benchmarks(path: Path) -> BenchRun:
    """Read what `sipp bench --json` printed, or refuse it with the file's name."""
    from reports.benches import read

    try:
        return read(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error

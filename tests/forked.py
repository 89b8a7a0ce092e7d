"""Processes forked from one that has loaded the library: each starts in a tenth of a second."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

LOADED = ("torch.distributed", "sipp_cli.main", "sipp_core.methods", "sipp_core.zoo",
          "sipp_core.certificates", "tests.forked")  # fmt: skip


@dataclass(frozen=True)
class Forked:
    """One process, and the files that take what it prints."""

    process: ForkServerProcess
    out: Path
    err: Path

    def finish(self) -> tuple[int, str, str]:
        """Wait for it: exit code, stdout, stderr."""
        try:
            self.process.join()
        finally:
            self.process.kill()
        code = self.process.exitcode
        assert code is not None
        return code, self.out.read_text(), self.err.read_text()


def start(
    folder: Path, environment: Mapping[str, str], function: Callable[..., object], *given: Any,
    strict: bool = False,
) -> Forked:  # fmt: skip
    """Call a function of a module in a new process; `strict` makes warnings errors there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LOADED))
    number = len(list(folder.glob("*.out")))
    paths = folder / f"{number}.out", folder / f"{number}.err"
    for path in paths:
        path.touch()
    process = context.Process(
        target=_run, args=(paths, dict(environment), strict, function, given), daemon=True
    )
    # OpenMP reads it as torch is loaded, in the first process.
    with patch.dict(os.environ, OMP_NUM_THREADS="1"):
        process.start()
    return Forked(process, *paths)


def _run(
    paths: tuple[Path, Path], environment: Mapping[str, str], strict: bool,
    function: Callable[..., object], given: tuple[Any, ...],
) -> None:  # fmt: skip
    for number, path in enumerate(paths, 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    os.environ.clear()
    os.environ.update(environment)
    if strict:
        warnings.simplefilter("error")
    function(*given)

"""All families of benchmarks, and one call that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from os import PathLike, fspath

import torch

from reports.benches import machine
from reports.benches.findings import BenchRun, Findings
from reports.benches.subjects import Setting
from sipp_core.zoo import datasets

Progress = Callable[[int, int, str], None]
Family = Callable[[Setting], Findings]


def _family(module: str) -> Family:
    """The `run` of a module here, which is imported when it runs: few need what all others do."""

    def run(setting: Setting) -> Findings:
        return import_module(f"reports.benches.{module}").run(setting)

    return run


FAMILIES: dict[str, Family] = {
    name: _family(module)
    for name, module in {
        "ceiling": "ceiling", "kernel": "kernel", "inputs": "inputs", "scaling": "scaling",
        "allocation": "allocation", "planning": "planning", "prune": "pruning",
        "files": "files", "net-trim": "trimming", "peers": "peers",
        "monte-carlo": "monte_carlo", "convolution": "convolution", "processes": "processes",
        "svm": "svm", "sharded": "sharded", "gpu": "gpu",
    }.items()
}  # fmt: skip
SCALES = ("full", "quick", "tiny")


def bench(
    *,
    scale: str = "full",
    only: Sequence[str] = (),
    seed: int = 0,
    data_dir: str | PathLike[str] = "",
    device: str = "cpu",
    threads: int = 0,
    progress: Progress | None = None,
) -> BenchRun:
    """Measure how fast the toolkit is here, against other ways and what the machine could do.

    Rivals run in turns within one process, after a warm-up; figures are medians with quartiles,
    ratios are formed round by round. What must be equal is compared: a difference is a check that
    does not hold. A missed target is a figure, no error.

    Args:
        scale: "full" (a quarter of an hour), "quick" (a minute or two, smaller cases), or "tiny"
            (to see that it runs; its figures mean nothing).
        only: names of families; all if empty.
        seed: of all random numbers, >= 0.
        data_dir: folder with MNIST's files; synthetic inputs as dark as MNIST if empty.
        device: of torch; a CUDA device adds the kernel's figures there.
        threads: number of threads to measure with; 0 for one, and as many as there are cores.
        progress: callback (families done, families, name of the next).

    Returns:
        Figures, curves, checks, what was skipped, and what machine it was.

    Raises:
        ValueError: an unknown scale or family, a number out of range.
        FileNotFoundError: the folder lacks MNIST.
        RuntimeError: a process that measures on its own failed.

    Example:
        >>> run = bench(scale="tiny", only=["allocation"], threads=1)
        >>> run.violated, [m.what for m in run.measured][2]
        ((), 'times faster than cvxpy (Clarabel)')
    """
    setting = _setting(scale, only, seed, fspath(data_dir), device, threads)
    names = [name for name in FAMILIES if name in only or not only]
    date, described = datetime.now(UTC).isoformat(timespec="seconds"), machine.describe(device)
    findings, taken = [], {}
    for done, name in enumerate(names):
        if progress is not None:
            progress(done, len(names), name)
        began = time.perf_counter()
        findings.append(FAMILIES[name](setting))
        taken[name] = time.perf_counter() - began
    if progress is not None:
        progress(len(names), len(names), "done")
    return BenchRun(
        scale=scale, seed=seed, date=date, machine=described, families=taken,
        measured=tuple(one for f in findings for one in f.measured),
        curves=tuple(one for f in findings for one in f.curves),
        checks=tuple(one for f in findings for one in f.checks),
        skipped=tuple(one for f in findings for one in f.skipped),
    )  # fmt: skip


def _setting(
    scale: str, only: Sequence[str], seed: int, data_dir: str, device: str, threads: int
) -> Setting:
    """Refuse what cannot be run before anything is measured."""
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}; found {scale!r}")
    for name in only:
        if name not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}; found {name!r}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must lie in [0, 2**63); found {seed}")
    most = machine.cores()
    if not 0 <= threads <= most:
        raise ValueError(f"threads must be from 0 to the {most} cores; found {threads}")
    torch.empty(0, device=device)
    if data_dir:
        datasets.load("mnist", data_dir)
    counts = (threads,) if threads else tuple(sorted({1, most}))
    return Setting(scale, seed, data_dir, device, counts)

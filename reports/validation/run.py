"""`validate`: rerun a paper's experiments and set our numbers beside the paper's."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from reports.validation import corenet, nettrim, networks, neurons, sipp, svm
from reports.validation.cells import Cells
from reports.validation.paper import Paper
from reports.validation.spread import Work, spread
from reports.validation.subjects import ModelStore
from reports.validation.tables import not_run
from reports.validation.verdicts import Validation
from reports.validation.work import Meter, perform
from sipp_core.runtime import some_threads, whole, workers
from sipp_core.zoo import DATA_DIR_VARIABLE

Progress = Callable[[int, int, str], None]
PAPERS: dict[str, Paper[Any]] = dict(
    corenet=corenet.PAPER,
    sipp=sipp.PAPER,
    networks=networks.PAPER,
    nettrim=nettrim.PAPER,
    neurons=neurons.PAPER,
    svm=svm.PAPER,
)
SCHEDULES = ("tiny", "quick", "reduced", "paper")


def _check(paper: str, schedule: str) -> None:
    if paper not in PAPERS:
        raise ValueError(f"paper must be one of {', '.join(PAPERS)}; found {paper!r}")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; found {schedule!r}")


def _chosen(
    plans: Sequence[Any], only: str | None, methods: str | None, seeds: int | None
) -> Sequence[Any]:
    if methods is not None:
        plans = _of_methods(plans, methods)
    if seeds is not None:
        plans = [replace(plan, seeds=whole("seeds", seeds, 1)) for plan in plans]
    if only is None:
        return plans
    names = list(dict.fromkeys(plan.subject.net for plan in plans))
    nets = _listed("only", only, names)
    return [plan for plan in plans if plan.subject.net in nets]


def _listed(argument: str, text: str, known: list[str]) -> list[str]:
    """Names with commas between, all of them known."""
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{argument} must be of {', '.join(known)}; found {unknown[0]!r}")
    return names


def _of_methods(plans: Sequence[Any], methods: str) -> list[Any]:
    if not hasattr(plans[0], "methods"):
        raise ValueError("methods can be chosen for sipp and networks only; the others are fixed")
    names = list(dict.fromkeys(name for plan in plans for name in plan.methods))
    some = _listed("methods", methods, names)
    return [few for plan in plans if (few := plan.only(some)).methods]


def _with_data(
    plans: Sequence[Any], store: ModelStore, schedule: str
) -> tuple[list[Any], dict[str, str]]:
    """Plans whose data are at hand, and why the others' are not."""
    absent: dict[str, str] = {}
    there: set[str] = set()
    named = store.data_dir or os.environ.get(DATA_DIR_VARIABLE)
    for plan in plans:
        name = plan.subject.data
        if name in there or name in absent:
            continue
        if schedule == "quick" and not plan.embedded and not named:
            absent[name] = "a quick run takes it only where --data-dir names its files"
            continue
        try:
            plan.fetch(store)
            there.add(name)
        except FileNotFoundError as error:
            absent[name] = " ".join(str(error).split())
    if not there:
        raise FileNotFoundError("; ".join(absent.values()))
    return [plan for plan in plans if plan.subject.data in there], absent


def validate(
    paper: str,
    *,
    schedule: str = "quick",
    data_dir: str | PathLike[str] | None = None,
    folder: str | PathLike[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    threads: int = 1,
    only: str | None = None,
    methods: str | None = None,
    seeds: int | None = None,
    jobs: int | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Validation:
    """Rerun the experiments of a paper, as far as the data and the schedule allow.

    Every cell (one network, method, ratio and seed) is written as soon as it is done, together with
    trained networks, so that a run which is stopped goes on where it stopped and ends with the same
    numbers.

    Args:
        paper: a name of PAPERS: corenet, sipp, networks, nettrim, neurons or svm.
        schedule: "quick" (embedded data, minutes), "reduced" (MNIST on a few cores, hours), "paper"
            (as published, for a GPU) or "tiny" (seconds, to try out).
        data_dir: folder of the data files, as in `sipp_core.datasets.load`.
        folder: where cells and trained networks are kept; None keeps nothing.
        device: torch device to train and prune on.
        seed: seed of everything, >= 0.
        threads: CPU threads, >= 1; another number may change the last bits of a training.
        only: run only this network, or these, with commas between.
        methods: of sipp's and networks' experiments, only this one or these, with commas between.
        seeds: how many seeds, >= 1, instead of the schedule's number; intervals need two.
        jobs: processes, >= 1, or -1 for every core; None for what joblib's context says (dask's
            cluster, on which `folder` must be one that all machines see), else 1. They change no
            number, and one that is killed costs the cell that it was at.
        command: what the user typed, noted with each cell.
        progress: callback (done, total, what), with the time left in `what`.

    Returns:
        The table with its curves and where the numbers came from.

    Raises:
        ValueError: an unknown paper, schedule, network or method, or cells that are damaged.
        FileNotFoundError: none of the data are at hand.
        OSError: the folder cannot be written to.

    Measurements and estimates, not guarantees.

    Example:
        >>> validate("no such paper")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: paper must be one of corenet, sipp, networks, ...; found 'no such paper'
    """
    _check(paper, schedule)
    record, seed = PAPERS[paper], whole("seed", seed, 0)
    place = None if folder is None else Path(folder)
    cells = Cells(None if place is None else place / f"{paper}-{schedule}.jsonl", command, device)
    meter = Meter(progress)
    store = ModelStore(
        data_dir, None if place is None else place / "networks", device,
        whole("threads", threads, 1), meter.inside,
    )  # fmt: skip
    chosen = _chosen(record.plans[schedule], only, methods, seeds)
    plans, absent = _with_data(chosen, store, schedule)
    tasks = [list(record.tasks(plan, store, seed)) for plan in plans]
    with contextlib.ExitStack() as stack:
        if workers(jobs) > 1:
            kept = store.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            work = Work(
                record.tasks,
                tuple(plans),
                seed,
                cells.path,
                command,
                data_dir,
                kept,
                device,
                threads,
            )
            spread(work, tasks, cells, meter, jobs)
        stack.enter_context(some_threads(threads))
        rows = perform(itertools.chain(*tasks), cells, meter)
    left_out = [
        not_run(f"networks on {name}", "as above", schedule, why) for name, why in absent.items()
    ]
    return Validation(
        paper=paper, title=record.title, schedule=schedule, says=record.describe(plans),
        lines=(*record.lines(plans, rows), *left_out), curves=tuple(record.curves(plans, rows)),
        made=cells.origin([key for own in tasks for key, _ in own]),
    )  # fmt: skip

"""Tasks over processes: their results depend neither on the process nor on the order.

joblib hands them out, so `joblib.parallel_config(backend="dask")` around a call takes it to a
cluster. A worker that dies, killed or out of memory, costs what it was at and no more: what was
not done is handed out again.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

Result = TypeVar("Result")
# Deaths without a single result in between after which the tasks are held to be what kills.
DEATHS = 3


def workers(jobs: int | None = None) -> int:
    """How many processes a number of jobs means: None is what joblib's context says, else 1.

    Args:
        jobs: processes, >= 1; -1 for every core, None for those of `joblib.parallel_config`.

    Returns:
        Processes, >= 1.

    Raises:
        ValueError: 0.

    Example:
        >>> workers(), workers(3)
        (1, 3)
    """
    import joblib

    return joblib.effective_n_jobs(jobs)  # pyright: ignore[reportArgumentType] - or None


def as_done(
    function: Callable[..., Result],
    calls: Sequence[tuple[Any, ...]],
    jobs: int | None = None,
    loads: Sequence[str] = (),
) -> Iterator[tuple[int, Result]]:
    """Place and result of every call, as they come; one process goes through them in their order.

    A function must give the same for the same arguments wherever it runs, as a call may be made
    twice.

    Args:
        function: of a module, for other processes to import.
        calls: its arguments, one tuple a call.
        jobs: as for `workers`.
        loads: modules that a worker loads before its first task. joblib measures it after that
            one, takes what it loads later for a leak and ends it.

    Returns:
        An iterator of (place in `calls`, result), each once.

    Raises:
        joblib.externals.loky.process_executor.TerminatedWorkerError: workers die again and again.

    Example:
        >>> sorted(as_done(pow, [(2, 3), (3, 2)]))
        [(0, 8), (1, 9)]
    """
    if jobs is not None and jobs > 0:
        jobs = min(jobs, max(len(calls), 1))  # all of them are started at once
    if workers(jobs) == 1:
        for place, call in enumerate(calls):
            yield place, function(*call)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    waiting, deaths = dict(enumerate(calls)), 0
    while waiting:
        try:
            # One task at a time: a killed worker has no others.
            settled: Any = {"batch_size": 1, "return_as": "generator_unordered"}
            work = Parallel(n_jobs=jobs, **settled)(
                delayed(_placed)(tuple(loads), function, place, call)
                for place, call in list(waiting.items())
            )
            for place, result in cast("Iterator[tuple[int, Result]]", work):
                yield place, result
                del waiting[place]
                deaths = 0
        except TerminatedWorkerError:
            deaths += 1
            if deaths > DEATHS:
                raise


def mapped(
    function: Callable[..., Result],
    calls: Sequence[tuple[Any, ...]],
    jobs: int | None = None,
    loads: Sequence[str] = (),
) -> Iterator[Result]:
    """Results of calls in their order, as of `as_done`.

    Args:
        function: of a module.
        calls: its arguments, one tuple a call.
        jobs: as for `workers`.
        loads: modules that a worker loads first.

    Returns:
        An iterator of results; those that come before their turn are kept until then.

    Raises:
        joblib.externals.loky.process_executor.TerminatedWorkerError: workers die again and again.

    Example:
        >>> list(mapped(pow, [(2, 3), (3, 2)]))
        [8, 9]
    """
    early, turn = dict[int, Result](), 0
    for place, result in as_done(function, calls, jobs, loads):
        early[place] = result
        while turn in early:
            yield early.pop(turn)
            turn += 1


def _placed(
    loads: tuple[str, ...], function: Callable[..., Result], place: int, call: tuple[Any, ...]
) -> tuple[int, Result]:
    for name in loads:
        importlib.import_module(name)
    return place, function(*call)

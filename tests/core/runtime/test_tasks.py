"""Tasks over processes: order, killed workers, what is done again and what is not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import joblib
import pytest
from joblib.externals.loky.process_executor import TerminatedWorkerError

from sipp_core.runtime import as_done, mapped, workers


def double(number: int) -> int:
    time.sleep(0.02 * (number % 3))  # they come in another order
    return 2 * number


def killed_once(folder: Path, number: int) -> int:
    """Twice the number; the worker of 5 is killed the first time, once three were handed back."""
    with (folder / str(number)).open("a") as file:
        file.write("x")
    if number == 5 and not (folder / "killed").exists():
        while not (folder / "three").exists():
            time.sleep(0.01)
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def killing(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def refusing(number: int) -> int:
    raise ValueError(f"{number} is refused")


CALLS = [(number,) for number in range(7)]


@pytest.mark.parametrize("jobs", [None, 1, 2])
def test_results_come_in_the_order_of_the_calls(jobs: int | None) -> None:
    assert list(mapped(double, CALLS, jobs)) == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(as_done(double, CALLS, jobs)) == [(n, 2 * n) for n in range(7)]


def test_a_killed_worker_costs_what_it_was_at(tmp_path: Path) -> None:
    back, first = dict[int, int](), list[int]()
    for place, result in as_done(killed_once, [(tmp_path, number) for number in range(9)], 2):
        assert place not in back
        back[place] = result
        if len(back) == 3:
            first = list(back)
            (tmp_path / "three").touch()
    assert back == {number: 2 * number for number in range(9)}
    assert len((tmp_path / "5").read_text()) == 2
    assert all(len((tmp_path / str(number)).read_text()) == 1 for number in first)


def test_tasks_that_kill_every_worker_end_the_run() -> None:
    with pytest.raises(TerminatedWorkerError):
        list(mapped(killing, CALLS, 2))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_task_refuses_reaches_the_caller(jobs: int) -> None:
    with pytest.raises(ValueError, match="is refused"):
        list(mapped(refusing, CALLS, jobs))


def test_joblibs_context_says_how_many_processes_there_are() -> None:
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert workers() == 2
        assert list(mapped(double, CALLS)) == [0, 2, 4, 6, 8, 10, 12]
    assert workers() == 1

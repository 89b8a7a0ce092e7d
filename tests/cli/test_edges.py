"""How a command ends: exit codes that mean one thing, JSON alone on stdout, no lost interrupt."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sipp_cli import edge, ranks
from tests.cli.conftest import Ended

Sipp = Callable[..., Ended]
Refused = Callable[..., str]

NETWORKS = """
import sys
from torch import nn

print("a line of the module")

class Printing(nn.Linear):
    def forward(self, x):
        print("a line of the forward pass")
        return super().forward(x)

def talks():
    print("a line of the factory")
    return nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3))

def leaves():
    sys.exit(0)

class Key(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)
    def forward(self, x):
        return {"a": 1}["b"]

class Leaving(Key):
    def forward(self, x):
        raise SystemExit(0)
"""


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """SIGINT as in a terminal: a shell has what it runs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "edge_networks.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


BASE = ("--data", "digits", "--calibration-size", 16, "--keep", 0.5, "--method", "sipp-det")


def test_json_is_alone_on_stdout_whatever_a_factory_prints(sipp: Sipp, there: Path) -> None:
    ended = sipp("prune", "--model", "edge_networks:talks", *BASE, "--json")
    assert ended.code == 0 and ended.json["method"] == "sipp-det"
    assert "a line of the factory" in ended.err


def test_code_that_ends_the_program_is_bad_input(refused: Refused, there: Path) -> None:
    assert "failed with SystemExit" in refused("prune", "--model", "edge_networks:leaves", *BASE)
    message = refused("prune", "--model", "edge_networks:Leaving", *BASE)
    assert "ended the program, by sys.exit(0)" in message
    assert "KeyError: 'b'" in refused("prune", "--model", "edge_networks:Key", *BASE)


@pytest.mark.parametrize(
    ("name", "value"), [("WORLD_SIZE", "abc"), ("RANK", "-1"), ("MASTER_PORT", "x"), ("RANK", "2")]
)
def test_a_launchers_variables_are_checked(
    sipp: Sipp, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for key, usual in (given | {name: value}).items():
        monkeypatch.setenv(key, usual)
    ended = sipp("bounds", "--sensitivity-sum", 1, "--eps", 0.1)
    assert ended.code == 2 and ended.out == ""
    assert f"{name} in the environment must be" in ended.err and value in ended.err


def test_a_process_that_never_comes_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(ranks, "JOIN_SECONDS", 1.0)
    with pytest.raises(ConnectionError, match="not all 2 processes came within 1 s"):
        ranks.join()


def test_too_many_threads_are_refused(refused: Refused) -> None:
    message = refused("generalize", "dense:64,10", "--threads", 100_000_000)
    assert "--threads must be" in message and "100000000" in message


def test_a_network_of_another_number_of_classes_is_refused_before_training(
    refused: Refused, tmp_path: Path
) -> None:
    message = refused("generalize", "dense:64,11", "--file", tmp_path / "f.sipp")
    assert "tells 11 classes apart, digits has 10" in message


def test_what_is_no_number_of_weights_is_refused(refused: Refused) -> None:
    base = ("bounds", "--sensitivity-sum", 1, "--eps", 0.1, "--weights")
    assert "--weights must be above 0; found nan" in refused(*base, "nan")


def run(*words: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, check=False, **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_goes_away_is_no_broken_guarantee() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "sipp_cli", "bounds", "--sensitivity-sum", "1", "--eps", ".1"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_without_assertions_nothing_is_checked() -> None:
    done = run("-O", "-m", "sipp_cli", "check", "--claim", "SP-3")
    assert done.returncode == 2 and b"python -O takes the assertions" in done.stderr


LAW = """
from hypothesis import given, strategies
from proofs_check.kinds.laws import hold
from proofs_check.ledger.registry import Setting

hold(Setting("quick", 0), given(strategies.floats(), strategies.text())(lambda x, y: None))
"""


def test_a_law_leaves_no_folder_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = run("-c", LAW, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def _collect(interrupt: Callable[[], None]) -> None:
    def callback(phase: str, _: object) -> None:
        interrupt()

    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)


def _let_go(interrupt: Callable[[], None]) -> None:
    thing = threading.Event()
    _watched = weakref.ref(thing, lambda _: interrupt())
    del thing


def _delete(interrupt: Callable[[], None]) -> None:
    class Thing:
        def __del__(self) -> None:
            interrupt()

    Thing()


@pytest.mark.parametrize("swallow", [_collect, _let_go, _delete])
def test_an_interrupt_where_exceptions_are_forgotten_is_not_lost(
    swallow: Callable[[Callable[[], None]], None],
) -> None:
    once = [signal.SIGINT]

    def interrupt() -> None:
        if once:
            signal.raise_signal(once.pop())

    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), edge.interrupts() as interrupted:
        swallow(interrupt)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            time.sleep(0.01)
    assert not once and sys.unraisablehook is hook
    assert interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert threading.current_thread() is threading.main_thread()


def test_what_an_interrupt_is_turned_into_still_ends_as_one(
    sipp: Sipp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallowed(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("numpy failed to import") from error

    monkeypatch.setattr(ranks, "check", swallowed)
    ended = sipp("bounds", "--sensitivity-sum", 1, "--eps", 0.1)
    assert ended.code == 130 and "interrupted" in ended.err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_while_the_commands_are_loaded_leaves_no_traceback(tmp_path: Path) -> None:
    """Here it comes in an import that would make another error of it."""
    (tmp_path / "typer.py").write_text(
        "import os, signal, time\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(10)\n"
        "except KeyboardInterrupt as error:\n"
        "    raise ImportError('typer failed to import') from error\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = run("-m", "sipp_cli", "bounds", cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"sipp: interrupted\n")

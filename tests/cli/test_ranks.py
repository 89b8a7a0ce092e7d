"""`sipp prune`, `sparsest`, `certify` in several processes: one file, one voice, one exit code."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sipp_cli.__main__ import main
from tests import forked


@pytest.fixture
def words(weights: Path) -> list[str]:
    return ["prune", "--model", "digits-mlp", "--weights", str(weights), "--data", "digits",
            "--calibration-size", "600"]  # fmt: skip


@pytest.fixture
def environment(repository: Path) -> dict[str, str]:
    """Ours, with one thread a process, as torchrun gives each of several."""
    return {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate()
    finally:
        process.kill()
    return process.returncode, out, err


def start(words: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ranks(
    words: list[str],
    environment: dict[str, str],
    size: int,
    code: str = "",
) -> list[tuple[int, str, str]]:
    """Start the processes without a launcher, which would hide their exit codes.

    They are forked; those of the launchers begin as Python does. `code` runs in each before it
    calls the command line.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with TemporaryDirectory() as folder:
        started = [
            forked.start(
                Path(folder), environment | place | {"RANK": str(rank)}, command, words, code
            )
            for rank in range(size)
        ]
        return [process.finish() for process in started]


def command(words: list[str], code: str) -> None:
    """The command line, as `python -m sipp_cli` starts it."""
    sys.argv = ["sipp", *words]
    exec(code, {})
    main()


def test_torchrun_writes_the_file_of_one_process_and_prints_once(
    words: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    words += ["--method", "sipp-poisson", "--keep", "0.3", "--out"]
    one = start([sys.executable, "-m", "sipp_cli", *words, str(paths[0])], environment)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = start([sys.executable, *launcher, "-m", "sipp_cli", *words, str(paths[1])], environment)
    (code, out, err), (codes, outs, errs) = finish(one), finish(two)
    assert (code, codes) == (0, 0), err + errs
    assert outs == out.replace(str(paths[0]), str(paths[1]))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


def test_every_process_ends_with_the_same_code(
    words: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    vacuous = [*words, "--method", "corenet", "--eps", "0.1", "--delta", "0.05"]
    first, second = ranks(vacuous, environment, 2)
    assert first[0] == second[0] == 1, first[2] + second[2]
    assert "Promised: nothing" in first[1] and second[1] == ""
    # Rank 0 alone reads the weights; what it refuses, all refuse, and it alone says so.
    words[words.index("--weights") + 1] = str(tmp_path / "none.safetensors")
    first, second = ranks([*words, "--keep", "0.5"], environment, 2)
    assert first[0] == second[0] == 2, first[2] + second[2]
    assert "sipp prune: rank 0: there is no weights file" in first[2]
    assert first[1] == second[1] == "" and "sipp" not in second[2]


def test_any_number_of_processes_writes_one_certificate(
    weights: Path, pruned: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    words = ["certify", str(pruned), "--model", "digits-mlp", "--weights", str(weights), "--inputs",
             "digits", "--labels", "targets", "--groups", "class", "--score", "relative-l2",
             "--score", "kl", "--corrupt", "gaussian:0.1", "--json", "--out"]  # fmt: skip
    messages: list[str] = []
    for size in (1, 2, 3):
        path = tmp_path / f"{size}.json"
        first, *others = ranks([*words, str(path)], environment, size)
        assert first[0] == 0, first[2]
        assert [(code, out) for code, out, _ in others] == [(0, "")] * (size - 1)
        assert not any("note" in err for _, _, err in others)
        messages.append(first[1])
    assert messages[0] == messages[1] == messages[2] and '"n": 360' in messages[0]
    files = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(files) == 1
    both = ranks(["verify", str(tmp_path / "2.json")], environment, 2)
    assert [code for code, _, _ in both] == [0, 0], both[0][1]
    assert both[0][1].startswith("yes") and both[1][1] == ""


def test_a_search_is_that_of_one_process(
    words: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    outs = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    search = ["sparsest", *words[1:], "--method", "magnitude", "--keeps", "0.8,0.5,0.02"]
    search += ["--drop", "0.15", "--json", "--out"]
    alone = ranks([*search, str(outs[0])], environment, 1)[0]
    first, second = ranks([*search, str(outs[1])], environment, 2)
    assert alone[0] == first[0] == second[0] == 0, first[2] + second[2]
    assert first[1].replace(str(outs[1]), str(outs[0])) == alone[1] and second[1] == ""
    assert outs[0].read_bytes() == outs[1].read_bytes()


KILLED = """
import importlib, os, signal, sys
home = importlib.import_module("sipp_core.certificates.sparsest")
looked, real = [], home.measure
def measure(*given, **named):
    looked.append(1)
    first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if os.environ["RANK"] == "1" and len(looked) == 2 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)
home.measure = measure
"""
MAIN = """
from sipp_cli.__main__ import main
sys.argv[0] = "sipp"
sys.exit(main())
"""


def test_a_search_whose_process_was_killed_ends_at_once_and_goes_on_alone(
    words: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    search = ["sparsest", *words[1:], "--method", "magnitude", "--keeps", "0.8,0.5,0.02"]
    search += ["--drop", "0.15", "--json", "--out", str(tmp_path / "net"), "--store"]
    whole = ranks([*search, str(tmp_path / "other")], environment, 1)[0]
    expected = (tmp_path / "net").read_bytes()
    (tmp_path / "net").unlink()
    store = tmp_path / "store"
    first, second = ranks([*search, str(store)], environment, 2, KILLED)
    assert second[0] == -9 and first[0] == 2, first[2]
    assert "another process of the group has ended" in first[2] and "Start all" in first[2]
    assert not (tmp_path / "net").exists()
    (record,) = store.iterdir()
    assert '"keep": 0.8' in record.read_text() and '"keep": 0.5' not in record.read_text()
    # One process goes on where two were stopped.
    again = ranks([*search, str(store)], environment, 1)[0]
    assert (again[0], again[1]) == (whole[0], whole[1]), again[2]
    assert (tmp_path / "net").read_bytes() == expected


def test_a_launcher_that_restarts_ends_with_the_same_network(
    words: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    search = ["sparsest", *words[1:], "--method", "magnitude", "--keeps", "0.8,0.5,0.02"]
    search += ["--drop", "0.15", "--json", "--out", str(tmp_path / "net")]
    whole = ranks(search, environment, 1)[0]
    expected = (tmp_path / "net").read_bytes()
    (tmp_path / "net").unlink()
    script = tmp_path / "killed.py"
    script.write_text(KILLED + MAIN)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launcher += ["--max-restarts", "1", str(script), *search, "--store", str(tmp_path / "store")]
    code, out, err = finish(start([sys.executable, *launcher], environment))
    assert code == 0, err
    # The launcher names whom it sees first: the killed one, or the other, which ends too.
    assert out == whole[1] and re.search(r"failed \(exitcode: (-9|2)\)", err), err
    assert (tmp_path / "net").read_bytes() == expected

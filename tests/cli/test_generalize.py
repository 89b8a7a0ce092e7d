"""`sipp generalize`: a tiny search end to end, its file verified, and how it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import reports.generalization
from reports.generalization import plans, verifying
from reports.validation.subjects import Subject
from sipp_core import compress
from sipp_core.compression.rate_control import Schedule
from sipp_core.zoo import models
from sipp_core.zoo.recipes import Recipe

Call = Callable[..., Any]
NET = "dense:64,10"


@pytest.fixture(scope="module")
def short() -> Iterator[None]:
    """Plans of an epoch each."""
    once = Recipe(1, 64, 2e-2)
    plan = replace(
        plans.PLANS[NET, "digits"],
        subject=Subject(NET, "digits", once), methods=("magnitude",), keeps=(0.5,), levels=(3,),
        schedule=Schedule(again=once, levels=once),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plans.PLANS, (NET, "digits"), plan)
        yield


@pytest.fixture(scope="module")
def made(short: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    """Folder, numbers and what was printed of one search with two candidates."""
    from typer.testing import CliRunner

    from sipp_cli.main import app

    folder = tmp_path_factory.mktemp("generalize")
    words = ["generalize", "--keep", "0.5,0.3", "--delta", "0.1", "--out",
             folder / "new" / "a.json", "--file", folder / "a.sipp", "--store",
             folder / "store"]  # fmt: skip
    ended = CliRunner().invoke(app, [str(word) for word in words], prog_name="sipp")
    assert ended.exit_code in (0, 1) and not ended.stderr, (ended.stdout, ended.stderr)
    facts = json.loads((folder / "new" / "a.json").read_text())
    assert ended.exit_code == int(facts["bounds"][0]["vacuous"])
    return folder, facts, ended.stdout


def test_everything_is_printed_and_written(made: tuple[Path, Any, str]) -> None:
    folder, facts, out = made
    content = (folder / "a.sipp").read_bytes()
    assert hashlib.sha256(content).hexdigest() == facts["file"]["sha256"]
    assert facts["file"]["bits"] == 8 * len(content)
    assert facts["made"]["command"] == (
        "sipp generalize --data digits --delta 0.1 --keep 0.5,0.3 --seed 0 --threads 1"
    )
    assert len(facts["candidates"]) == 2 and any((folder / "store").iterdir())
    for words in (
        "1,437 training inputs wrong", "360 test inputs", "Occam, exact binomial tail",
        "Catoni, the union over lambda paid", "Occam, prior from half the data", "718 inputs",
        "Compression by parameters and levels", "CoreNet's corollary", "vacuous", "90% sure",
        "fc1 weight positions", "one of 2 candidates fixed before", "paid by the file",
        "Magnitude, 50% of the weights, 3 levels (grid)", "Hoeffding", "not of shifted data",
        f"{sum(c['bits'] for c in facts['budget']):,.1f} bits", facts["made"]["machine"],
    ):  # fmt: skip
        assert words in out, words


def test_a_file_is_verified_without_training(
    made: tuple[Path, Any, str], sipp: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("sipp_core.zoo.training.train", never)
    folder, facts, _ = made
    words = ("generalize", "--verify", folder / "a.sipp", "--delta", 0.1)
    result = sipp(*words, "--candidates", 2, "--json").json
    best = facts["candidates"][facts["best"]]
    assert (result["errors"], result["test_errors"]) == (best["errors"], best["test_errors"])
    assert result["bounds"] == facts["bounds"][:4] and result["net"] == NET
    alone = sipp(*words)
    free = verifying.verify(folder / "a.sipp", delta=0.1)
    assert free["bounds"][0]["value"] <= result["bounds"][0]["value"]
    assert free["choice_bits"] == 32 and alone.code == int(free["bounds"][0]["vacuous"])
    assert facts["file"]["sha256"] in alone.out and "of the search" not in alone.out


def test_a_vacuous_bound_is_exit_code_1(sipp: Call, tmp_path: Path, short: None) -> None:
    dense = compress(models.dense([64, 10], 0), architecture=NET).save(tmp_path / "dense.sipp")
    for words in ((), ("--json",)):
        ended = sipp("generalize", "--verify", dense, "--out", tmp_path / "v.json", *words)
        assert ended.code == 1
    assert json.loads((tmp_path / "v.json").read_text())["bounds"][0]["value"] == 1
    ended = sipp("generalize", "--verify", dense)
    assert "The certified bound is vacuous" in ended.out


@pytest.mark.parametrize(
    ("words", "why"),
    [(("no-net",), "net must be one of"),
     (("--data", "x"), "data must be one of digits, mnist"),
     (("--delta", 1), "delta"),
     (("--keep", "a"), "--keep takes values with commas between; found 'a'"),
     (("--keep", "1.5"), "keep must lie in (0, 1]"),
     (("--levels", "1"), "levels must be at least 2; found 1"),
     (("--levels", "4"), "odd number of levels"),
     (("--method", "magnitude,x"), "found 'x'"),
     (("--threads", 0), "--threads must be at least 1 and at most 1024; found 0"),
     (("--candidates", 3), "with --verify only"),
     (("--verify", "a.sipp", "--keep", "0.5"), "--keep says how to find a file"),
     ((NET, "--verify", "a.sipp"), "NET says how to find a file"),
     (("--verify", "a.sipp"), "there is no compressed network at a.sipp"),
     (("--device", "abacus"), "--device 'abacus'")],
)  # fmt: skip
def test_bad_arguments_are_refused(
    refused: Call, words: tuple[str, ...], why: str, tmp_path: Path, short: None
) -> None:
    # A file is named, so that nothing else is to be said.
    kept = () if "--verify" in words else ("--file", tmp_path / "a.sipp")
    assert why in refused("generalize", *words, *kept)


def test_files_that_cannot_be_verified_are_refused(
    refused: Call, tmp_path: Path, made: tuple[Path, Any, str], mnist_dir: Path
) -> None:
    whole = made[0] / "a.sipp"
    bad = tmp_path / "bad.sipp"
    content = bytearray(whole.read_bytes())
    content[-1] ^= 1
    bad.write_bytes(content)
    assert "has been altered" in refused("generalize", "--verify", bad)
    bad.write_bytes(b"something else")
    assert "is no compressed network" in refused("generalize", "--verify", bad)
    compress(nn.Linear(64, 10)).save(bad)
    assert "names no architecture" in refused("generalize", "--verify", bad)
    compress(models.dense([64, 3], 0), architecture="dense:64,3").save(bad)
    assert "tells 3 classes apart" in refused("generalize", "--verify", bad)
    words = ("--data", "mnist", "--data-dir", mnist_dir)
    assert "takes inputs of shape (64,)" in refused("generalize", "--verify", whole, *words)
    assert "found 'x'" in refused("generalize", "--verify", whole, "--data", "x")
    none = refused("generalize", "--verify", whole, "--candidates", 0)
    assert "candidates must be at least 1; found 0" in none


def test_places_that_cannot_be_written_are_refused_first(refused: Call, tmp_path: Path) -> None:
    for option in ("--out", "--file"):
        assert "it is a folder" in refused("generalize", option, tmp_path)


def test_a_search_that_keeps_no_network_says_so(
    sipp: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reports.generalization, "generalize", stop)
    ended = sipp("generalize")
    assert ended.code == 130 and "--file FILE.sipp keeps it" in ended.err

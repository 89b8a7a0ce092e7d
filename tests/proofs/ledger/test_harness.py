"""The run: the same bits on any number of processes, on a cluster, and after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import pytest

import sipp_theory
from proofs_check import run
from proofs_check.draws import coverage as draws
from proofs_check.ledger import harness
from proofs_check.ledger.harness import LedgerRun
from proofs_check.ledger.mutation import Mutation, substituted
from proofs_check.ledger.performing import try_mutation
from proofs_check.ledger.registry import Setting, check
from proofs_check.ledger.store import Store
from sipp_theory.draws import bernstein

# Two quick claims with every kind of evidence, and coverage that stops at different trials.
CLAIMS = ("CT-3", "CT-6")


def numbers(found: LedgerRun) -> str:
    return json.dumps(found.summary(), sort_keys=True)


@pytest.fixture(scope="module")
def serial() -> LedgerRun:
    return run(claims=CLAIMS, jobs=1)


def test_many_processes_change_nothing(serial: LedgerRun) -> None:
    assert numbers(run(claims=CLAIMS, jobs=2)) == numbers(serial)


def test_a_dask_cluster_changes_nothing(serial: LedgerRun) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_backend("dask"),
    ):
        assert numbers(run(claims=CLAIMS)) == numbers(serial)


def test_a_stopped_run_goes_on_where_it_stopped(
    serial: LedgerRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    original = harness.perform

    def interrupted(name: str, setting: Setting) -> Any:
        if len(done) == 9:
            raise KeyboardInterrupt
        done.append(name)
        return original(name, setting)

    monkeypatch.setattr(harness, "perform", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(claims=CLAIMS, jobs=1, store=str(tmp_path))
    kept = {path.stem for path in tmp_path.rglob("*.json")}
    assert kept and kept <= set(done)
    again: list[str] = []

    def counting(name: str, setting: Setting) -> Any:
        again.append(name)
        return original(name, setting)

    monkeypatch.setattr(harness, "perform", counting)
    result = run(claims=CLAIMS, jobs=1, store=str(tmp_path))
    # A mutation performs the checks that must notice it, so those may come again.
    assert numbers(result) == numbers(serial)
    assert not {name for name in kept if name.startswith("mutations.")} & set(again)
    again.clear()
    assert numbers(run(claims=CLAIMS, jobs=1, store=str(tmp_path))) == numbers(serial)
    assert again == []


def test_a_broken_file_in_the_store_counts_as_missing(tmp_path: Path, serial: LedgerRun) -> None:
    store, evidence = Store(tmp_path, Setting()), list(serial.entries[0].evidence)
    store.put("laws.x", evidence)
    result = store.get("laws.x")
    assert result is not None
    assert [e.summary() for e in result] == [e.summary() for e in evidence]
    assert Store(tmp_path, Setting(seed=1)).get("laws.x") is None
    for content in ("[{]", "[{}]", "[1]", '{"a": 1}'):
        next(tmp_path.rglob("laws.x.json")).write_text(content)
        assert store.get("laws.x") is None


def test_progress_tells_every_check() -> None:
    seen: list[tuple[int, int, str]] = []
    run(claims=["AL-2"], jobs=1, progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(1, seen[0][1] + 1))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"profile": "slow"}, "profile must be one of .* found 'slow'"),
        ({"claims": ["XX-1"]}, "'XX-1'"),
        ({"seed": -1}, "seed must be a whole number >= 0; found -1"),
        ({"seed": True}, "found True"),
    ],
)
def test_what_cannot_be_run_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run(**asked)


def test_a_mutation_is_seen_everywhere_and_leaves_no_trace() -> None:
    original = sipp_theory.bernstein_size
    with substituted(original, lambda size: lambda *given: 7.0):
        assert sipp_theory.bernstein_size(9.0, 0.1, 0.05) == 7.0
        assert bernstein.bernstein_size is sipp_theory.bernstein_size
    assert sipp_theory.bernstein_size is original is bernstein.bernstein_size


def test_a_harmless_mutation_survives() -> None:
    """What the mutation test itself must be able to say."""
    harmless = Mutation(
        "SP-3", "larger", "SP-3 with twice its draws.", sipp_theory.bernstein_size,
        lambda size: lambda *given: 2 * size(*given), (draws.bernstein_two_point,),
    )  # fmt: skip
    result = try_mutation("mutations.draws.larger", harmless, Setting())
    assert result.outcome == "survived" and "bernstein_two_point" in result.found


def test_a_check_says_what_it_checks() -> None:
    def silent(setting: Setting) -> None:
        pass

    with pytest.raises(ValueError, match="must have a docstring"):
        check("laws", "SP-3")(silent)

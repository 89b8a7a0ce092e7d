"""`sipp check`: what it shows of the ledger, and that it refutes a bound that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import proofs_check
import sipp_theory
from proofs_check import LEDGER
from proofs_check.ledger import harness
from proofs_check.ledger.evidence import Evidence
from proofs_check.ledger.harness import LedgerRun
from proofs_check.ledger.mutation import Function, substituted
from proofs_check.ledger.registry import all_checks
from proofs_check.ledger.status import entries

Call = Callable[..., Any]


def test_one_claim_with_its_assumptions(sipp: Call) -> None:
    ended = sipp("check", "--claim", "ES-6")
    assert ended.code == 0
    for word in ("ES-6", "proved", "coverage", "A-iid", "weakened copies"):
        assert word in ended.out


def test_json_lists_what_every_claim_rests_on(sipp: Call) -> None:
    result = sipp("check", "--claim", "CT-2", "--json").json
    claim, assumption = result["claims"]
    assert (assumption["id"], assumption["status"]) == ("A-held-out", "consistent")
    assert (claim["id"], claim["status"]) == ("CT-2", "checked")
    assert set(claim["kinds"]) == {"symbolic", "laws", "oracles", "coverage", "mutations"}
    assert claim["trials"] > 0 and claim["failures"] >= 0 and len(claim["interval"]) == 2
    assert claim["tightness"]["least"] >= 1
    assert result["refuted"] == result["survived"] == [] and result["findings"]
    assert result["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("claim", "target"),
    [
        ("SP-2", sipp_theory.corenet_size),
        ("SP-3", sipp_theory.bernstein_size),
        ("SP-4", sipp_theory.kl_size),
        ("SP-5", sipp_theory.cramer_size),
        ("SP-5x", sipp_theory.exact_size),
        ("SP-3", sipp_theory.sample_size),
        ("SP-8", sipp_theory.inclusion_rate),
        ("ES-4", sipp_theory.calibration_size),
        ("CT-2", sipp_theory.points_needed),
    ],
)
def test_a_size_divided_by_eight_by_hand_is_refuted(
    sipp: Call, claim: str, target: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Oracles and trials of its own family must notice. Laws, which look long for the smallest
    # counterexample, are held against mutations in the ledger; copies of what is wrong already,
    # weakened once more, have nothing to say.
    family = target.__module__.split(".")[1]
    # That the front door is the size of its bound is a law.
    kinds = ("laws",) if target is sipp_theory.sample_size else ("oracles", "coverage")
    own = {
        name: check
        for name, check in all_checks().items()
        if check.kind in kinds and name.split(".")[1] == family
    }
    monkeypatch.setattr(harness, "all_checks", lambda: own)
    monkeypatch.setattr(harness, "all_mutations", dict)

    def eighth(size: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: np.ceil(size(*given, **named) / 8)

    with substituted(target, eighth):
        ended = sipp("check", "--claim", claim, "--json")
    assert ended.code == 1
    assert claim in ended.json["refuted"]
    refuting = [
        e
        for entry in ended.json["claims"]
        for e in entry["evidence"]
        if entry["id"] == claim and e["outcome"] == "refuted"
    ]
    assert refuting and all(e["counterexample"] for e in refuting)


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize(
    ("kind", "outcome", "code"),
    [
        ("laws", "refuted", 1),
        ("mutations", "survived", 1),
        ("assumptions", "refuted", 0),
        ("coverage", "undecided", 0),
    ],
)
def test_the_exit_code_tells_refutations_and_survivors(
    sipp: Call, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...], kind: Any, outcome: Any,
    code: int,
) -> None:  # fmt: skip
    claim = "A2" if kind == "assumptions" else "SP-3"
    seen: dict[str, Any] = {}

    def run(profile: Any, **options: Any) -> LedgerRun:
        seen.update(options, profile=profile)
        one = Evidence(claim, kind, f"{kind}.sp.x", "said", outcome, "found", "law(x=1)")
        return LedgerRun(entries([LEDGER[claim]], [one]), profile, options["seed"], {})

    monkeypatch.setattr(proofs_check, "run", run)
    ended = sipp("check", "--seed", 2, "--jobs", 3, *form)
    assert ended.code == code and f"{kind}.sp.x" in ended.out
    assert (seen["profile"], seen["seed"], seen["jobs"]) == ("quick", 2, 3)


def test_the_full_profile_says_what_it_leaves_out(
    sipp: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, Any] = {}

    def run(profile: Any, **options: Any) -> LedgerRun:
        seen.update(options)
        return LedgerRun((), profile, 0, {})

    monkeypatch.setattr(proofs_check, "run", run)
    monkeypatch.delenv("SIPP_DATA_DIR", raising=False)
    assert "--data-dir" in sipp("check", "--profile", "full").err
    monkeypatch.setenv("SIPP_DATA_DIR", str(tmp_path))
    assert sipp("check", "--profile", "full", "--store", tmp_path).err == ""
    assert seen["data_dir"] == seen["store"] == str(tmp_path) and seen["jobs"] == -1


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (("--profile", "slow"), "'slow'"),
        (("--claim", "SP-99"), "'SP-99'"),
        (("--seed", -1), "-1"),
        (("--jobs", 0), "--jobs"),
        (("--device", "abacus"), "'abacus'"),
    ],
)
def test_bad_options_are_refused(
    refused: Callable[..., str], words: tuple[object, ...], culprit: str
) -> None:
    assert culprit in refused("check", *words)

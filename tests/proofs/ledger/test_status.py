"""The status of an entry says what its evidence supports, and never more."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proofs_check.draws import symbolic
from proofs_check.ledger.claim import Claim, Step
from proofs_check.ledger.evidence import Evidence, Kind, Outcome, read_evidence
from proofs_check.ledger.status import corrected, entries, status

STEPS = (Step("first", symbolic.unbiased), Step("second", symbolic.markov))
CLAIM = Claim("SP-3", "Bernstein", "m", "few", "[SP]", assumptions=("A1",), steps=STEPS)


def piece(kind: Kind, outcome: Outcome, check: str = "x", claim: str = "SP-3") -> Evidence:
    return Evidence(claim, kind, check, "", outcome)


PROOFS = ("symbolic.draws.unbiased", "symbolic.draws.markov")
BOTH = [piece("symbolic", "proved", name) for name in PROOFS]
ORACLE = piece("oracles", "passed")
TRIALS = piece("coverage", "consistent")


@pytest.mark.parametrize(
    ("evidence", "fallen", "expected"),
    [
        ([], (), "not checked"),
        ([piece("oracles", "skipped")], (), "not checked"),
        ([TRIALS], (), "consistent"),
        ([BOTH[0], TRIALS], (), "consistent"),
        ([BOTH[0], ORACLE, TRIALS], (), "checked"),
        ([ORACLE, piece("coverage", "undecided")], (), "consistent"),
        ([ORACLE, piece("symbolic", "open")], (), "consistent"),
        ([ORACLE, piece("coverage", "skipped")], (), "consistent"),
        (BOTH, (), "proved"),
        ([*BOTH, ORACLE, TRIALS], (), "proved"),
        ([*BOTH, ORACLE, piece("coverage", "refuted")], (), "refuted"),
        ([*BOTH, ORACLE, TRIALS], ("A1",), "assumption refuted here"),
        ([*BOTH, ORACLE, piece("laws", "refuted")], ("A1",), "refuted"),
        ([*BOTH, ORACLE, TRIALS], ("A2",), "proved"),
        ([piece("mutations", "killed")], (), "not checked"),
        ([ORACLE, piece("mutations", "survived")], (), "checked"),
    ],
)
def test_never_more_than_the_evidence(
    evidence: list[Evidence], fallen: tuple[str, ...], expected: str
) -> None:
    assert status(CLAIM, evidence, fallen) == expected


def test_a_claim_without_steps_is_never_proved() -> None:
    assert status(replace(CLAIM, steps=()), [*BOTH, ORACLE], ()) == "checked"


def test_an_assumption_falls_and_takes_its_claims_along() -> None:
    assumption = Claim("A1", "the law of the shares", "F", "f", "[CN]")
    bare = replace(CLAIM, id="SP-4", assumptions=())
    result = entries(
        [CLAIM, bare, assumption],
        [ORACLE, replace(ORACLE, claim="SP-4"), piece("assumptions", "refuted", claim="A1")],
    )
    assert [entry.status for entry in result] == [
        "assumption refuted here", "checked", "assumption refuted here",
    ]  # fmt: skip


def test_holm_judges_the_whole_run() -> None:
    several = [replace(TRIALS, p_value=p, trials=9, failures=8, delta=0.05) for p in
               (2e-4, 0.5, 4e-4, 1e-3)]  # fmt: skip
    judged = corrected([*several, replace(ORACLE)])
    assert [e.outcome for e in judged] == [
        "refuted", "consistent", "consistent", "consistent", "passed",
    ]  # fmt: skip
    assert "8 failures in 9 trials" in judged[0].counterexample
    # The second passes 1e-3/3 only when the first has been rejected.
    closer = [replace(several[0], p_value=p) for p in (2e-4, 3e-4, 0.5, 0.5)]
    assert [e.outcome for e in corrected(closer)][:2] == ["refuted", "refuted"]


def test_a_summary_can_be_read_back() -> None:
    full = replace(TRIALS, low=0.1, promised=9.0, needed=3.0, series={"t": [1.0, 2.0]})
    written = json.loads(json.dumps(full.summary(), allow_nan=False))
    assert written["tightness"] == 3.0 and written["p_value"] is None
    assert read_evidence(written).summary() == full.summary()


def test_the_entry_shows_its_least_convincing_trials() -> None:
    claim = replace(CLAIM, steps=())
    counts = [replace(TRIALS, p_value=p, trials=n, failures=3, low=0.1, high=0.2, promised=r,
                      needed=2.0) for p, n, r in ((1.0, 99, 4.0), (0.3, 50, 6.0))]  # fmt: skip
    (entry,) = entries([claim], [*counts, ORACLE])
    shown = entry.summary()
    assert (shown["trials"], shown["failures"], shown["interval"]) == (50, 3, [0.1, 0.2])
    assert shown["tightness"] == {"least": 2.0, "largest": 3.0}
    assert shown["kinds"] == ["coverage", "oracles"]

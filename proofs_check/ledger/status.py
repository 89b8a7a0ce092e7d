"""The status of an entry: what its evidence supports, and never more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from proofs_check.ledger.claim import Claim, public_name
from proofs_check.ledger.evidence import Evidence
from proofs_check.ledger.registry import name_of
from proofs_check.ledger.sequential import holm

Status = Literal[
    "proved",  # every step of the proof was derived by machine
    "checked",  # laws or oracles passed, and no check is missing or undecided
    "consistent",  # Monte Carlo only, or a check is missing
    "assumption refuted here",  # an assumption fails on a network that was looked at
    "refuted",  # a counterexample, which the evidence names
    "not checked",
]


@dataclass(frozen=True)
class Entry:
    """A claim with the evidence of one run.

    Attributes:
        claim: the ledger's entry.
        status: what the evidence supports.
        evidence: of every check and mutation that was run.
    """

    claim: Claim
    status: Status
    evidence: tuple[Evidence, ...]

    @property
    def survived(self) -> tuple[str, ...]:
        """Mutations that no check refuted."""
        return tuple(e.check for e in self.evidence if e.outcome == "survived")

    @property
    def missing(self) -> tuple[str, ...]:
        """Checks that were skipped or could not decide."""
        return tuple(
            e.check for e in self.evidence if e.outcome in ("skipped", "undecided", "open")
        )

    @property
    def sharpest(self) -> Evidence | None:
        """The coverage evidence that speaks most against the claim: least p-value, most trials."""
        counted = [e for e in self.evidence if e.kind == "coverage" and e.p_value >= 0]
        return min(counted, key=lambda e: (e.p_value, -e.trials), default=None)

    @property
    def tightness(self) -> tuple[float, float] | None:
        """Least and largest of promised over needed, over the evidence that measured it."""
        ratios = [e.tightness for e in self.evidence if np.isfinite(e.tightness)]
        return (min(ratios), max(ratios)) if ratios else None

    def summary(self) -> dict[str, Any]:
        """The entry, ready for JSON."""
        proved = _proved(self.evidence)
        count, tight = self.sharpest, self.tightness
        names = [name_of(step.proved_by) if step.proved_by else "" for step in self.claim.steps]
        return {one.name: getattr(self.claim, one.name) for one in fields(Claim)} | {
            "computes": [public_name(one) for one in self.claim.computes],
            "steps": [
                {
                    "says": step.says,
                    "proved_by": name,
                    "why_not": step.why_not,
                    "proved": name in proved,
                }
                for step, name in zip(self.claim.steps, names, strict=True)
            ],
            "family": self.claim.family,
            "status": self.status,
            "kinds": list(dict.fromkeys(e.kind for e in self.evidence)),
            "trials": count.trials if count else 0,
            "failures": count.failures if count else 0,
            "interval": [count.low, count.high] if count else None,
            "tightness": {"least": tight[0], "largest": tight[1]} if tight else None,
            "missing": list(self.missing),
            "evidence": [e.summary() for e in self.evidence],
        }


def corrected(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Judge the coverage evidence of a whole run together, by Holm's correction."""
    tested = [i for i, e in enumerate(evidence) if e.kind == "coverage" and e.p_value >= 0]
    rejected = holm([evidence[i].p_value for i in tested])
    judged = list(evidence)
    for index, reject in zip(tested, rejected, strict=True):
        if reject and judged[index].outcome != "refuted":
            one = judged[index]
            words = f"{one.failures} failures in {one.trials} trials, promised {one.delta:g}"
            judged[index] = replace(one, outcome="refuted", counterexample=words)
    return judged


def entries(claims: Sequence[Claim], evidence: Sequence[Evidence]) -> tuple[Entry, ...]:
    """Give every claim its evidence and its status."""
    fallen = {e.claim for e in evidence if e.kind == "assumptions" and e.outcome == "refuted"}
    entries = []
    for claim in claims:
        own = tuple(e for e in evidence if e.claim == claim.id)
        entries.append(Entry(claim, status(claim, own, fallen), own))
    return tuple(entries)


def status(claim: Claim, evidence: Sequence[Evidence], fallen: Collection[str]) -> Status:
    """What the evidence supports for one claim."""
    outcomes = Counter(e.outcome for e in evidence if e.kind != "mutations")
    if claim.id in fallen or (set(claim.assumptions) & set(fallen) and not outcomes["refuted"]):
        return "assumption refuted here"
    if outcomes["refuted"]:
        return "refuted"
    proved = _proved(evidence)
    undecided = outcomes["undecided"] + outcomes["open"] + outcomes["skipped"]
    if claim.steps and all(s.proved_by and name_of(s.proved_by) in proved for s in claim.steps):
        return "proved"
    if outcomes["passed"] and not undecided:
        return "checked"
    if outcomes["consistent"] or outcomes["passed"] or outcomes["holds"]:
        return "consistent"
    return "not checked"


def _proved(evidence: Sequence[Evidence]) -> set[str]:
    return {e.check for e in evidence if e.outcome == "proved"}

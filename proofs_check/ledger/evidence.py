"""Evidence: what one check has to say about one claim, and the trials that a check may ask for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from proofs_check.ledger.refusals import require_chance

Kind = Literal["symbolic", "laws", "oracles", "coverage", "mutations", "assumptions"]
Outcome = Literal[
    "proved",  # symbolic: every step of the check was derived by machine
    "open",  # symbolic: a step that the machine could not derive; `found` says which
    "passed",  # laws, oracles: no counterexample among the cases looked at
    "consistent",  # coverage: not refuted, and a rate of 2 delta would have been seen
    "undecided",  # coverage: not refuted, but too few trials to have noticed
    "holds",  # assumptions: not refuted on this network
    "killed",  # mutations: the weakened copy was refuted
    "survived",  # mutations: nothing noticed it
    "refuted",  # any kind but mutations: a counterexample, or a p-value beyond doubt
    "skipped",  # what it needs is not here; `found` says what
]


@dataclass(frozen=True)
class Evidence:
    """What one check found about one claim.

    Attributes:
        claim: id in the ledger, as "SP-3".
        kind: which of the kinds of evidence.
        check: name of the check, as "oracles.draws.corenet_in_factors"; `sipp check` runs it again.
        says: what was looked at, one sentence.
        outcome: see `Outcome`.
        found: what was found, in words with numbers; "" if the outcome says it all.
        counterexample: smallest one found, as something to paste into Python; "" if none.
        trials: independent trials (coverage), cases compared or drawn (oracles, laws); 0 if none.
        failures: trials that failed.
        delta: failure probability that was promised to the trials; NaN outside coverage.
        low: lower limit of the failure rate, valid at whatever trial the count stopped.
        high: upper limit likewise.
        p_value: chance of so much evidence against the claim if it holds; NaN outside coverage.
        promised: what the bound asks for or promises, in its own unit; NaN if not measured.
        needed: what the truth needs, same unit; NaN if not measured.
        series: numbers behind a picture, by name.
    """

    claim: str
    kind: Kind
    check: str
    says: str
    outcome: Outcome
    found: str = ""
    counterexample: str = ""
    trials: int = 0
    failures: int = 0
    delta: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    promised: float = math.nan
    needed: float = math.nan
    series: dict[str, list[float]] = field(default_factory=dict)

    @property
    def tightness(self) -> float:
        """Promised over needed, 1 at best; NaN if not measured."""
        return self.promised / self.needed if self.needed > 0 else math.nan

    def summary(self) -> dict[str, Any]:
        """All fields and the tightness, ready for JSON: what was not measured is None."""
        fields = asdict(self) | {"tightness": self.tightness}
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in fields.items()
        }


def read_evidence(fields: dict[str, Any]) -> Evidence:
    """Make evidence of what `Evidence.summary` wrote."""
    given: dict[str, Any] = {n: math.nan if v is None else v for n, v in fields.items()}
    given.pop("tightness", None)
    return Evidence(**given)


class Refuted(Exception):
    """A check found a counterexample; the message holds it, the smallest that was found.

    Attributes:
        series: numbers behind a picture of it, by name.
    """

    def __init__(self, message: str = "", series: dict[str, list[float]] | None = None) -> None:
        super().__init__(message)
        self.series = series or {}


class Unproved(Exception):
    """A symbolic check could not derive a step; the message names the step."""


class Unavailable(Exception):
    """What a check needs is not on this machine; the message says what and how to get it."""


@dataclass(frozen=True)
class Result:
    """What a check returns if it refutes nothing and has numbers to report.

    Attributes:
        text: the result in words, with numbers.
        cases: cases looked at.
        promised: as in `Evidence`.
        needed: as in `Evidence`.
        series: numbers behind a picture, by name.
    """

    text: str = ""
    cases: int = 0
    promised: float = math.nan
    needed: float = math.nan
    series: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """Trials that a coverage check asks for: a claim "fails with probability at most delta".

    Attributes:
        says: what is counted, one sentence.
        delta: failure probability promised to one trial, in (0, 1).
        count: (block, size) -> failures among the `size` trials of that block. Its randomness comes
            from its own seed and the block's number alone, so that a run is the same on any
            number of machines; it can be pickled, and it does not call the bound under test.
        block: trials a block; a trial that takes long has a block of few.
        most: largest number of trials, 0 for as many as the power needs.
        promised: what the bound asks for, in its own unit; NaN if nothing is compared.
        needed: what the trials need, by a search that uses no bound; NaN if nothing is compared.
    """

    says: str
    delta: float
    count: Callable[[int, int], int]
    block: int = 1024
    most: int = 0
    promised: float = math.nan
    needed: float = math.nan

    def __post_init__(self) -> None:
        require_chance("delta", self.delta)
        if self.block < 1:
            raise ValueError(f"block must be at least 1; found {self.block!r}")

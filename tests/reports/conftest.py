"""A small hand-made summary of a ledger run, one quick report, and the text of a page."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reports import BuildResult, build
from reports.overview import experiment
from tests.conftest import Once

Json = dict[str, Any]


def evidence(claim: str, kind: str, outcome: str, **more: Any) -> Json:
    blank = {
        "claim": claim, "kind": kind, "check": f"{kind}.family.{claim.lower()}", "found": "",
        "says": f"What was looked at for {claim}.", "outcome": outcome, "counterexample": "",
        "trials": 0, "failures": 0, "delta": None, "low": None, "high": None, "p_value": None,
        "promised": None, "needed": None, "tightness": None, "series": {},
    }  # fmt: skip
    return blank | more


def entry(name: str, status: str, *found: Json, **more: Any) -> Json:
    ratios = [e["tightness"] for e in found if e["tightness"]]
    counted = [e for e in found if e["kind"] == "coverage"]
    blank = {
        "id": name, "name": f"name of {name}", "family": name.partition("-")[0],
        "statement": rf"$\hat z_{{1}} \leq \frac{{S}}{{\epsilon}}$ for {name}.",
        "plain": f"Plainly {name}.", "source": "arXiv 1804.05345, ICLR 2019", "assumptions": [],
        "depends": [], "computes": ["sipp_theory.some_size"], "steps": [], "probabilistic": False,
        "use_instead": "", "status": status, "kinds": list(dict.fromkeys(e["kind"] for e in found)),
        "trials": counted[0]["trials"] if counted else 0,
        "failures": counted[0]["failures"] if counted else 0,
        "interval": [counted[0]["low"], counted[0]["high"]] if counted else None,
        "tightness": {"least": min(ratios), "largest": max(ratios)} if ratios else None,
        "missing": [], "evidence": list(found),
    }  # fmt: skip
    return blank | more


def run(*claims: Json, **more: Any) -> Json:
    blank = {
        "profile": "quick", "seed": 0, "versions": {"sipp-theory": "0.1.0"}, "survived": [],
        "refuted": [c["id"] for c in claims if c["status"] == "refuted"], "counts": {},
        "claims": list(claims),
    }  # fmt: skip
    return blank | more


def counted(claim: str, promised: float, needed: float = 100.0) -> Json:
    return evidence(
        claim, "coverage", "consistent", trials=5432, failures=21, delta=0.05, low=0.0023,
        high=0.0061, p_value=0.77, promised=promised, needed=needed, tightness=promised / needed,
    )  # fmt: skip


@pytest.fixture(scope="session")
def built(once: Once) -> BuildResult:
    """A report in its quick form, and where it was written; for reading only."""

    def make(folder: Path) -> None:
        done = build("digits", folder / "out", quick=True)
        marks = {"vacuous": done.vacuous, "violated": done.violated}
        (folder / "marks.json").write_text(json.dumps(marks))

    folder = once("quick-report", make)
    marks = json.loads((folder / "marks.json").read_text())
    return BuildResult(folder / "out" / "index.html", folder / "out" / "results.json", **marks)


@pytest.fixture(scope="session")
def quick_results(built: BuildResult) -> Json:
    """All that it says; no word of it is NaN or infinite."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"results.json holds {constant}")

    return json.loads(built.results.read_text("utf-8"), parse_constant=refuse)


@pytest.fixture
def computed(quick_results: Json, monkeypatch: pytest.MonkeyPatch) -> Json:
    """Spare a report all of its computations: its results are those of another."""
    monkeypatch.setattr(experiment, "run", lambda *_, **__: copy.deepcopy(quick_results))
    return quick_results


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="session")
def text_of() -> Callable[[str], str]:
    """What a page says, without its tags, one space between words."""

    def text(html: str) -> str:
        parser = Text()
        parser.feed(html)
        return " ".join(" ".join(parser.words).split())

    return text


@pytest.fixture
def make_evidence() -> Callable[..., Json]:
    return evidence


@pytest.fixture
def make_entry() -> Callable[..., Json]:
    return entry


@pytest.fixture
def make_run() -> Callable[..., Json]:
    return run


@pytest.fixture
def make_counted() -> Callable[..., Json]:
    return counted


@pytest.fixture
def summary() -> Json:
    """One entry of each status, an assumption that fails, and an own claim beside the papers'."""
    tail = {"t": [1.0, 10.0, 100.0], "tail": [1.0, 0.1, 0.01], "envelope": [1.0, 0.1, 1e-9]}
    steps = [
        {"says": "By $2 > 1$.", "proved_by": "symbolic.family.es-1", "why_not": "", "proved": True},
        {"says": "Bernstein.", "proved_by": "", "why_not": "a cited theorem", "proved": False},
    ]
    return run(
        entry("ES-1", "proved", evidence("ES-1", "symbolic", "proved"), steps=steps),
        entry(
            "SP-2", "checked", counted("SP-2", 40_000.0), counted("SP-2", 41_200.0),
            evidence("SP-2", "mutations", "killed", counterexample="seen at eps = .1"),
            assumptions=["A1"], depends=["ES-1"], use_instead="SP-5x", probabilistic=True,
        ),
        entry("SP-5x", "consistent", counted("SP-5x", 104.0), source="derived here"),
        entry(
            "SP-8", "refuted",
            evidence("SP-8", "laws", "refuted", counterexample="size(S=1, eps=<b>2</b>)\n# 3 < 4"),
            depends=["SP-2"], source="derived here",
        ),
        entry("NW-5", "assumption refuted here", counted("NW-5", 1e26), assumptions=["A2"],
              depends=["SP-2"], use_instead="SP-5x"),
        entry("NW-7", "not checked", missing=["coverage.network.later"]),
        entry("A1", "consistent", evidence("A1", "assumptions", "holds", series={"k": [1.0, 2.0]})),
        entry(
            "A2", "assumption refuted here",
            evidence("A2", "assumptions", "refuted", found="", series=tail,
                     counterexample="digits: tail index 1.06 in [0.98, 1.15]"),
        ),
    )  # fmt: skip

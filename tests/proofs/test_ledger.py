"""The ledger is whole: no claim without code and evidence, no code without a claim. It holds."""

from __future__ import annotations

import importlib
import inspect
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sipp_theory
from proofs_check import LEDGER, LedgerRun, run
from proofs_check.kinds.mutations import all_mutations
from proofs_check.ledger.claim import public_name
from proofs_check.ledger.evidence import Evidence
from proofs_check.ledger.performing import perform
from proofs_check.ledger.registry import Setting, all_checks, checks_of, name_of
from proofs_check.ledger.sequential import FAMILY, run_serially, verdict

SECTIONS = {"ES": 6, "SP": 10, "NW": 7, "AL": 2, "CT": 8, "PF": 2, "NT": 4, "MS": 5, "GN": 4}
SECTIONS["NC"] = 10
SECTIONS["SV"] = 12
IDS = {f"{family}-{n}" for family, last in SECTIONS.items() for n in range(1, last + 1)}
IDS |= {
    "SV-0",
    "NC-1g",
    "NC-3g",
    "NC-8r",
    "SP-5x",
    "SP-11",
    "SP-12",
    "SP-13",
    "AL-3",
    "AL-4",
    "AL-5",
    "AL-6",
}
# In the theory, not yet in the code; a claim that enters the ledger leaves this list.
PLANNED: set[str] = set()
ASSUMPTIONS = {"A1", "A2", "A-iid", "A-held-out", "A-nonnegative"}
CLAIM_IDS = re.compile(r"\b(?:ES|SP|NW|AL|CT|PF|NT|MS|GN|NC|SV)-\d+[gxr]?\b")


def cited(thing: object) -> set[str]:
    """Ids on the line 'Claim:' of a docstring."""
    line = re.search(r"^Claim: (.*?)(?: Source:|$)", inspect.getdoc(thing) or "", re.MULTILINE)
    return set(CLAIM_IDS.findall(line.group(1))) if line else set()


def test_the_ledger_has_every_claim_of_the_theory() -> None:
    assert set(LEDGER) == IDS | ASSUMPTIONS


def test_the_theory_file_names_no_other_claim(repository: Path) -> None:
    theory = repository.parent / "shared" / "THEORY.md"
    if not theory.is_file():
        pytest.skip(f"no {theory}: the list in this test stands alone")
    text, _, rest = theory.read_text("utf-8").partition("## 6.")
    numbered = set(re.findall(r"^- \*\*((?:ES|SP|NW|AL|CT)-\d+x?)\*\*", text, re.MULTILINE))
    numbered |= set(re.findall(r"^- \*\*((?:NT|PF|GN|NC|SV)-\d+[gr]?)\*\*", rest, re.MULTILINE))
    # PF-2 and NC-10 are our own, and section 10 gives no ids.
    ours = {name for name in IDS - {"PF-2", "NC-10"} if not name.startswith("MS")}
    assert numbered - ours == PLANNED
    assert ours <= numbered


@pytest.mark.parametrize("name", sorted(LEDGER))
def test_every_name_of_an_entry_resolves(name: str) -> None:
    claim = LEDGER[name]
    assert claim.name[0].isupper() and claim.statement and claim.plain and claim.source
    for other in (*claim.assumptions, *claim.depends, *filter(None, [claim.use_instead])):
        assert other in LEDGER and other != name, other
    assert claim.computes, "a claim without code"
    for function in claim.computes:
        module, _, attribute = public_name(function).rpartition(".")
        assert getattr(importlib.import_module(module), attribute) is function
    for step in claim.steps:
        assert bool(step.proved_by) != bool(step.why_not), step
        if step.proved_by:
            assert all_checks()[name_of(step.proved_by)].kind == "symbolic", step


@pytest.mark.parametrize("name", sorted(IDS))
def test_every_claim_has_evidence(name: str) -> None:
    kinds = {check.kind for check in checks_of(name, "quick")}
    assert kinds & {"laws", "oracles", "coverage"}, "a claim without evidence"
    assert LEDGER[name].steps, "a claim without a proof"
    if LEDGER[name].probabilistic:
        assert "coverage" in kinds
        killers = [m.by for m in all_mutations().values() if m.claim == name]
        assert killers, "no mutation"


@pytest.mark.parametrize("name", sorted(ASSUMPTIONS))
def test_every_assumption_is_checked_and_used(name: str) -> None:
    assert any(check.kind == "assumptions" for check in checks_of(name, "quick"))
    assert any(name in claim.assumptions for claim in LEDGER.values())


def test_nothing_depends_on_itself() -> None:
    TopologicalSorter({name: claim.depends for name, claim in LEDGER.items()}).prepare()


@pytest.mark.parametrize("name", sipp_theory.__all__)
def test_every_public_bound_is_in_the_ledger(name: str) -> None:
    thing = getattr(sipp_theory, name)
    if not inspect.isfunction(thing):
        return
    ids = cited(thing)
    assert ids <= set(LEDGER)
    for claim in ids:
        assert thing in LEDGER[claim].computes, f"{claim} does not name {name}"


def test_every_check_bears_on_claims_of_the_ledger() -> None:
    for check in all_checks().values():
        assert set(check.claims) <= set(LEDGER), check.name


@pytest.mark.parametrize("name", sorted(all_mutations()))
def test_every_mutation_has_a_target_and_checks_that_must_notice(name: str) -> None:
    mutation = all_mutations()[name]
    assert mutation.claim in LEDGER
    assert callable(mutation.wrong(mutation.target))
    for check in map(name_of, mutation.by):
        result = all_checks()[check]
        assert mutation.claim in result.claims and result.profile == "quick", check


@pytest.fixture(scope="module")
def quick() -> LedgerRun:
    """The quick profile, in this process, as `sipp check` runs it."""
    return run("quick", jobs=1)


def test_nothing_is_refuted_and_no_mutation_survives(quick: LedgerRun) -> None:
    assert quick.refuted == ()
    assert quick.survived == ()


@pytest.mark.parametrize("name", sorted(IDS | ASSUMPTIONS))
def test_the_status_is_what_the_evidence_supports(quick: LedgerRun, name: str) -> None:
    entry = next(e for e in quick.entries if e.claim.id == name)
    assert entry.status != "not checked"
    assert entry.missing == ()
    if name in IDS and entry.claim.probabilistic:
        killed = [e for e in entry.evidence if e.outcome == "killed"]
        assert killed
        assert entry.sharpest is not None and entry.sharpest.trials > 0
    if entry.status == "proved":
        proved = {e.check for e in entry.evidence if e.outcome == "proved"}
        assert all(s.proved_by and name_of(s.proved_by) in proved for s in entry.claim.steps)


def test_every_probabilistic_claim_loses_a_mutation_to_trials_or_an_exact_law(
    quick: LedgerRun,
) -> None:
    def by_probability(e: Evidence) -> bool:
        return e.outcome == "killed" and e.found.startswith(("coverage.", "oracles."))

    for entry in quick.entries:
        if entry.claim.probabilistic and entry.claim.id in IDS:
            assert any(map(by_probability, entry.evidence)), entry.claim.id


def test_the_family_is_large_enough_for_the_ledger(quick: LedgerRun) -> None:
    counted = [e for entry in quick.entries for e in entry.evidence if e.kind == "coverage"]
    # The full profile looks at two networks instead of one.
    assert 0 < 2 * len(counted) <= FAMILY


def ratios(found: list[Evidence]) -> list[float]:
    """Promised over needed, of all evidence that measured it."""
    return [e.tightness for e in found if e.tightness > 0]


def of_check(quick: LedgerRun, claim: str, check: str) -> list[Evidence]:
    entry = next(e for e in quick.entries if e.claim.id == claim)
    return [e for e in entry.evidence if e.check == check]


def test_the_findings_of_the_theory_are_found_again(quick: LedgerRun) -> None:
    networks = "coverage.draws"
    assert min(ratios(of_check(quick, "SP-2", f"{networks}.corenet_digits"))) > 200
    assert max(ratios(of_check(quick, "SP-5", f"{networks}.cramer_digits"))) <= 2.2
    assert max(ratios(of_check(quick, "SP-5x", f"{networks}.exact_digits"))) <= 1.1
    tight = ratios(of_check(quick, "ES-5", "coverage.sensitivity.a_priori_at_its_worst"))
    assert min(tight) >= 1 and max(tight) <= 1.1
    statuses = {entry.claim.id: entry.status for entry in quick.entries}
    for name in ("A2", "NW-4", "NW-5"):
        assert statuses[name] == "assumption refuted here"


def evidence(name: str, setting: Setting) -> list[Evidence]:
    return [
        one if isinstance(one, Evidence) else verdict(one[0], one[1], run_serially(one[1]))
        for one in perform(name, setting)
    ]


def test_the_findings_are_found_again_on_lenet_and_mnist(mnist_dir: Path, tmp_path: Path) -> None:
    setting = Setting("full", data_dir=str(mnist_dir), cache=str(tmp_path))
    networks = "coverage.draws"
    result = {
        name: evidence(f"{networks}.{name}_mnist", setting)
        for name in ("corenet", "cramer", "exact")
    }
    assert all(e.outcome == "consistent" for several in result.values() for e in several)
    assert min(ratios(result["corenet"])) > 200
    assert max(ratios(result["cramer"])) <= 2.2
    assert max(ratios(result["exact"])) <= 1.1
    (tail,) = evidence("assumptions.network.tail_on_mnist", setting)
    assert tail.outcome == "refuted" and "mnist" in tail.counterexample
    assert set(tail.series) >= {"t", "share_above_t", "subexponential_envelope"}

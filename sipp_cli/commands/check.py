"""`sipp check`: run the ledger, and say of every claim what its evidence supports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sipp_cli import edge, options, render
from sipp_cli.ledger import run_ledger

if TYPE_CHECKING:
    from proofs_check import Entry, LedgerRun


def _row(entry: Entry) -> tuple[str, ...]:
    kinds = dict.fromkeys(e.kind for e in entry.evidence)
    count, tight = entry.sharpest, entry.tightness
    trials = f"{count.failures:,}/{count.trials:,}" if count else "-"
    rate = f"{count.low:.3g} to {count.high:.3g}" if count else "-"
    promised = f"{count.delta:.3g}" if count else "-"
    range_ = "-" if tight is None else " to ".join(dict.fromkeys(f"{t:.3g}" for t in tight))
    return (
        entry.claim.id, entry.claim.name, entry.status, ", ".join(kinds), trials, rate, promised,
        range_,
    )  # fmt: skip


def _show(run: LedgerRun, words: dict[str, Any]) -> None:
    render.show_table(
        f"the ledger, profile {run.profile}, seed {run.seed}",
        ("<claim", "<name", "<status", "<evidence", "failures/trials", "failure rate", "promised",
         "promised/needed"),
        (_row(entry) for entry in run.entries),
    )  # fmt: skip
    for entry in run.entries:
        for one in entry.evidence:
            if one.outcome == "refuted":
                render.show(f"{entry.claim.id} refuted by {one.check}: {one.counterexample}")
            elif one.outcome == "survived":
                render.show(f"{entry.claim.id}: mutation {one.check} survived, {one.found}")
            elif one.outcome in ("skipped", "undecided", "open"):
                render.show(f"{entry.claim.id}: {one.check} {one.outcome}: {one.found or one.says}")
    for sentence in (*words["sentences"], *words["notes"]):
        render.show(sentence)


def command(
    profile: Annotated[
        str, typer.Option(help="quick (two minutes, embedded data) or full (half an hour, MNIST).")
    ] = "quick",
    claim: Annotated[
        list[str] | None,
        typer.Option(help="Id of a claim, as SP-3; may be given again. All if not given."),
    ] = None,
    jobs: options.Jobs = None,
    store: options.Store = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Check every claim by derivation, laws, oracles, Monte Carlo and mutations.

    Exit code 1: a claim is refuted, or a weakened copy of the code was not noticed.
    """
    run = run_ledger(
        profile, claims=claim or (), seed=seed, jobs=jobs, data_dir=data_dir, store=store,
        device=device,
    )  # fmt: skip

    from reports.claims import briefing

    summary = run.summary()
    words = briefing(summary)
    if json:
        render.show_json(summary | {"findings": words["sentences"]})
    else:
        _show(run, words)
    if run.refuted or run.survived:
        raise typer.Exit(edge.UNMET)

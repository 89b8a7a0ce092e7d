"""`sipp check`: run the ledger, and say of every claim what its evidence supports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from sipp_cli import edge, networks, options, render

if TYPE_CHECKING:
    from proofs_check import LedgerRun
    from proofs_check.status import Entry


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


def _show(found: LedgerRun) -> None:
    render.show_table(
        f"the ledger, profile {found.profile}, seed {found.seed}",
        ("<claim", "<name", "<status", "<evidence", "failures/trials", "failure rate", "promised",
         "promised/needed"),
        (_row(entry) for entry in found.entries),
    )  # fmt: skip
    for entry in found.entries:
        for one in entry.evidence:
            if one.outcome == "refuted":
                render.show(f"{entry.claim.id} refuted by {one.check}: {one.counterexample}")
            elif one.outcome == "survived":
                render.show(f"{entry.claim.id}: mutation {one.check} survived, {one.found}")
            elif one.outcome in ("skipped", "undecided", "open"):
                render.show(f"{entry.claim.id}: {one.check} {one.outcome}: {one.found or one.says}")
    for finding in found.findings:
        render.show(f"Found: {finding}")
    if not found.refuted and not found.survived:
        render.show("No claim was refuted, and no mutation survived.")


def command(
    profile: Annotated[
        str, typer.Option(help="quick (two minutes, embedded data) or full (half an hour, MNIST).")
    ] = "quick",
    claim: Annotated[
        list[str] | None,
        typer.Option(help="Id of a claim, as SP-3; may be given again. All if not given."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Processes; 0 for one in quick and one a core in full.")
    ] = 0,
    store: Annotated[
        str | None,
        typer.Option(help="Folder for finished checks: the same call goes on where one stopped."),
    ] = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Check every claim by derivation, laws, oracles, Monte Carlo and mutations.

    Exit code 1: a claim is refuted, or a weakened copy of the code was not noticed.
    """
    if jobs < 0:
        raise ValueError(f"--jobs must be at least 0; found {jobs}")
    folder = str(data_dir or os.environ.get("SIPP_DATA_DIR", ""))
    networks.device(device)

    from proofs_check import run

    if profile == "full" and not folder:
        render.note("no folder with MNIST was given (--data-dir): its part of the full profile "
                    "is left out")  # fmt: skip
    # Workers have to load torch anew, which costs more than the quick profile could gain.
    processes = jobs or (1 if profile == "quick" else os.cpu_count() or 1)
    with render.progress() as progress:
        found = run(
            profile,  # pyright: ignore[reportArgumentType] - run refuses what it does not know
            claims=claim or (),
            seed=seed,
            jobs=processes,
            data_dir=folder,
            store=store,
            device=device,
            progress=progress,
        )
    if json:
        render.show_json(found.summary())
    else:
        _show(found)
    if found.refuted or found.survived:
        raise typer.Exit(edge.UNMET)

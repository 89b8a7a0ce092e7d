"""One way to run the ledger, for the commands that show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sipp_cli import inputs, networks, render

if TYPE_CHECKING:
    from proofs_check import LedgerRun


def run_ledger(
    profile: str,
    *,
    claims: Sequence[str] = (),
    seed: int,
    jobs: int | None = None,
    data_dir: Path | None,
    store: str | None,
    device: str,
) -> LedgerRun:
    """Run the ledger as the options say, with a progress bar; refuse bad options first."""
    if not __debug__:  # before seconds are spent on imports
        raise ValueError("python -O takes the assertions of laws and oracles away; run without it")
    if jobs == 0:
        raise ValueError("--jobs must be at least 1, or -1 for one a core; found 0")
    networks.device(device)
    folder = str(inputs.data_folder(data_dir) or "")
    if profile == "full" and not folder:
        render.note("no folder with MNIST was given (--data-dir): its part of the full profile "
                    "is left out")  # fmt: skip

    from proofs_check import run

    if jobs is None:
        # A worker loads for seconds, in which some claims of the quick profile are done.
        jobs = 1 if claims and profile == "quick" else -1
    with render.progress() as progress:
        return run(
            profile,  # pyright: ignore[reportArgumentType] - run refuses what it does not know
            claims=claims,
            seed=seed,
            jobs=jobs,
            data_dir=folder,
            store=store,
            device=device,
            progress=progress,
        )

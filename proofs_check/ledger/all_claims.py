"""The ledger's entries: the claims of THEORY.md whose evidence runs, and the assumptions."""

from __future__ import annotations

import importlib
import re

from proofs_check.ledger.claim import Claim
from proofs_check.ledger.registry import families

# The order of THEORY.md; sections that are not named here come after it.
SECTIONS = ("ES", "SP", "NW", "AL", "CT", "PF", "NT", "MS", "GN", "NC", "SV")


def _place(claim: Claim) -> tuple[int, int]:
    """Section and number."""
    number = re.search(r"\d+", claim.id)
    section = SECTIONS.index(claim.family) if claim.family in SECTIONS else len(SECTIONS)
    return section, int(number[0]) if number else 0


def _ledger() -> dict[str, Claim]:
    """The claims of all families, then the assumptions, by id."""
    every = [importlib.import_module(f"proofs_check.{family}.claims") for family in families()]
    claims = sorted((one for module in every for one in module.CLAIMS), key=_place)
    assumptions = [one for module in every for one in getattr(module, "ASSUMPTIONS", ())]
    return {claim.id: claim for claim in (*claims, *assumptions)}


LEDGER: dict[str, Claim] = _ledger()

__all__ = ["LEDGER"]

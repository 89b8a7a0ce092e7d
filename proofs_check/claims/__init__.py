"""The ledger's entries: the claims of THEORY.md whose evidence runs, and the assumptions."""

from proofs_check.claims import al, assumptions, ct, es, gn, ms, nt, nw, pf, sp
from proofs_check.claims.claim import Claim, Step

FAMILIES = (es, sp, nw, al, ct, pf, nt, ms, gn, assumptions)
LEDGER: dict[str, Claim] = {claim.id: claim for family in FAMILIES for claim in family.CLAIMS}

__all__ = ["LEDGER", "Claim", "Step"]

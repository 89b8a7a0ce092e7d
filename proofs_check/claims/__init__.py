"""The ledger's entries: the claims of THEORY.md, sections 1 to 5 and 10, and the assumptions."""

from proofs_check.claims import al, assumptions, ct, es, ms, nw, sp
from proofs_check.claims.claim import Claim, Step

LEDGER: dict[str, Claim] = {
    claim.id: claim for module in (es, sp, nw, al, ct, ms, assumptions) for claim in module.CLAIMS
}

__all__ = ["LEDGER", "Claim", "Step"]

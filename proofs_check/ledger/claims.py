"""The ledger's entries: the claims of THEORY.md whose evidence runs, and the assumptions."""

from __future__ import annotations

from proofs_check.allocation import claims as allocation
from proofs_check.certificates import claims as certificates
from proofs_check.draws import claims as draws
from proofs_check.filters import claims as filters
from proofs_check.generalization import claims as generalization
from proofs_check.keeping import claims as keeping
from proofs_check.ledger.claim import Claim, Step
from proofs_check.matrices import claims as matrices
from proofs_check.nettrim import claims as nettrim
from proofs_check.network import claims as network
from proofs_check.sensitivity import claims as sensitivity

FAMILIES = (
    sensitivity.CLAIMS, draws.CLAIMS, keeping.CLAIMS, network.CLAIMS, allocation.CLAIMS,
    certificates.CLAIMS, filters.CLAIMS, nettrim.CLAIMS, matrices.CLAIMS, generalization.CLAIMS,
    sensitivity.ASSUMPTIONS,
)  # fmt: skip
LEDGER: dict[str, Claim] = {claim.id: claim for family in FAMILIES for claim in family}

__all__ = ["LEDGER", "Claim", "Step"]

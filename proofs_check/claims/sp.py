"""Claims of the family SP."""

from __future__ import annotations

from proofs_check.claims.claim import Claim

CLAIMS: tuple[Claim, ...] = ()

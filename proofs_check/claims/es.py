"""Claims of the family ES."""

from __future__ import annotations

from proofs_check.claims.claim import Claim

CLAIMS: tuple[Claim, ...] = ()

"""Assumptions as entries of their own: they are checked like claims."""

from __future__ import annotations

from proofs_check.claims.claim import Claim

CLAIMS: tuple[Claim, ...] = ()

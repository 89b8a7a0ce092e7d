"""The page of the claims: statements, proofs, evidence, and how they hang together."""

from reports.claims.page import write_claims
from reports.claims.words import briefing

__all__ = ["briefing", "write_claims"]

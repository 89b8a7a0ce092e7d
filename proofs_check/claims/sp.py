"""Claims of the family SP: sparsifying one sign of one neuron, by drawing and by keeping."""

from __future__ import annotations

from proofs_check.claims import sp_draws, sp_keeping

CLAIMS = sp_draws.CLAIMS + sp_keeping.CLAIMS

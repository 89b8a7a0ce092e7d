"""Weakened copies of SP-1 to SP-5x."""

from __future__ import annotations

import numpy as np

from proofs_check.mutation import Mutation

MUTATIONS = (
    Mutation(
        "SP-3",
        "bernstein_eighth",
        "SP-3 with an eighth of its draws.",
        "sipp_theory:bernstein_size",
        lambda size: lambda *given, **named: np.ceil(size(*given, **named) / 8),
        ("coverage.sp_draws.bernstein_two_point",),
    ),
)

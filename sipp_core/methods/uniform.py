"""Uniform draws from each neuron and sign: CoreNet's weakest baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sipp_core.pruning import fewest, planning
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import Table


def by_budget(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
    """Draw weights uniformly, each pair in proportion to its size: CoreNet's weakest baseline.

    Claim: SP-1. Source: [CN] arXiv 1804.05345 (the baseline).
    """
    counts = [np.stack([t.sign(s).sum(axis=1) for s in (0, 1)]).astype(float) for t in tables]
    total = sum(c.sum() for c in counts)
    share = min(1.0, budget / total) if total else 0.0
    plans = []
    for table, count in zip(tables, counts, strict=True):
        scores = (table.weight != 0).astype(np.float64)
        sizes = np.minimum(count, np.maximum(np.rint(share * count), count > 0))
        plan = planning.draws_plan(table, scores, np.where(sizes >= count, np.inf, sizes))
        plans.append(plan)
    return plans


def by_eps(table: Table, eps: float) -> LayerPlan:
    """Fewest uniform draws that promise eps; M = max_j s_j/q_j takes S_sum's place.

    Claim: SP-1 with the table's bound. Source: [CN] arXiv 1804.05345 (the baseline).
    """
    scores = (table.sensitivity > 0).astype(np.float64)
    return fewest.as_plan(table, scores, fewest.draw_sizes(table, scores, eps))

"""Uniform draws from each neuron and sign: CoreNet's weakest baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sipp_core.pruning import planning
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import DrawInProportion
from sipp_core.pruning.stored import Stored, flags_by_rows, neurons
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float


@register
class Uniform(DrawInProportion):
    """Draw weights uniformly with replacement, each pair in proportion to its size.

    Claim: SP-1. Source: [CN] arXiv 1804.05345 (the baseline).
    """

    name = "uniform"
    facts = Facts(
        "Uniform",
        "baseline",
        "Weights are drawn uniformly with replacement and reweighted: CoreNet's weakest baseline.",
        "arXiv 1804.05345",
    )

    def scores(self, table: Table) -> Stored:
        """The same for every weight."""
        weight = table.raw_weight
        return flags_by_rows(table.shape, lambda rows: weight[rows] != 0)

    def sizes(self, tables: Sequence[Table], budget: float) -> list[Float]:
        """The same share of every pair, one weight at least."""
        counts = [_counts(table) for table in tables]
        total = sum(c.sum() for c in counts)
        share = min(1.0, budget / total) if total else 0.0
        sizes = [np.minimum(c, np.maximum(np.rint(share * c), c > 0)) for c in counts]
        return [np.where(n >= c, np.inf, n) for n, c in zip(sizes, counts, strict=True)]

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Fewest draws among weights that ever fired; M = max_j s_j/q_j takes S_sum's place."""
        s = table.raw_sensitivity
        scores = flags_by_rows(table.shape, lambda rows: s[rows] > 0)
        return planning.as_plan(table, scores, planning.draw_sizes(table, scores, eps))


def _counts(table: Table) -> Float:
    """Weights of each pair, (2, out)."""
    counts, weight = np.zeros_like(table.total), table.raw_weight
    for rows in neurons(table.shape):
        counts[:, rows] = [(weight[rows] > 0).sum(axis=1), (weight[rows] < 0).sum(axis=1)]
    return counts

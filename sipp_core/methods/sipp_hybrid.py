"""SiPP hybrid: per neuron and sign whichever of draws and dropping promises more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import sipp_theory
from sipp_core.pruning import allocation, planning
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import Planned
from sipp_core.pruning.request import Request
from sipp_core.pruning.table import Table


@register
class SippHybrid(Planned):
    """Per pair whichever of draws and dropping promises less error, or leaves fewer weights.

    Claim: SP-7, AL-1. Source: [SP] arXiv 1910.05422.
    """

    name = "sipp-hybrid"
    facts = Facts(
        "SiPP hybrid",
        "sipp",
        "For each neuron and sign, whichever of SiPP random and SiPP deterministic promises the "
        "smaller error.",
        "arXiv 1910.05422",
    )

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Try AL-1's allocation for draws and the optimal one for dropping; the better is taken."""
        masks = allocation.largest([t.sensitivity for t in tables], budget)
        counted = [
            np.stack([(m & t.sign(s)).sum(axis=1) for s in (0, 1)]).astype(np.float64)
            for t, m in zip(tables, masks, strict=True)
        ]
        candidates = []
        for sizes in (counted, allocation.shares_of_budget(tables, budget)):
            plans = []
            for table, n in zip(tables, sizes, strict=True):
                drawn = planning.draws_plan(table, table.sensitivity, n)
                kept = allocation.top_per_pair(table, table.sensitivity, n)
                dropped = planning.mask_plan(table, kept, table.sensitivity)
                plans.append(planning.merge(table, drawn, dropped, drawn.eps < dropped.eps))
            candidates.append(plans)
        totals = [sum(float(p.eps.sum()) for p in plans) for plans in candidates]
        return candidates[int(np.argmin(totals))]

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Per pair whichever of draws and dropping leaves fewer weights in expectation."""
        s = table.sensitivity
        drawn = planning.as_plan(table, s, planning.draw_sizes(table, s, eps))
        dropped = planning.dropping(table, s, eps)
        counts = []
        for plan in (drawn, dropped):
            per_sign = []
            for sign in (0, 1):
                fixed = np.where(plan.sign(sign), plan.probability, 0.0).sum(axis=1)
                q = plan.draw_probabilities(sign)
                random = sipp_theory.expected_distinct(np.minimum(q, 1.0), plan.draws[sign])
                per_sign.append(np.where(plan.draws[sign] > 0, random, fixed))
            counts.append(np.stack(per_sign))
        return planning.merge(table, drawn, dropped, counts[0] < counts[1])

    def claims(self, request: Request) -> tuple[str, ...]:
        """Draws and dropping side by side."""
        both = ("SP-1", request.bound.claim, "SP-6", "SP-7")
        return both if request.guaranteed else (*both, "AL-1")

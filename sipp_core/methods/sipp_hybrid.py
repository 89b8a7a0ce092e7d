"""SiPP hybrid: per neuron and sign whichever of draws and dropping promises more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sipp_core.pruning import allocation, planning
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import Planned
from sipp_core.pruning.request import Request
from sipp_core.pruning.stored import Stored, neurons, whole
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float
from sipp_theory.allocation import layers

# The authors' C, by which they multiply the sum of the sensitivities that are dropped.
DROPPED_FACTOR = layers.SIPP_COVERAGE


@register
class SippHybrid(Planned):
    """Per pair draws or dropping, by the authors' estimates, or whichever leaves fewer weights.

    For a budget AL-3 says how many weights each pair keeps: its largest, unless C times the sum of
    what is dropped is more than AL-3's estimate f for as many distinct draws. The authors' own
    estimates choose; promised is what the bound and SP-6 say of the choice. In guarantee mode a
    pair takes whichever meets the error with fewer weights.

    Claim: SP-7, AL-3. Source: [SP] arXiv 1910.05422.
    """

    name = "sipp-hybrid"
    facts = Facts(
        "SiPP hybrid",
        "sipp",
        "For each neuron and sign SiPP random or SiPP deterministic, whichever is estimated to "
        "err less.",
        "arXiv 1910.05422",
    )
    default_scope = "global"

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """AL-3's numbers of weights; pair by pair drawn or the largest."""
        plans = []
        for table, sizes in zip(tables, allocation.shares_of_budget(tables, budget), strict=True):
            s = table.raw_sensitivity
            kept = allocation.top_per_pair(table, s, sizes)
            lost = _lost(table, kept)
            estimate = allocation.estimated_error(table, sizes)
            plans.append(
                planning.merge(
                    table, planning.draws_plan(table, s, sizes),
                    planning.mask_plan(table, kept, s),
                    DROPPED_FACTOR * lost > estimate,
                )
            )  # fmt: skip
        return plans

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Per pair whichever of draws and dropping leaves fewer weights in expectation."""
        s = table.raw_sensitivity
        drawn = planning.as_plan(table, s, planning.draw_sizes(table, s, eps))
        dropped = planning.dropping(table, s, eps)
        return planning.merge(table, drawn, dropped, drawn.expected() < dropped.expected())

    def claims(self, request: Request) -> tuple[str, ...]:
        """Draws and dropping side by side."""
        both = ("SP-1", request.bound.claim, "SP-6", "SP-7")
        return both if request.guaranteed else (*both, "AL-3")


def _lost(table: Table, kept: Stored) -> Float:
    """Sensitivity that is dropped of each pair, (2, out). Shapes: kept (out, fan_in)."""
    lost = np.zeros_like(table.total)
    for rows in neurons(table.shape):
        (weight, s), stays = table.rows(rows), whole(kept[rows])
        for sign, mine in enumerate((weight > 0, weight < 0)):
            lost[sign, rows] = np.where(mine & ~stays, s, 0.0).sum(axis=1)
    return lost

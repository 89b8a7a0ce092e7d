"""SiPP random: draws in proportion to empirical sensitivity, the budget shared by AL-3."""

from __future__ import annotations

from collections.abc import Sequence

from sipp_core.pruning.allocation import shares_of_budget
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.planned import DrawInProportion
from sipp_core.pruning.request import Request
from sipp_core.pruning.stored import Stored
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float


@register
class SippRand(DrawInProportion):
    """Draw weights with replacement in proportion to sensitivity.

    A budget is shared among all neurons and signs of the network, every layer counting alike, and
    as many draws are made as leave the shares in expectation, as in the authors' code.

    Claim: SP-1, SP-3, AL-3. Source: [SP] arXiv 1910.05422.
    """

    name = "sipp-rand"
    facts = Facts(
        "SiPP random",
        "sipp",
        "Weights are drawn with replacement in proportion to their empirical sensitivity and "
        "reweighted so that each neuron is right on average.",
        "arXiv 1910.05422",
    )

    default_scope = "global"

    def scores(self, table: Table) -> Stored:
        """The sensitivities."""
        return table.raw_sensitivity

    def sizes(self, tables: Sequence[Table], budget: float) -> list[Float]:
        """AL-3, on the authors' estimate of the error."""
        return shares_of_budget(tables, budget)

    def claims(self, request: Request) -> tuple[str, ...]:
        """SP-1, the bound's claim, and AL-3 for a budget."""
        return super().claims(request) + (() if request.guaranteed else ("AL-3",))

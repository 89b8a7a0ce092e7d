"""SNIP: the weights whose removal would change the loss most, to first order."""

from __future__ import annotations

from collections.abc import Sequence

from sipp_core.pruning.method import Facts, Needs, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import KeepLargest
from sipp_core.pruning.request import Request
from sipp_core.pruning.stored import Divided
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float


@register
class Snip(KeepLargest):
    """Keep the weights of largest connection sensitivity |w dL/dw|.

    The paper ranks all layers together, scope "global".

    Claim: SP-6. Source: Lee, Ajanthan and Torr 2019, arXiv 1810.02340 (the method); [SP] (the
        promise).
    """

    name = "snip"
    facts = Facts(
        "SNIP",
        "peer",
        "The weights stay whose removal would change the loss most, to first order; it alone "
        "looks at the classes.",
        "arXiv 1810.02340",
    )

    def needs(self, request: Request) -> Needs:
        """Gradients, so (input, target) pairs."""
        return Needs(statistics=frozenset({"gradients"}), targets=True)

    def scores(self, table: Table) -> Float:
        """|w dL/dw|."""
        saliency = table.statistics.saliency
        assert saliency is not None, "calibrated without statistics={'gradients'}"
        return saliency.cpu().numpy()

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Plans whose scores are the paper's: divided by their sum over the scope."""
        total = sum(float(self.scores(t).sum()) for t in tables) or 1.0
        plans = super().by_budget(tables, budget)
        return [
            plan.changed(scores=Divided(self.scores(table), total))
            for plan, table in zip(plans, tables, strict=True)
        ]

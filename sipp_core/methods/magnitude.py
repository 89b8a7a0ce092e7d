"""Magnitude pruning, the usual baseline."""

from __future__ import annotations

from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.planned import KeepLargest
from sipp_core.pruning.stored import Sizes, Stored
from sipp_core.pruning.table import Table


@register
class Magnitude(KeepLargest):
    """Keep the weights of largest magnitude.

    Claim: SP-6. Source: Han et al. 2015, arXiv 1506.02626 (the method); [SP] (the promise).
    """

    name = "magnitude"
    facts = Facts(
        "Magnitude",
        "baseline",
        "The weights of largest magnitude stay. The usual baseline; here without retraining, as "
        "for all methods.",
        "arXiv 1506.02626",
    )

    def scores(self, table: Table) -> Stored:
        """The magnitudes."""
        return Sizes(table.raw_weight)

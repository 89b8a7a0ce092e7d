"""SiPP deterministic: keep the weights of largest sensitivity, as they are or recentred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sipp_core.pruning.method import Facts, Needs, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import KeepLargest
from sipp_core.pruning.request import Request
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float

RANKS = ("max", "mean")
NOTE = (
    "weights were ranked by their mean sensitivity; what is promised is what SP-6 says of the mask "
    "on the maximum sensitivities"
)


@dataclass(frozen=True)
class SippDet(KeepLargest):
    """Keep the weights of largest sensitivity: it minimises the sum of SP-6's errors (AL-1).

    The mean over rows says which weights matter usually, the maximum which matter ever. Only the
    latter minimises a promise: a mask chosen by the mean is promised what SP-6 says of it on the
    maximum sensitivities, and has no guarantee mode.

    Attributes:
        rank: "max", or in budget mode "mean": rank by mean sensitivity.

    Claim: SP-6, AL-1. Source: [SP] arXiv 1910.05422; by the mean [OWN].
    """

    rank: Literal["max", "mean"] = "max"

    name = "sipp-det"
    facts = Facts(
        "SiPP deterministic",
        "sipp",
        "The weights of largest sensitivity stay as they are, the others go. The promise is a "
        "worst case and needs no chance.",
        "arXiv 1910.05422",
    )

    def __post_init__(self) -> None:
        if self.rank not in RANKS:
            raise ValueError(f"rank must be one of {', '.join(RANKS)}; found {self.rank!r}")

    def check(self, request: Request) -> None:
        """The mean promises nothing to aim at."""
        if self.rank == "mean" and request.guaranteed:
            raise ValueError(
                "rank='mean' promises nothing, so guarantee mode (eps=...) has no use for it; give "
                "keep=..., or rank='max'"
            )

    def needs(self, request: Request) -> Needs:
        """The mean shares, if they are what weights are ranked by."""
        return Needs(statistics=frozenset({"mean"} if self.rank == "mean" else ()))

    def scores(self, table: Table) -> Float:
        """Maximum or mean sensitivities."""
        if self.rank == "max":
            return table.sensitivity
        mean = table.statistics.mean
        assert mean is not None, "calibrated without statistics={'mean'}"
        # A share of a single row may vanish in the mean; what has ever fired ranks above what has
        # not.
        scores = np.maximum(mean.double().cpu().numpy(), np.finfo(np.float64).tiny)
        return np.where(table.sensitivity > 0, scores, 0.0)

    def notes(
        self, request: Request, tables: Sequence[Table], plans: Sequence[LayerPlan],
        multipliers: Sequence[Float],
    ) -> list[str]:  # fmt: skip
        """What the mean means for the promise."""
        return [NOTE] if self.rank == "mean" else []

    def claims(self, request: Request) -> tuple[str, ...]:
        """SP-6, and AL-1 where the largest sensitivities of a budget stay."""
        return ("SP-6",) if request.guaranteed or self.rank == "mean" else ("SP-6", "AL-1")


@dataclass(frozen=True)
class SippRecentred(SippDet):
    """Keep the weights of largest sensitivity, scaled so that the worst case is halved.

    Attributes:
        rank: as in `SippDet`.

    Claim: SP-6. Source: [OWN].
    """

    name = "sipp-recentred"
    facts = Facts(
        "SiPP recentred",
        "sipp",
        "As SiPP deterministic, with the weights that stay scaled up so that the worst case lies "
        "as far above as below.",
        "[OWN], after arXiv 1910.05422",
    )
    recentred = True


register(SippDet())
register(SippRecentred())

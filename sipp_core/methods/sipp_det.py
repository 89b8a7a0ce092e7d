"""SiPP deterministic: keep the weights of largest sensitivity, as they are or recentred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sipp_core.pruning import planning
from sipp_core.pruning.method import Facts, Needs, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import KeepLargest
from sipp_core.pruning.request import Request
from sipp_core.pruning.stored import Stored
from sipp_core.pruning.table import Table

RANKS = ("patch-mean", "max", "mean")
Rank = Literal["patch-mean", "max", "mean"]
NOTE = (
    "weights were ranked by their mean sensitivity; what is promised is what SP-6 says of the mask "
    "on the maximum sensitivities"
)


@dataclass(frozen=True)
class SippDet(KeepLargest):
    """Keep the weights of largest sensitivity.

    A convolution's weight has a share at every patch of an image. The authors' code takes their
    mean, and then the maximum over images; that of all patches, which SP-6 promises by, is near 1
    for most weights of a first layer and tells little of them. In a linear layer both are the
    same. Guarantee mode ranks by the maximum, which keeps the fewest.

    Attributes:
        rank: "patch-mean", the authors' mean over an image's patches; "max", which minimises the
            sum of SP-6's errors (AL-1); or in budget mode "mean", over all rows.

    Claim: SP-6, AL-1. Source: [SP] arXiv 1910.05422; by the mean [OWN].
    """

    rank: Rank = "patch-mean"

    name = "sipp-det"
    facts = Facts(
        "SiPP deterministic",
        "sipp",
        "The weights of largest sensitivity stay as they are, the others go. The promise is a "
        "worst case and needs no chance.",
        "arXiv 1910.05422",
    )
    default_scope = "global"

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
        """The mean shares, if they are what weights are ranked by and not the maximum."""
        patches = any(hasattr(module, "kernel_size") for module in request.model.modules())
        needed = self.rank == "mean" or (self.rank == "patch-mean" and patches)
        needed = needed and (request.measured or not request.guaranteed)
        return Needs(statistics=frozenset({self.rank} if needed else ()))

    def scores(self, table: Table) -> Stored:
        """What weights of a budget are ranked by."""
        if self.rank == "max" or (self.rank == "patch-mean" and table.statistics.patches == 1):
            return table.raw_sensitivity
        known = {"mean": table.statistics.mean, "patch-mean": table.statistics.patch_mean}
        mean = known[self.rank]
        assert mean is not None, f"calibrated without statistics={{{self.rank!r}}}"
        # A share of a single row may vanish in the mean; what has ever fired ranks above what has
        # not.
        scores = np.maximum(mean.double().cpu().numpy(), np.finfo(np.float64).tiny)
        return np.where(table.sensitivity > 0, scores, 0.0)

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Keep the fewest weights of largest maximum with which SP-6 promises eps."""
        return planning.dropping(table, table.raw_sensitivity, eps, self.recentred)

    def notes(
        self, request: Request, tables: Sequence[Table], plans: Sequence[LayerPlan],
        multipliers: Sequence[Stored],
    ) -> list[str]:  # fmt: skip
        """What the mean means for the promise."""
        return [NOTE] if self.rank == "mean" else []

    def claims(self, request: Request) -> tuple[str, ...]:
        """SP-6, and AL-1 where the largest sensitivities of a budget stay."""
        return ("SP-6",) if request.guaranteed or self.rank != "max" else ("SP-6", "AL-1")


@dataclass(frozen=True)
class SippRecentred(SippDet):
    """Keep the weights of largest sensitivity, scaled so that the worst case is halved.

    Attributes:
        rank: as in `SippDet`.

    Claim: SP-6. Source: [OWN].
    """

    rank: Rank = "max"

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

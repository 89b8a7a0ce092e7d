"""Rank weights by mean instead of maximum sensitivity: an option of budget mode, never certified.

The mean over rows says which weights matter usually, the maximum which matter ever. Only the latter
promises anything: a mask that was chosen by the mean is promised what SP-6 says of it on the
maximum sensitivities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sipp_core.pruning import planning
from sipp_core.pruning.budget import Rule
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import Table
from sipp_core.pruning.ranking import largest
from sipp_core.runtime.numbers import Float

RANKINGS = ("max", "mean")


def by_mean(recentred: bool) -> Rule:
    """Rule that keeps the weights of largest mean sensitivity.

    Claim: SP-6 (of the maximum sensitivities of what is dropped). Source: [OWN], an observation.
    """

    def rule(tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        scores = [_means(table) for table in tables]
        return [
            planning.mask_plan(table, mask, score, recentred)
            for table, mask, score in zip(tables, largest(scores, budget), scores, strict=True)
        ]

    return rule


def _means(table: Table) -> Float:
    means = table.statistics.mean
    if means is None:
        raise ValueError(
            "ranking='mean' needs the mean shares, which the calibration did not keep; calibrate "
            "with statistics={'mean'}"
        )
    # A share of a single row may vanish in the mean; what has ever fired ranks above what has not.
    found = np.maximum(means.double().cpu().numpy(), np.finfo(np.float64).tiny)
    return np.where(table.sensitivity > 0, found, 0.0)


BY_MEAN: dict[str, Rule] = {"sipp-det": by_mean(False), "sipp-recentred": by_mean(True)}
NOTE = (
    "weights were ranked by their mean sensitivity; what is promised is what SP-6 says of the mask "
    "on the maximum sensitivities"
)


def check(ranking: str, method: str, eps: float | None) -> None:
    """Refuse a ranking that a method or a mode does not have."""
    if ranking not in RANKINGS:
        raise ValueError(f"ranking must be one of {', '.join(RANKINGS)}; found {ranking!r}")
    if ranking == "max":
        return
    if eps is not None:
        raise ValueError(
            "ranking='mean' promises nothing, so guarantee mode (eps=...) has no use for it; give "
            "keep=..., or leave the ranking out"
        )
    if method not in BY_MEAN:
        raise ValueError(
            f"ranking='mean' is for methods that keep the largest, {', '.join(BY_MEAN)}; found "
            f"method {method!r}"
        )

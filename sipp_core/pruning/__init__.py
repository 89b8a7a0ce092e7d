"""One call of `prune`: request, tables, promises, plans, draws, the written result."""

from __future__ import annotations

from sipp_core.pruning import budget, plan
from sipp_core.pruning.fitting import VALIDATION_EVERY
from sipp_core.pruning.pivotal import pivotal
from sipp_core.pruning.plan import LayerPlan, draw, draw_counts, draw_many
from sipp_core.pruning.promise import INSTANCE_BOUNDS, Table, make_table
from sipp_core.pruning.prune import DEFAULT_POINTS, METHODS, REVISITING, prune
from sipp_core.pruning.result import LayerReport, PruneResult
from sipp_core.pruning.saving import load, save

__all__ = [
    "DEFAULT_POINTS", "INSTANCE_BOUNDS", "METHODS", "REVISITING", "VALIDATION_EVERY",
    "LayerPlan", "LayerReport", "PruneResult", "Table", "budget", "draw", "draw_counts",
    "draw_many", "load", "make_table", "pivotal", "plan", "prune", "save",
]  # fmt: skip

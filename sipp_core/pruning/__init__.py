"""One call of `prune`: request, tables, promises, plans, draws, the written result."""

from sipp_core.pruning import planning, promise, searching, table
from sipp_core.pruning.arguments import make_request
from sipp_core.pruning.exporting import FORMS, Export, export
from sipp_core.pruning.header import read_report
from sipp_core.pruning.loading import load
from sipp_core.pruning.measured import measured_errors
from sipp_core.pruning.method import Method, find_method, registered
from sipp_core.pruning.pivotal import pivotal
from sipp_core.pruning.plan import LayerPlan, draw, draw_counts, draw_many
from sipp_core.pruning.prune import prune
from sipp_core.pruning.refit import refit
from sipp_core.pruning.request import DEFAULT_POINTS
from sipp_core.pruning.result import LayerReport, PruneResult
from sipp_core.pruning.saving import save
from sipp_core.pruning.table import Table, calibration_need, make_table

__all__ = [
    "DEFAULT_POINTS",
    "FORMS",
    "Export",
    "LayerPlan",
    "LayerReport",
    "Method",
    "PruneResult",
    "Table",
    "calibration_need",
    "draw",
    "draw_counts",
    "draw_many",
    "export",
    "find_method",
    "load",
    "make_request",
    "make_table",
    "measured_errors",
    "pivotal",
    "planning",
    "promise",
    "prune",
    "read_report",
    "refit",
    "registered",
    "save",
    "searching",
    "table",
]  # fmt: skip

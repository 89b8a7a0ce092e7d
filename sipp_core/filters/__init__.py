"""Filter pruning (PF): the channel graph, its groups, rebuilding."""

from __future__ import annotations

from sipp_core.filters import sensitivity
from sipp_core.filters.coupling import Labels
from sipp_core.filters.prune import prune_filters
from sipp_core.filters.result import FilterReport, FilterResult, GroupReport

__all__ = ["FilterReport", "FilterResult", "GroupReport", "Labels", "prune_filters", "sensitivity"]

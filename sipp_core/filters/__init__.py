"""Filter pruning (PF): the channel graph, its groups, rebuilding."""

from sipp_core.filters import graph, groups, removal, sensitivity
from sipp_core.filters.coupling import Labels
from sipp_core.filters.result import Channels, FilterReport, GroupReport

__all__ = [
    "Channels", "FilterReport", "GroupReport", "Labels", "graph", "groups", "removal",
    "sensitivity",
]  # fmt: skip

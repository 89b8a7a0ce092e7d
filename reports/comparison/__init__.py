"""The comparison page: saved networks side by side, ours or another tool's."""

from __future__ import annotations

from reports.comparison.page import build_comparison
from reports.comparison.saved import Saved, read_saved

__all__ = ["Saved", "build_comparison", "read_saved"]

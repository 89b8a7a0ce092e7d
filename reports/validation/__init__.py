"""The papers' own experiments, rerun: what each paper says, what we get, and whether they agree."""

from __future__ import annotations

from reports.validation.verdicts import Line, Validation

__all__ = ["Line", "Validation"]

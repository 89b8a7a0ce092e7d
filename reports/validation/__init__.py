"""The papers' own experiments, rerun: what each paper says, what we get, and whether they agree."""

from __future__ import annotations

from reports.validation import words
from reports.validation.checked_in import load
from reports.validation.run import PAPERS, SCHEDULES, validate
from reports.validation.verdicts import Line, Validation, read

__all__ = ["PAPERS", "SCHEDULES", "Line", "Validation", "load", "read", "validate", "words"]

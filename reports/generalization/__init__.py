"""Generalization bounds of pruned networks: the search, the page, the check of a file."""

from reports.generalization import words
from reports.generalization.checked_in import load
from reports.generalization.run import Generalization, generalize
from reports.generalization.verifying import verify

__all__ = ["Generalization", "generalize", "load", "verify", "words"]

"""Argument checks, tails and compiled loops that all families share."""

from sipp_theory.numeric import checks

__all__ = ["checks"]

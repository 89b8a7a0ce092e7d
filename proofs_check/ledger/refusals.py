"""Refusals of plain arguments that the ledger and the Monte Carlo share."""

from __future__ import annotations

import numpy as np


def require_chance(name: str, value: float) -> None:
    """Refuse a probability outside (0, 1)."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie in (0, 1); found {value!r}")


def require_counts(**values: int) -> None:
    """Refuse what is no whole number >= 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1; found {value!r}")

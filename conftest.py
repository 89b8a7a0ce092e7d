"""What pytest does not collect where an optional package is not made for the platform."""

from __future__ import annotations

import importlib.util

collect_ignore = (
    [] if importlib.util.find_spec("triton") else ["sipp_core/sensitivity/_gpu_tile.py"]
)
